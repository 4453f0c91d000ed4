"""`make bench`: speed and memory, measured; each figure with a baseline of the same run."""

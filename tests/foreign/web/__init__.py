"""A tiny HTTP service that honours the process contract and imports nothing of evctl."""

"""From partials to windows: fold the set of packs, publish a new generation."""

"""Engines behind the ports: one package an engine, the same file names in each."""

"""How many of something, in words."""

from __future__ import annotations


def number_of(count: int, noun: str, nouns: str = "") -> str:
    """`1 node`, `2 nodes`. nouns: of more than one, where an s won't do."""
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"

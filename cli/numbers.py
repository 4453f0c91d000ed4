"""Numbers, as people read them."""

from __future__ import annotations


def number_of(count: int, noun: str, nouns: str = "") -> str:
    """`1 node`, `2 nodes`. nouns: of more than one, where an s won't do."""
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"


def figures(value: float) -> str:
    """A measurement: four digits of a small one, all of a large one, never an exponent of those."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"

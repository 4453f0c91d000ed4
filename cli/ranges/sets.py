"""What the operators do with nodes, when of some of them it can't be told: Kleene's logic."""

from __future__ import annotations

from collections.abc import Callable

from cli.ranges.grammar import Operator

Sets = tuple[frozenset[str], frozenset[str]]  # named, unsure


def _either(a: Sets, b: Sets) -> Sets:
    named = a[0] | b[0]
    return named, (a[1] | b[1]) - named


def _both(a: Sets, b: Sets) -> Sets:
    named = a[0] & b[0]
    return named, ((a[0] | a[1]) & (b[0] | b[1])) - named


def _without(a: Sets, b: Sets) -> Sets:
    named = a[0] - b[0] - b[1]
    return named, (a[0] | a[1]) - b[0] - named


def _one_of(a: Sets, b: Sets) -> Sets:
    unsure = a[1] | b[1]
    return (a[0] ^ b[0]) - unsure, unsure


COMBINES: dict[Operator, tuple[str, Callable[[Sets, Sets], Sets]]] = {
    ",": ("either of these", _either),
    "&": ("both of these", _both),
    "!": ("the first without the second", _without),
    "^": ("one of these, but not both", _one_of),
}

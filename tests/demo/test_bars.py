"""Bars out of swaps."""

from __future__ import annotations

from typing import Any

from demo.bars import bars_from_swaps


def swap(node: str, to: str, at: float, **more: Any) -> dict[str, Any]:
    return {"node": node, "to": to, "started_at": at, "ready_s": 1, "ended_at": at + 3, **more}


def test_a_swap_ends_one_bar_and_begins_the_next() -> None:
    swaps = [swap("a", "r3", 40), swap("a", "r2", 10)]
    assert bars_from_swaps({"a": "r1", "b": "r1"}, swaps, from_t=0, to_t=100) == [
        ("a", "r1", 0, 11, "serving"),
        ("a", "r2", 11, 41, "serving"),
        ("a", "r3", 41, 100, "serving"),
        ("b", "r1", 0, 100, "serving"),
    ]


def test_a_failed_one_lies_beside_what_went_on() -> None:
    failed = swap("a", "r2", 10, ok=False, state="never ready", ready_s=None)
    assert bars_from_swaps({"a": "r1"}, [failed], from_t=0, to_t=100) == [
        ("a", "r2", 10, 13, "never ready"),
        ("a", "r1", 0, 100, "serving"),
    ]


def test_a_node_that_comes_later_has_no_bar_before() -> None:
    assert bars_from_swaps({}, [swap("new", "r1", 10)], from_t=0, to_t=20) == [
        ("new", "r1", 11, 20, "serving")
    ]

"""The receipt: its shape, its verdict, its text."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from demo.kept import Kept
from demo.receipt import (
    Aggregates,
    Billed,
    Events,
    Node,
    Receipt,
    Requests,
    Rollout,
    Speed,
    SwapTimes,
    from_json,
    verdict,
    write,
)
from demo.receipt_text import lines, show

GOOD = Receipt(
    driver="process",
    why_driver="not root",
    nodes={"collector-01": Node("collector", "0.2.0-bbb")},
    requests=Requests(60_000, 0, 2.5, 9.0, 60.0),
    events=Events(150_000, 150_000, 0, 0, 0),
    rollouts=[
        Rollout(f"R00000{n}", "0.1.0-aaa", "0.2.0-bbb", "converged", 5, 5, 20.0) for n in (1, 2, 3)
    ],
    aggregates=Aggregates(5, 0),
    speed=Speed({"collector-01": 12.0}, SwapTimes(0.5, 0.8), 2.0, {"collector": 60.0}, 0.2),
)


ON_AWS: dict[str, Any] = {
    "engine": "aws",
    "kept": Kept(9, 2, 8, 3),
    "billed": Billed(0.1, 9.0, 20, 15),
}


def test_its_json_has_the_promised_shape(tmp_path: Path) -> None:
    write(tmp_path / "build/receipt.json", GOOD)
    document = json.loads((tmp_path / "build/receipt.json").read_text())
    assert document["requests"].keys() == {"sent", "failed", "p50_ms", "p99_ms", "max_ms"}
    assert document["events"].keys() == {"acked", "stored", "lost", "duplicated", "phantom"}
    assert document["rollouts"][0]["from"] == "0.1.0-aaa"
    promised = {"id", "from", "to", "state", "nodes", "swaps", "duration_s"}
    assert promised <= document["rollouts"][0].keys()
    assert document["nodes"] == {"collector-01": {"role": "collector", "release": "0.2.0-bbb"}}
    assert document["aggregates"] == {"windows": 5, "mismatches": 0}
    assert document["speed"]["swap_s"] == {"p50": 0.5, "max": 0.8}
    assert from_json(document) == GOOD
    write(tmp_path / "aws.json", on_aws := dataclasses.replace(GOOD, **ON_AWS))
    assert from_json(json.loads((tmp_path / "aws.json").read_text())) == on_aws


def test_a_good_one_has_nothing_against_it() -> None:
    assert verdict(GOOD) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"requests": Requests(60_000, 1, 1, 1, 1), "failures_by_kind": {"reset": 1}}, "reset 1"),
        ({"events": Events(9, 8, 1, 0, 0)}, "1 event lost"),
        ({"events": Events(9, 9, 0, 2, 0)}, "2 events duplicated"),
        ({"events": Events(9, 9, 0, 0, 3)}, "3 phantom events"),
        ({"events": Events(0, 0, 0, 0, 0)}, "the zeros say nothing"),
        ({"aggregates": Aggregates(5, 4)}, "4 aggregates not equal"),
        ({"aggregates": Aggregates(0, 0)}, "no window was published"),
        ({"requests": Requests(49_999, 0, 1, 1, 1)}, "only 49,999 requests"),
        ({"rollouts": GOOD.rollouts[:2]}, "only 10 swaps"),
        (ON_AWS | {"kept": Kept(9, 0, 0, 9)}, "no pack was read from a segment"),
        (ON_AWS | {"kept": Kept(9, 2, 9, 0)}, "no pack was read with a dictionary"),
        (ON_AWS | {"billed": Billed(0.1, 9, 5, 0)}, "nothing of generations that have ended"),
    ],
)
def test_each_thing_that_is_wrong_is_said(change: dict[str, Any], reason: str) -> None:
    reasons = verdict(dataclasses.replace(GOOD, **change))
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_smaller_runs_have_smaller_minima() -> None:
    small = dataclasses.replace(
        GOOD, requests=Requests(100, 0, 1, 1, 1), rollouts=GOOD.rollouts[:1]
    )
    assert verdict(small, requests_min=100, swaps_min=5) == []


def test_its_text_is_plain_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    show(GOOD, [], stream)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "60,000 sent, 0 failed" in text
    assert "✔ Nothing was lost." in text
    assert "! power-on to serving (collector-01)" in text
    assert "15 swaps in all" in text


def test_its_text_says_what_is_wrong_in_words_and_in_colour() -> None:
    text = "\n".join(lines(GOOD, ["1 event lost"], colour=True))
    assert "✗ not good:" in text
    assert "1 event lost" in text
    assert "\x1b[31m" in text

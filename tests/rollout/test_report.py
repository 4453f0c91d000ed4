"""A rollout in words and figures, and the exit codes of its ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cli.output import Output
from cli.rollout import report
from cli.rollout.document import Document
from cli.rollout.errors import Aborted, NotRolledBack, Partial, Paused, RolledBack
from tests.rollout.documents_of import NEW, OLD, document_of

ROLES = {"web-1": "web", "web-2": "web"}
QUIET = Output(fleet=None, color=False, quiet=True)
LOUD = Output(fleet=None, color=False, quiet=False)
SWAP = {"from": OLD, "to": NEW, "started_at": 1001.0, "total_s": 1.5, "drained": True}
DIED = {"code": "E1101", "what": "died at start", "why": "exit code 1", "next": "mend it"}


def _ended(state: str, /, **more) -> Document:
    document = replace(document_of(ROLES), state=state, ended_at=1009.5)
    return document.with_node("web-1", **more) if more else document


def test_figures():
    back = {**SWAP, "from": NEW, "to": OLD, "started_at": 1000.5}
    said = report.summary(_ended("rolled_back", state="reverted", swap=SWAP, revert=back))
    assert (said["id"], said["state"], said["from"], said["to"]) == (
        "R000001", "rolled_back", OLD, NEW,
    )  # fmt: skip
    assert said["duration_s"] == 9.5
    assert said["swaps"] == 2
    assert [swap["to"] for swap in said["swapped"]] == [OLD, NEW], "by time"
    assert said["nodes"]["web-1"]["state"] == "reverted"
    assert json.loads(json.dumps(said))["waves"] == [["web-1"], ["web-2"]]


def test_a_swap_that_changed_nothing_is_not_counted():
    said = report.summary(_ended("converged", swap={"unchanged": True}, revert={}))
    assert said["swaps"] == 0


@pytest.mark.parametrize(
    ("state", "kind", "exit_code"),
    [("rolled_back", RolledBack, 5), ("failed", NotRolledBack, 6), ("partial", Partial, 7)],
)
def test_each_bad_end_has_its_exit_code_and_the_first_evidence(state, kind, exit_code):
    with pytest.raises(kind, match="R000001") as caught:
        report.raise_unless_converged(_ended(state, error=DIED))
    assert caught.value.exit_code == exit_code
    assert caught.value.why == "web-1: E1101 died at start: exit code 1"
    assert "evctl " in caught.value.next_step


def test_the_evidence_of_a_silent_node_is_that_it_was_silent():
    with pytest.raises(Partial) as caught:
        report.raise_unless_converged(_ended("partial", error={"what": "no answer"}))
    assert caught.value.why == "web-1: no answer"


@pytest.mark.parametrize(
    ("state", "kind", "exit_code"), [("paused", Paused, 9), ("aborted", Aborted, 5)]
)
def test_what_an_operator_wanted_has_its_exit_code_and_why(state, kind, exit_code):
    with pytest.raises(kind) as caught:
        report.raise_unless_converged(replace(_ended(state), note="by ada"))
    assert (caught.value.exit_code, caught.value.why) == (exit_code, "by ada")


def test_a_good_end_raises_nothing():
    report.raise_unless_converged(_ended("converged"))


def test_a_good_end_says_how_to_undo_it(capsys):
    report.show_end(LOUD, _ended("converged"))
    assert "undo: evctl rollback R000001" in capsys.readouterr().out


def test_a_rollback_says_how_to_undo_it_where_all_came_from_one_release(capsys):
    back = document_of(ROLES, kind="rollback")
    report.show_end(LOUD, replace(back, state="converged", ended_at=1009.5))
    undo = f"undo: evctl rollout --range 'web-[1-2]' --to {OLD}"
    assert undo in capsys.readouterr().out
    mixed = document_of(ROLES, kind="rollback", before={"web-2": NEW})
    report.show_end(LOUD, replace(mixed, state="converged", ended_at=1009.5))
    assert "undo" not in capsys.readouterr().out


def test_who_was_away_and_never_asked_is_said_to_have_been_silent():
    with pytest.raises(Partial) as caught:
        report.raise_unless_converged(_ended("partial", fault="silent"))
    assert caught.value.why == "no answer; it becomes what it should be by itself when it returns"


def test_what_is_watched_afterwards_is_told_as_it_was_then(capsys):
    """Not as it ended."""
    ended = replace(_ended("rolled_back"), note="2 failed, at most 0 may")
    watch = report.Watch(LOUD, as_json=False)
    watch.event(ended, "pause", {"reason": "looking"})
    watch.event(ended, "paused", {"note": "3 of 50: too few to judge"})
    watch.event(ended, "rolling_back", {"note": "2 failed, at most 0 may"})
    said = [line.split(" ? ")[1] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "paused: looking",
        "paused: 3 of 50: too few to judge",
        "rolling_back: 2 failed, at most 0 may",
    ]


def test_a_bad_end_offers_nothing_to_undo(capsys):
    report.show_end(LOUD, _ended("rolled_back"))
    assert "undo" not in capsys.readouterr().out


def test_the_plan_shows_moves_and_waves(capsys):
    document = document_of(ROLES, before={"web-2": None})
    report.show_plan(LOUD, "default", document, 6)
    shown = capsys.readouterr()
    assert not shown.out
    assert f"{OLD} → {NEW}   1 node\n" in shown.err
    assert f"nothing → {NEW}   1 node\n" in shown.err
    assert "2 nodes, waves 1 / 1" in shown.err
    assert "4 unchanged" in shown.err
    assert f"Plan {document.plan}  default" in shown.err
    assert "never fewer than 0 of 1 serving" in shown.err


def test_a_plan_without_changes_says_so(capsys):
    report.show_plan(LOUD, "default", document_of({}), 4)
    assert "nothing to do" in capsys.readouterr().err


EVENTS = [
    ("planned", {}),
    ("prefetch", {"nodes": ["web-1", "web-2"]}),
    ("answer", {"node": "web-1", "action": "prefetch", "ok": True, "silent": False,
                "result": {"seconds": 1.25}}),
    ("answer", {"node": "web-1", "action": "prefetch", "ok": True, "silent": False,
                "result": {"already": True}}),
    ("swap", {"nodes": ["web-1"]}),
    ("answer", {"node": "web-1", "action": "swap", "ok": True, "silent": False, "result": SWAP}),
    ("answer", {"node": "web-1", "action": "swap", "ok": True, "silent": False,
                "result": {**SWAP, "drained": False}}),
    ("answer", {"node": "web-1", "action": "swap", "ok": False, "silent": False, "error": DIED}),
    ("answer", {"node": "web-1", "action": "swap", "ok": False, "silent": False}),
    ("check", {"nodes": ["web-1"]}),
    ("answer", {"node": "web-1", "action": "check", "ok": True, "silent": False}),
    ("answer", {"node": "web-1", "action": "check", "ok": False, "silent": True}),
    ("answer", {"node": "web-2", "action": "check", "ok": False, "silent": False,
                "held": "errors: 3 of 50: too few to judge"}),
    ("answer", {"node": "web-2", "action": "check", "ok": True, "silent": False,
                "result": {"gates": ["errors: 0, the old 0"]}}),
    ("revert", {"nodes": ["web-1"]}),
    ("rolled_back", {}),
]  # fmt: skip


def test_progress_in_words(capsys):
    watch = report.Watch(LOUD, as_json=False)
    for event, facts in EVENTS:
        watch.event(document_of(ROLES), event, facts)
    shown = capsys.readouterr()
    assert not shown.out
    for words in (
        "● rollout R000001",
        "● prefetching on web-1, web-2",
        "✔ web-1: has it (1.2 s)",
        "● wave 1/2: swapping web-1",
        f"✔ web-1: serves {NEW} in 1.5 s\n",
        "drain cut short",
        "✗ web-1: swap failed\n           E1101 died at start\n           why: exit code 1",
        "● wave 1/2: waiting for the gate of web-1",
        "✔ web-1: healthy",
        "? web-1: no answer to check",
        "? web-2: held: errors: 3 of 50: too few to judge",
        "✔ web-2: healthy · errors: 0, the old 0",
        "● going back on web-1",
    ):
        assert words in shown.err


def test_progress_as_json_is_one_object_a_line(capsys):
    watch = report.Watch(QUIET, as_json=True)
    for event, facts in EVENTS:
        watch.event(document_of(ROLES), event, facts)
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["event"] for line in lines] == [event for event, _ in EVENTS]
    assert all(line["rollout"] == "R000001" for line in lines)
    assert not shown.err


def test_progress_that_nobody_reads_any_more_stops_nothing(tmp_path):
    """`evctl rollout … --json | head -1`: the rollout goes on, and its exit code is its own."""
    watched = (
        "from cli.output import Output\n"
        "from cli.rollout.report import Watch, show_end\n"
        "from tests.rollout.documents_of import document_of\n"
        "output, document = Output(None, None, False), document_of({'a': 'web'})\n"
        "for _ in range(3): Watch(output, as_json=True).event(document, 'planned', {})\n"
        "show_end(output, document)\n"
        "raise SystemExit(5)\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", watched],
            cwd=Path(__file__).resolve().parents[2],
            stdout=writing,
            stderr=writing,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == 5

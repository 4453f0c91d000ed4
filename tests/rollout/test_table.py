"""The table that a terminal shows: waves, nodes, and what is waited for."""

from __future__ import annotations

import os
import pty
import sys
from dataclasses import replace

from cli.output import Output
from cli.rollout.report import Watch
from cli.rollout.table import NODES_SHOWN_MAX, table
from tests.rollout.documents_of import NEW, document_of

WEB = {f"web-{n}": "web" for n in range(1, 5)}
DIED = {"code": "E1101", "what": "died at start"}


def _shown(document, waits_for: str = "", seconds: int = 74) -> list[str]:
    return list(table(document, waits_for, document.created_at + seconds))


def test_waves_that_are_through_and_that_wait_are_one_line_each():
    document = document_of(WEB).with_node("web-1", state="healthy")
    document = document.with_node("web-2", state="swapping").with_node("web-3", state="swapped")
    assert _shown(document, "swap of web-[2-3]") == [
        f"Rollout R000001  {NEW}  1/4  01:14  running  ███░░░░░░░░░",
        "✔ wave 1   1/1",
        "● wave 2   0/2",
        "  ● web-2                swapping",
        "  ● web-3                swapped",
        "○ wave 3   0/1",
        "waiting for: swap of web-[2-3]",
    ]


def test_what_went_wrong_is_named_with_its_evidence():
    document = document_of(WEB).with_node("web-1", state="failed", fault="failed", error=DIED)
    document = replace(document, state="rolling_back", note="1 failed (web-1), at most 0 may")
    shown = _shown(document, "swap of web-1")
    assert "  ✗ web-1                failed     E1101 died at start" in shown
    assert shown[-1] == "rolling_back: 1 failed (web-1), at most 0 may"


def test_a_large_wave_is_cut_short_and_its_faults_come_first():
    many = {f"web-{n:03}": "web" for n in range(100)}
    document = document_of(many)
    last = document.waves[1][-1]
    document = document.with_node(document.waves[1][0], state="swapping")
    document = document.with_node(last, state="silent", fault="silent")
    shown = _shown(document)
    assert shown[3].startswith(f"  ? {last}")
    assert f"  … and {len(document.waves[1]) - NODES_SHOWN_MAX} more" in shown
    assert len(shown) < 20


def test_it_is_painted_over_itself_on_a_terminal_only(monkeypatch):
    ours, theirs = pty.openpty()
    output = Output(fleet=None, color=False, quiet=False)
    document = document_of(WEB)
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr("cli.rollout.table.PAINT_EVERY_S", 60)
        watch = Watch(output, as_json=False)
        watch.event(document, "planned", {})
        watch.event(document, "swap", {"nodes": ["web-1", "web-2"]})
        watch.event(replace(document, state="converged", ended_at=1009.0), "converged", {})
        monkeypatch.undo()
        painted = ""
        while painted.count("Rollout R000001") < 2 or not painted.rstrip().endswith("0/1"):
            painted += os.read(ours, 65536).decode()  # a terminal hands on what it has so far
    os.close(ours)
    assert painted.count("Rollout R000001") == 2, "the first and the last, since no time has passed"
    assert "\x1b[4F\x1b[J" in painted
    assert painted.rstrip().endswith("○ wave 3   0/1")

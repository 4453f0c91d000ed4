"""What a row counts, and when it is as it must be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from demo.ledger import Connection, Outcome, Request
from faults.cuts import commands
from faults.fault import Own
from faults.rows import Row, count, document, table
from faults.table import FAULTS

DOCS = Path(__file__).parents[2] / "docs/rollouts.md"
NODES = ("collector-01", "collector-02")
ROW = Row("one", ("converged",), "converged", 12.34, 100.0, 200.0)


def request(at: float, first: int, outcome: Outcome = Outcome.ACKED, target: int = 0) -> Request:
    return Request(
        started_at=at,
        started_mono=at,
        duration_ms=500.0,
        late_ms=0.0,
        status=200,
        outcome=outcome,
        connection=Connection.KEEP_ALIVE,
        target=target,
        count=2,
        first=first,
        body_bytes=10,
        pack=bytes(16),
    )


def counted(row: Row, *requests: Request, seen: bytes = b"\1" * 10) -> Row:
    count([row], iter(requests), bytearray(seen), NODES)
    return row


def test_a_request_counts_in_the_row_in_which_it_began():
    first, second = replace(ROW), replace(ROW, from_t=200.0, to_t=300.0)
    moments = (99.0, 100.0, 199.9, 200.0)
    count([first, second], (request(at, 0) for at in moments), bytearray(b"\1\1"), NODES)
    assert (first.requests_sent, second.requests_sent) == (2, 1)
    assert (first.events_acked, second.events_acked) == (4, 2)
    assert first.ok


def test_a_row_is_not_ok_with_a_failed_request_or_a_lost_event_or_another_end_or_no_load():
    failed = counted(replace(ROW), request(150.0, 0, Outcome.RESET))
    assert (failed.requests_failed, failed.why()) == (1, "1 requests failed, 0 events lost")
    lost = counted(replace(ROW), request(150.0, 0), seen=b"\1\0")
    assert (lost.events_lost, lost.why()) == (1, "0 requests failed, 1 events lost")
    other = counted(replace(ROW, state="failed"), request(150.0, 0))
    assert other.why() == "it ended as failed, not converged"
    broke = counted(replace(ROW, broke="web-01 serves nothing"), request(150.0, 0))
    assert broke.why() == "web-01 serves nothing"
    left = counted(replace(ROW, left_behind="web-01 is off"), request(150.0, 0))
    assert left.why() == "web-01 is off"
    assert not any(row.ok for row in (failed, lost, other, broke, left, replace(ROW)))


def test_what_is_the_faults_own_is_of_its_node_and_its_seconds_only():
    cut = Own("requests", "collector-02", 149.0, 160.0)
    row = counted(
        replace(ROW, own=(cut,)),
        request(148.6, 0, Outcome.RESET, target=1),  # under way when the power went
        request(150.0, 2, Outcome.REFUSED, target=1),
        request(150.0, 4, target=1),
        seen=b"\1" * 6,
    )
    assert (row.requests_cut, row.requests_failed, row.requests_sent) == (2, 0, 3)
    assert row.ok
    counted(row, request(161.0, 0, Outcome.REFUSED, target=1))
    counted(row, request(150.0, 0, Outcome.REFUSED, target=0))
    assert (row.requests_cut, row.requests_failed) == (2, 2)


def test_a_power_cut_excuses_no_lost_event_and_a_losing_release_no_failed_request():
    cut = replace(ROW, own=(Own("requests", "collector-01", 100.0, 200.0),))
    assert counted(cut, request(150.0, 0), seen=b"\0\0").events_lost == 2
    swallowing = replace(ROW, own=(Own("events", "collector-01", 100.0, 200.0),))
    counted(swallowing, request(150.0, 0), request(150.0, 2, Outcome.RESET), seen=b"\0\1\1\1")
    assert (swallowing.events_swallowed, swallowing.events_lost) == (1, 0)
    assert swallowing.requests_failed == 1


def test_the_receipt_has_what_was_promised_and_says_why_a_row_is_not_ok():
    good, bad = counted(replace(ROW), request(150.0, 0)), replace(ROW, name="two")
    written = json.loads(json.dumps(document([good, bad], {"driver": "nspawn"})))
    assert written["rows"][0] == {
        "name": "one",
        "state": "converged",
        "seconds": 12.3,
        "requests_sent": 1,
        "requests_failed": 0,
        "requests_cut": 0,
        "events_acked": 2,
        "events_lost": 0,
        "events_swallowed": 0,
        "ok": True,
    }
    assert (written["rows"][1]["ok"], written["rows"][1]["why"]) == (False, "no request was sent")
    assert [line[0] for line in table([good, bad])][1:3] == ["✔", "✗"]


def test_every_fault_has_a_name_of_its_own_and_its_row_in_the_docs():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    written = re.findall(r"(?m)^\| `([a-z-]+)` \|", DOCS.read_text())
    assert [name for name in written if name in names] == names


def test_what_cannot_be_played_here_says_why():
    needs_machines = next(fault for fault in FAULTS if fault.machines)
    assert needs_machines.obstacle("process") == "it needs nodes that are machines"
    lacks = replace(FAULTS[0], missing=lambda: "no such tool here")
    assert (FAULTS[0].obstacle("process"), lacks.obstacle("nspawn")) == ("", "no such tool here")


def test_one_way_the_node_hears_its_master():
    def hooks(way: str) -> list[str]:
        return [" ".join(words[10:]) for words in commands("net", way) if "rule" in words]

    assert hooks("one-way") == ["tcp dport 4505-4506 drop"]
    assert hooks("both-ways") == ["tcp dport 4505-4506 drop", "tcp sport 4505-4506 drop"]

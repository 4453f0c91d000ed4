"""The probe, through a real collector and processor; and what it says when one of them fails."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from eventstore.event import new_pack_id
from eventstore.ports import Stage
from eventstore.query.trace import Trace
from eventstore.tools import probe

NewNode = Callable[..., Any]


def _probe(data: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eventstore", "events", "probe", "--data", data, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_sent_comes_out_once(new_node: NewNode):
    node = new_node()
    node.start("collector")
    node.start("processor")
    url = f"http://127.0.0.1:{node.port('collector')}/v1/events"
    done = _probe(node.data, "--count", "20", url)
    assert (done.returncode, done.stdout) == (0, "20 sent, 0 lost, 0 duplicated\n"), done.stderr
    # The second collector isn't there: the first one takes it all.
    said = _probe(node.data, "--count", "3", "--json", "http://127.0.0.1:1/v1/events", url)
    assert json.loads(said.stdout) == {
        "sent": 3,
        "lost": 0,
        "duplicated": 0,
        "refused": 0,
        "waiting": 0,
    }


def test_what_no_processor_takes_still_waits_and_what_no_collector_takes_is_refused(
    new_node: NewNode,
):
    node = new_node()
    node.start("collector")
    url = f"http://127.0.0.1:{node.port('collector')}/v1/events"
    late = _probe(node.data, "--count", "2", "--within", "1", url)
    assert (late.returncode, late.stdout) == (
        75,
        "2 sent, 0 lost, 0 duplicated, 2 still waiting\n",
    )
    refused = _probe(node.data, "--count", "2", "--within", "0.5", "http://127.0.0.1:1/v1/events")
    assert refused.stdout == "0 sent, 0 lost, 0 duplicated, 2 refused\n"


@pytest.mark.parametrize("wrong", [("--count", "0", "http://x"), ("file:///etc/passwd",), ()])
def test_what_is_asked_wrongly(new_node: NewNode, wrong: tuple[str, ...]):
    done = _probe("file:///nowhere", *wrong)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


class _Tells:
    """At Tracer's place."""

    def __init__(self, states: dict[UUID, str]) -> None:
        self._states = states

    def trace(self, pack: UUID, index: int) -> Trace | None:
        state = self._states.get(pack)
        return state and Trace(pack, index, "/v1/events", 1, (Stage(state, 0),))


def test_a_duplicate_is_what_comes_out_twice():
    one, two, three, four = (new_pack_id() for _ in range(4))
    tells = _Tells({one: "stored", two: "aggregated", three: "duplicate", four: "dead"})
    receipts = [(1, one, 0), (1, two, 0), (2, three, 0), (3, four, 0)]
    assert probe._await(tells, receipts, 0, lambda: False) == ({1: 2}, set())


def test_what_is_on_its_way_is_not_lost_and_what_nobody_knows_is_not_on_its_way():
    one, two, three = (new_pack_id() for _ in range(3))
    tells = _Tells({one: "leased", two: "queued"})
    receipts = [(1, one, 0), (2, two, 0), (3, three, 0)]
    assert probe._await(tells, receipts, 0, lambda: False) == ({}, {1, 2})


def test_what_a_queue_may_hold_that_finds_nothing_is_not_lost():
    one, two = (new_pack_id() for _ in range(2))
    tells = _Tells({one: "stored"})
    receipts = [(1, one, 0), (2, two, 0)]
    assert probe._await(tells, receipts, 0, lambda: True) == ({1: 1}, {2})
    assert probe._await(tells, receipts, 0, lambda: False) == ({1: 1}, set())

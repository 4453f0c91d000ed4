"""Floods against a real collector: its own sender is told to come back, nobody else notices."""

from collections.abc import Callable
from typing import Any

from tests.eventstore.senders import Sender
from tests.eventstore.test_spool_process import queue_of

NewNode = Callable[..., Any]
ENDPOINTS = [
    {"path": "/a", "tenant": "a"},
    {"path": "/b", "tenant": "b"},
]


def flooded(node: Any, count: int, until: Any, **sender: Any) -> tuple[list[Sender], Sender]:
    """Many senders of tenant a, told to come back again and again; then one of tenant b beside
    them, until it has had 100 answers."""
    flood = [Sender(f"a{n}", node.port("collector"), "/a", **sender) for n in range(count)]
    for one in flood:
        one.start()
    until(lambda: any(one.answers[429] for one in flood))
    other = Sender("b", node.port("collector"), "/b")
    other.start()
    refused = sum(one.answers[429] for one in flood)
    until(lambda: len(other.acked) > 100)
    until(lambda: sum(one.answers[429] for one in flood) > refused)
    return flood, other


def test_one_tenants_flood_is_refused_and_another_is_not(new_node: NewNode, until: Any):
    node = new_node(endpoints=ENDPOINTS, waiting_requests_max=18)
    node.start("collector")
    flood, other = flooded(node, 60, until)
    other.stop()
    assert set(other.answers) == {200}
    for one in flood:
        one.stop()
        assert set(one.answers) <= {200, 429}
    code = {one.bodies[429]["error"]["code"] for one in flood if 429 in one.bodies}
    assert code == {"overloaded"}
    queue = queue_of(node)
    assert queue.depth().packs > 0
    queue.close()


def test_a_flood_of_bytes_is_refused_and_another_is_not(new_node: NewNode, until: Any):
    node = new_node(endpoints=ENDPOINTS, waiting_bytes_max=1 << 20, receiving_bytes_max=1 << 20)
    node.start("collector")
    flood, other = flooded(node, 40, until, padding=60_000)
    other.stop()
    assert set(other.answers) == {200}
    for one in flood:
        one.stop()
        assert set(one.answers) <= {200, 429, None}  # None: cut off while it still wrote


def test_it_recovers_as_soon_as_the_flood_is_over(new_node: NewNode, until: Any):
    node = new_node(endpoints=ENDPOINTS, waiting_requests_max=18)
    generation = node.start("collector")
    flood, other = flooded(node, 60, until)
    for one in flood:
        one.stop()
    other.stop()
    again = Sender("again", node.port("collector"), "/a")
    again.start()
    until(lambda: len(again.acked) > 50)
    again.stop()
    assert set(again.answers) == {200}
    assert generation.ask("/readyz") == (200, "ready\n")
    assert "ev_waiting_requests 0\n" in generation.ask("/metrics")[1]

"""Real collectors whose queue is unavailable: nothing that they acknowledged is lost, however and
whenever they end."""

import json
import random
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.collector.spool import Spool
from tests.eventstore.exchange import send
from tests.eventstore.senders import LARGE, Sender, take

NewNode = Callable[..., Any]


@pytest.fixture
def node(new_node: NewNode) -> Any:
    node = new_node(commit_s=0.05)
    node.settings["spool"] = str(node.root / "spool")
    return node


@contextmanager
def unavailable(node: Any) -> Any:
    """Another process of this machine holds the queue's lock."""
    queue = queue_of(node)
    with queue._database.transaction():
        yield
    queue.close()


def queue_of(node: Any) -> EmbeddedQueue:
    path = node.root / "data" / "queue.sqlite"
    return EmbeddedQueue(path, packs_max=LARGE, bytes_max=LARGE)


def spooled_bytes(node: Any) -> int:
    """A file that is emptied meanwhile is no error."""
    return Spool(node.root / "spool", LARGE).bytes()


def gauge(generation: Any, name: str) -> float:
    (line,) = [x for x in generation.ask("/metrics")[1].splitlines() if x.startswith(f"{name} ")]
    return float(line.split()[1])


def test_events_are_taken_and_the_outage_can_be_seen_and_passes(node: Any, post: Any, until: Any):
    generation = node.start("collector")
    assert generation.ask("/readyz") == (200, "ready\n")
    assert gauge(generation, "ev_queue_available") == 1
    with unavailable(node):
        assert post(node.port("collector"), b'{"id":"a"}')[0] == 200
        status, receipt = post(node.port("collector"), b'{"id":"b"}')
        assert status == 200
        # The queue can't know it yet: nobody may be told that it was lost.
        answer = send(node.port("collector"), f"/receipt/{receipt['pack']}", method="GET")
        assert (answer.status, answer.json["state"]) == (202, "unknown")
        assert "in the spool of this node" in answer.json["reason"]
        assert answer.headers["retry-after"] == "5"
        status, text = generation.ask("/readyz")
        assert (status, text.splitlines()[0]) == (200, "ready")
        assert "events go into the spool" in text
        assert gauge(generation, "ev_queue_available") == 0
        assert gauge(generation, "ev_spool_bytes") == spooled_bytes(node) > 0
        assert gauge(generation, "ev_spooled_packs_total") == 2
    until(lambda: spooled_bytes(node) == 0)
    until(lambda: generation.ask("/readyz") == (200, "ready\n"))
    assert gauge(generation, "ev_unspooled_packs_total") == 2
    answer = send(node.port("collector"), f"/receipt/{receipt['pack']}", method="GET")
    assert (answer.status, answer.json["state"]) == (200, "queued")
    queue = queue_of(node)
    assert take(queue) == ["a", "b"]
    queue.close()


def test_a_full_spool_is_answered_with_the_retry_signal_and_passes(
    node: Any, post: Any, until: Any
):
    node.settings["spool_bytes_max"] = 1500
    generation = node.start("collector")
    with unavailable(node):
        answers = [post(node.port("collector"), b'{"id":"%d"}' % n) for n in range(10)]
        assert answers[0][0] == 200
        status, answer = answers[-1]
        assert (status, answer["error"]["code"]) == (429, "overloaded")
        assert generation.ask("/readyz")[0] == 200
    until(lambda: spooled_bytes(node) == 0)
    assert post(node.port("collector"), b"{}")[0] == 200


def test_a_queue_whose_disk_is_missing_at_the_start_is_waited_for(node: Any, post: Any, until: Any):
    data = node.root / "data"
    data.write_text("a file where the folder should be")
    generation = node.start("collector")
    assert "events go into the spool" in generation.ask("/readyz")[1]
    assert post(node.port("collector"), b'{"id":"early"}')[0] == 200
    data.unlink()
    until(lambda: spooled_bytes(node) == 0)
    queue = queue_of(node)
    assert take(queue) == ["early"]
    queue.close()


def test_a_swap_during_an_outage_loses_nothing_and_the_next_generation_goes_on(
    node: Any, until: Any
):
    first = node.start("collector")
    senders = [Sender(f"s{n}", node.port("collector")) for n in range(4)]
    with unavailable(node):
        for sender in senders:
            sender.start()
        until(lambda: all(len(sender.acked) > 10 for sender in senders))
        second = node.start("collector")
        first.terminate()
        assert first.wait() == 0
        before = [len(sender.acked) for sender in senders]
        until(lambda: all(len(s.acked) > n + 10 for s, n in zip(senders, before, strict=True)))
    until(lambda: spooled_bytes(node) == 0)
    for sender in senders:
        sender.stop()
        assert set(sender.answers) == {200}
    until(lambda: spooled_bytes(node) == 0)
    queue = queue_of(node)
    assert sorted(take(queue)) == sorted(one for sender in senders for one in sender.acked)
    queue.close()
    assert second.poll() is None


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_point_nothing_that_was_acknowledged_is_lost(
    seed: int, node: Any, until: Any
):
    """While it spools, while it empties the spool, and while it does neither; often two at once."""
    chance = random.Random(seed)
    running = [node.start("collector")]
    senders = [Sender(f"s{n}", node.port("collector"), padding=200) for n in range(4)]
    for sender in senders:
        sender.start()
    with ExitStack() as outage:
        for _ in range(10):
            acked = sum(len(sender.acked) for sender in senders) + chance.randrange(1, 60)
            until(lambda: sum(len(sender.acked) for sender in senders) > acked)  # noqa: B023
            if chance.random() < 0.6:
                outage.close()
                if chance.random() < 0.6:
                    outage.enter_context(unavailable(node))
            victim = running.pop(chance.randrange(len(running)))
            if chance.random() < 0.5 or not running:
                running.append(node.start("collector", ready=chance.random() < 0.5))
            victim.kill()
            victim.wait()
            if len(running) > 1 and chance.random() < 0.5:
                running.pop(0).kill()
    if not running:
        running.append(node.start("collector"))
    until(lambda: spooled_bytes(node) == 0)
    for sender in senders:
        sender.stop()
        assert set(sender.answers) <= {200, None}, sender.bodies
    until(lambda: spooled_bytes(node) == 0)
    queue = queue_of(node)
    found = set(take(queue))
    queue.close()
    acked = {one for sender in senders for one in sender.acked}
    assert len(acked) > 100
    assert acked - found == set()


def test_without_a_spool_it_is_as_before(new_node: NewNode, post: Any):
    node = new_node(commit_s=0.05, spool="none")
    generation = node.start("collector")
    with unavailable(node):
        status, answer = post(node.port("collector"), b"{}")
        assert (status, answer["error"]["code"]) == (503, "queue_unavailable")
        assert generation.ask("/readyz")[0] == 503
        assert json.loads(generation.ask("/version")[1])["role"] == "collector"
    assert post(node.port("collector"), b"{}")[0] == 200

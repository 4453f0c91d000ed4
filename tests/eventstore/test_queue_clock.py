"""Leases and ages of the embedded queue, when a clock is set or the machine starts anew."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.event import new_pack_id
from eventstore.ports import Packed

HOUR_S = 3600
NS = 10**9
LARGE = 1 << 30


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[EmbeddedQueue]:
    queue = EmbeddedQueue(tmp_path / "queue.sqlite", packs_max=LARGE, bytes_max=LARGE)
    yield queue
    queue.close()


@pytest.fixture
def up_since(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Says what the uptime is."""
    up = {"s": 100.0}
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: int(up["s"] * NS))
    return up


def pack() -> Packed:
    return Packed(new_pack_id(), b"x", "/e", 1)


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S])
def test_setting_the_clock_ends_no_lease_and_ages_nothing(
    off_s: int, queue: EmbeddedQueue, monkeypatch: pytest.MonkeyPatch
):
    true = time.time_ns
    queue.put([pack(), pack()])
    (lease,) = queue.claim(1, 60)
    monkeypatch.setattr(time, "time_ns", lambda: true() + off_s * NS)
    depth = queue.depth()
    assert depth.leased == 1
    assert 0 <= (depth.oldest_s or 0) < 60
    assert [one.pack_id for one in queue.claim(10, 60)] != [lease.pack_id]
    assert queue.claim(10, 60) == []
    queue.release([lease], reason="tried")
    monkeypatch.setattr(time, "time_ns", true)
    assert [one.attempts for one in queue.claim(10, 60)] == [2]


@pytest.mark.parametrize("extended", [False, True])
def test_a_lease_ends_with_the_machine_that_held_it(
    extended: bool, queue: EmbeddedQueue, up_since: dict[str, float]
):
    queue.put([pack()])
    up_since["s"] = 10
    leases = queue.claim(1, 60)
    up_since["s"] = 2 * HOUR_S
    if extended:
        queue.extend(leases, 60)
    else:
        leases = queue.claim(1, 60)
    assert queue.claim(1, 60) == []
    up_since["s"] = 20  # it has booted
    assert queue.depth().leased == 0
    assert [one.pack_id for one in queue.claim(1, 60)] == [leases[0].pack_id]
    assert queue.claim(1, 60) == []


def test_the_pause_before_the_next_attempt_ends_with_a_boot_too(
    queue: EmbeddedQueue, up_since: dict[str, float]
):
    queue.put([pack()])
    up_since["s"] = HOUR_S
    queue.release(queue.claim(1, 60), delay_s=60, reason="tried")
    assert queue.claim(1, 60) == []
    up_since["s"] = 20
    assert [one.attempts for one in queue.claim(1, 60)] == [2]


def test_what_waited_before_the_boot_has_waited_since_then_at_least(
    queue: EmbeddedQueue, up_since: dict[str, float]
):
    up_since["s"] = HOUR_S
    queue.put([pack()])
    up_since["s"] = HOUR_S + 7
    assert queue.depth().oldest_s == 7
    up_since["s"] = 20
    assert queue.depth().oldest_s == 20

"""The queue or the spool: each pack is kept by one of them, and the spool empties itself."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import zstandard

from eventstore import packing
from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.collector import outlet as module
from eventstore.collector.outlet import Direct, Spooling
from eventstore.collector.spool import Spool
from eventstore.dictionaries import Dictionaries
from eventstore.errors import EngineUnavailable, QueueFull
from eventstore.event import new_pack_id
from eventstore.ports import Packed, Queue

LARGE = 1 << 30


def packs(count: int) -> list[Packed]:
    return [Packed(new_pack_id(), b"x" * 100, "/e", 1) for _ in range(count)]


class Broken:
    """A queue whose puts fail as long as they are told to; the real one below it."""

    def __init__(self, queue: EmbeddedQueue) -> None:
        self.queue = queue
        self.error: Exception | None = None
        self.tried = 0

    def put(self, packs: Sequence[Packed]) -> None:
        self.tried += 1
        if self.error is not None:
            raise self.error
        self.queue.put(packs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Broken]:
    queue = EmbeddedQueue(tmp_path / "queue.sqlite", packs_max=1000, bytes_max=LARGE)
    yield Broken(queue)
    queue.close()


@pytest.fixture
def spooling(
    tmp_path: Path, queue: Broken, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Spooling]]:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    started: list[Spooling] = []

    def start(open_queue: Callable[[], Queue] = lambda: queue, bytes_max: int = LARGE) -> Spooling:  # type: ignore[assignment,return-value]
        started.append(Spooling(open_queue, Spool(tmp_path / "spool", bytes_max)))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.close()


def ids(queue: Broken) -> list[UUID]:
    return [lease.pack_id for lease in queue.queue.claim(1000, 0)]


def test_a_queue_that_works_is_all_there_is(spooling: Any, queue: Broken, tmp_path: Path):
    outlet = spooling()
    put = packs(3)
    outlet.put(put)
    assert ids(queue) == [one.pack_id for one in put]
    assert (outlet.notice(), outlet.unready()) == ("", None)
    assert outlet.gauges()["ev_queue_available"] == 1
    assert outlet.gauges()["ev_queue_packs"] == 3
    assert outlet.gauges()["ev_queue_oldest_seconds"] >= 0
    assert list((tmp_path / "spool").iterdir()) == []


def test_while_it_is_unavailable_the_spool_takes_them_and_then_gives_them_back_in_order(
    spooling: Any, queue: Broken, until: Any
):
    outlet = spooling()
    queue.error = EngineUnavailable("away")
    put = packs(4)
    for pack in put:
        outlet.put([pack])
    assert ids(queue) == []
    assert outlet.notice() == "events go into the spool: away"
    assert outlet.unready() is None
    assert outlet.gauges()["ev_queue_available"] == 0
    assert outlet.gauges()["ev_spool_bytes"] == 4 * (100 + 28)
    queue.error = None
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert ids(queue) == [one.pack_id for one in put]
    assert [counter.value() for counter in outlet.counters] == [4, 4]
    until(lambda: outlet.notice() == "")
    outlet.put(packs(1))
    assert outlet.gauges()["ev_spool_bytes"] == 0


def test_a_long_outage_makes_neither_many_files_nor_slow_puts(
    spooling: Any, queue: Broken, until: Any, tmp_path: Path
):
    outlet = spooling()
    queue.error = EngineUnavailable("away")
    outlet.put(packs(1))
    until(lambda: queue.tried > 5)  # the thread looks again and again
    for _ in range(20):
        outlet.put(packs(1))
    tried = queue.tried
    until(lambda: queue.tried > tried + 5)
    assert len(list((tmp_path / "spool").iterdir())) <= 3


def test_what_an_earlier_process_left_is_taken_first(
    spooling: Any, queue: Broken, until: Any, tmp_path: Path
):
    left = Spool(tmp_path / "spool", LARGE)
    put = packs(3)
    left.append([(one.pack_id, one.body) for one in put])
    outlet = spooling()
    assert outlet.gauges()["ev_spool_bytes"] > 0
    left.hand_over()  # as its end does, however it comes
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert ids(queue) == [one.pack_id for one in put]


def test_a_queue_that_cannot_even_be_opened_is_waited_for(spooling: Any, queue: Broken, until: Any):
    away = [True]

    def open_queue() -> Queue:
        if away:
            raise EngineUnavailable("no such disk")
        return queue  # type: ignore[return-value]

    outlet = spooling(open_queue)
    assert "no such disk" in outlet.notice()
    put = packs(2)
    outlet.put(put)
    assert "ev_queue_packs" not in outlet.gauges()
    away.clear()
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert ids(queue) == [one.pack_id for one in put]
    with pytest.raises(EngineUnavailable):
        away.append(True)
        Direct(open_queue())


def test_a_queue_that_is_full_is_not_unavailable(spooling: Any, queue: Broken):
    outlet = spooling()
    queue.error = QueueFull("full")
    with pytest.raises(QueueFull):
        outlet.put(packs(1))
    assert outlet.gauges()["ev_spool_bytes"] == 0
    assert outlet.notice() == ""


def test_a_queue_too_full_for_all_of_the_spool_gets_it_little_by_little(
    spooling: Any, tmp_path: Path, until: Any, queue: Broken
):
    queue.queue.close()
    queue.queue = EmbeddedQueue(tmp_path / "small.sqlite", packs_max=2, bytes_max=LARGE)
    outlet = spooling()
    queue.error = EngineUnavailable("away")
    put = packs(7)
    outlet.put(put)
    queue.error = None
    got: list[UUID] = []
    while len(got) < 7:
        until(lambda: queue.queue.depth().packs > 0)
        leases = queue.queue.claim(10, 60)
        got += [lease.pack_id for lease in leases]
        queue.queue.ack(leases)
    assert got == [
        one.pack_id for one in put
    ]  # each once, although the queue forgets what it gave away
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert queue.queue.depth().packs == 0


def test_while_the_spool_empties_what_comes_goes_into_the_queue(
    spooling: Any, queue: Broken, until: Any
):
    """Else a spool fills as fast as it empties, for as long as there is traffic."""
    outlet = spooling()
    queue.error = EngineUnavailable("away")
    outlet.put(packs(300))
    notices: list[str] = []

    def put(some: Sequence[Packed]) -> None:
        notices.append(outlet.notice())
        queue.queue.put(some)

    queue.put = put  # type: ignore[method-assign]
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert notices[0] != ""
    assert set(notices[1:]) == {""}


def test_the_spool_is_emptied_in_commits_of_many_packs(spooling: Any, queue: Broken, until: Any):
    """Each commit of the traffic is one pack: one commit for each of the spool's would not be more
    than what comes in."""
    outlet = spooling()
    queue.error = EngineUnavailable("away")
    put = packs(300)
    outlet.put(put)
    queue.tried, queue.error = 0, None
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert queue.tried <= 20
    assert ids(queue) == [one.pack_id for one in put]


def test_a_spool_that_is_full_is_overload(spooling: Any, queue: Broken, until: Any):
    outlet = spooling(bytes_max=300)
    queue.error = EngineUnavailable("away")
    outlet.put(packs(2))
    with pytest.raises(QueueFull, match="the spool has 256 bytes"):
        outlet.put(packs(1))
    queue.error = None
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    outlet.put(packs(2))


def test_a_fault_in_the_middle_of_a_segment_loses_nothing(spooling: Any, queue: Broken, until: Any):
    outlet = spooling()
    queue.error = EngineUnavailable("away")
    put = packs(3)
    outlet.put(put)
    queue.error = KeyError("a bug")
    tried = queue.tried
    until(lambda: queue.tried > tried + 2)
    queue.error = None
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    assert ids(queue) == [one.pack_id for one in put]


def test_what_was_spooled_is_counted_as_accepted(spooling: Any, queue: Broken, until: Any):
    outlet = spooling()
    pack_id = new_pack_id()
    body = packing.pack(pack_id, {"endpoint": "/e"}, [packing.Share(2, 1)], [b"{}\n{}"], None)
    queue.error = EngineUnavailable("away")
    outlet.put([Packed(pack_id, body, "/e", 2), *packs(1)])
    queue.error = None
    until(lambda: outlet.gauges()["ev_spool_bytes"] == 0)
    entries = queue.queue.ledger(0).entries
    assert {(key.endpoint, one.events) for key, one in entries.items()} == {("/e", 2), ("", 0)}


def test_spooled_packs_with_a_dictionary_are_counted_when_it_is_found(
    tmp_path: Path, queue: Broken, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
):
    """An earlier generation has spooled them. Meanwhile what comes goes into the queue."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    samples = [b'{"id":"%d","page":"/p/%d"}' % (n, n % 7) for n in range(2000)]
    dictionary, asked = zstandard.train_dictionary(4096, samples), 0
    away = True

    def find(_: int) -> bytes:
        nonlocal asked
        asked += 1
        if away:
            raise EngineUnavailable("the store is away")
        return dictionary.as_bytes()

    pack_id = new_pack_id()
    share = packing.Share(2, 1)
    body = packing.pack(
        pack_id, {"endpoint": "/in"}, [share], [b"{}\n{}"], None, dictionary=dictionary
    )
    spool = Spool(tmp_path / "spool", LARGE)
    spool.append([(pack_id, body)])
    spool.hand_over()
    spooling = Spooling(lambda: queue, Spool(tmp_path / "spool", LARGE), Dictionaries(find))  # type: ignore[arg-type,return-value]
    spooling.start()
    until(lambda: asked >= 2)
    assert spooling.notice() == ""
    away = False
    until(lambda: queue.queue.find(pack_id) is not None)
    spooling.close()
    found = queue.queue.find(pack_id)
    assert found is not None
    assert (found.way.endpoint, found.way.events) == ("/in", 2)

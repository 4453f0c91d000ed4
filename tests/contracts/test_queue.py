"""The contract of the port Queue. An engine inherits QueueContract and says how it is opened."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.errors import EngineUnavailable, QueueFull
from eventstore.event import new_pack_id
from eventstore.ledger import ACCEPTED, NOTHING, TAKEN, Entries, Tally, minute_of, tally
from eventstore.ports import Packed, Queue, QueueLedger, Way

OpenQueue = Callable[[], Queue]


def pack_of(body: bytes, pack_id: UUID | None = None, events: int = 2) -> Packed:
    return Packed(pack_id or new_pack_id(), body, "/e", events)


def packs(count: int) -> list[Packed]:
    return [pack_of(f"pack {n}".encode()) for n in range(count)]


def total(entries: Entries, hop: str) -> Tally:
    """Of all minutes: a test may run over the end of one."""
    return sum((one for key, one in entries.items() if key.hop == hop), NOTHING)


def entries_of(queue: Queue, since_minute: int = 0) -> Entries:
    ledger = queue.ledger(since_minute)
    assert ledger is not None
    return ledger.entries


def _until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class QueueContract:
    """The engine under test holds 10 packs."""

    @pytest.fixture
    def opened(self) -> Iterator[OpenQueue]:
        raise NotImplementedError
        yield

    @pytest.fixture
    def queue(self, opened: OpenQueue) -> Queue:
        return opened()

    def test_what_was_put_is_claimed_and_gone_once_acknowledged(self, queue: Queue):
        put = packs(3)
        queue.put(put)
        leases = queue.claim(10, 60)
        assert {one.pack_id: one.body for one in leases} == {one.pack_id: one.body for one in put}
        assert [(one.way.endpoint, one.way.events) for one in leases] == [("/e", 2)] * 3
        assert queue.depth().packs == 3
        queue.ack(leases)
        assert queue.claim(10, 60) == []
        depth = queue.depth()
        assert (depth.packs, depth.bytes or 0, depth.leased) == (0, 0, 0)

    def test_another_handle_sees_it_at_once(self, opened: OpenQueue):
        put = packs(1)
        opened().put(put)
        assert [one.pack_id for one in opened().claim(1, 60)] == [put[0].pack_id]

    def test_full_by_packs_keeps_nothing_of_the_put(self, queue: Queue):
        queue.put(packs(8))
        with pytest.raises(QueueFull):
            queue.put(packs(3))
        assert queue.depth().packs == 8
        queue.put(packs(2))
        queue.ack(queue.claim(10, 60))
        queue.put(packs(10))

    def test_a_leased_pack_is_nobody_elses(self, opened: OpenQueue):
        one, other = opened(), opened()
        one.put(packs(2))
        assert len(one.claim(1, 60)) == 1
        assert len(other.claim(10, 60)) == 1
        assert other.claim(10, 60) == []
        assert one.depth().leased == 2

    def test_a_lease_that_ran_out_is_claimed_again_and_counted(self, opened: OpenQueue):
        one, other = opened(), opened()
        one.put(packs(1))
        (first,) = one.claim(1, 0)
        (second,) = other.claim(1, 60)
        assert (first.attempts, second.attempts) == (1, 2)
        one.ack([first])
        one.release([first])
        assert one.extend([first], 60) == []
        assert one.depth().packs == 1
        assert one.claim(1, 60) == []
        other.ack([second])
        assert one.depth().packs == 0

    def test_extending_keeps_it(self, queue: Queue):
        queue.put(packs(1))
        leases = queue.claim(1, 0)
        assert queue.extend(leases, 60) == leases
        assert queue.claim(1, 60) == []

    def test_the_oldest_is_of_those_that_nobody_holds(self, queue: Queue):
        if queue.depth().oldest_s is None:
            pytest.skip("not run: this engine can't tell how old its packs are")
        assert queue.depth().oldest_s == 0
        queue.put(packs(1))
        _until(lambda: (queue.depth().oldest_s or 0) > 0)
        leases = queue.claim(1, 60)
        assert queue.depth().oldest_s == 0
        queue.release(leases, delay_s=60, reason="it broke")
        assert (queue.depth().oldest_s or 0) > 0

    def test_handing_back_does_not_count(self, queue: Queue):
        queue.put(packs(1))
        for _ in range(3):
            leases = queue.claim(1, 60)
            assert leases[0].attempts == 1
            queue.release(leases)

    def test_a_failure_counts_and_keeps_its_reason(self, queue: Queue):
        queue.put(packs(1))
        queue.release(queue.claim(1, 60), reason="it broke")
        (lease,) = queue.claim(1, 60)
        assert (lease.attempts, lease.reason) == (2, "it broke")
        queue.release([lease], reason="again", delay_s=60)
        assert queue.claim(1, 60) == []
        assert queue.depth().leased == 0

    def test_a_new_handle_finds_what_was_there(self, opened: OpenQueue):
        one = opened()
        one.put(packs(2))
        one.claim(1, 60)
        one.close()
        assert len(opened().claim(10, 60)) == 1

    def test_an_empty_put_is_fine(self, queue: Queue):
        queue.put([])
        assert queue.depth().packs == 0


class RememberingQueueContract(QueueContract):
    """Of an engine that has a ledger. Bounds: 10 packs, 1000 bytes."""

    def test_packs_are_claimed_in_the_order_in_which_they_were_put(self, queue: Queue):
        put = packs(3)
        queue.put(put)
        assert [one.pack_id for one in queue.claim(10, 60)] == [one.pack_id for one in put]

    def test_the_same_pack_twice_is_kept_once(self, queue: Queue):
        put = packs(2)
        queue.put(put)
        queue.put(put)
        assert queue.depth().packs == 2
        assert queue.depth().bytes == sum(len(one.body) for one in put)

    def test_full_by_bytes(self, queue: Queue):
        with pytest.raises(QueueFull):
            queue.put([pack_of(b"x" * 1001)])
        queue.put([pack_of(b"x" * 1000)])

    def test_a_pack_is_found_with_the_stages_that_it_has_reached(self, queue: Queue):
        (put,) = packs(1)
        assert queue.find(put.pack_id) is None
        before_ms = time.time_ns() // 1_000_000
        queue.put([put])
        found = queue.find(put.pack_id)
        assert found is not None
        assert (found.body, found.way.endpoint, found.way.events) == (put.body, "/e", 2)
        assert [one.name for one in found.way.stages] == ["queued"]
        (lease,) = queue.claim(1, 60, node="processor-01", release="1.0.0")
        found = queue.find(put.pack_id)
        assert found is not None
        assert found.way == lease.way
        queued, leased = found.way.stages
        assert before_ms <= queued.at_ms <= leased.at_ms <= time.time_ns() // 1_000_000
        assert (leased.name, leased.node, leased.release) == ("leased", "processor-01", "1.0.0")
        queue.release([lease], reason="it broke")
        (lease,) = queue.claim(1, 60, node="processor-02")
        assert lease.way.stages[1].node == "processor-02"
        assert lease.way.stages[1].note == "attempt 2: it broke"
        queue.ack([lease])
        assert queue.find(put.pack_id) is None

    def test_a_pack_that_was_handed_back_unbegun_only_waits(self, queue: Queue):
        (put,) = packs(1)
        queue.put([put])
        queue.release(queue.claim(1, 60))
        found = queue.find(put.pack_id)
        assert found is not None
        assert [one.name for one in found.way.stages] == ["queued"]

    def test_the_ledger_has_what_was_accepted_and_taken(self, opened: OpenQueue):
        queue = opened()
        put = packs(3)
        queue.put(put)
        queue.put(put)  # counted once
        minute = minute_of(put[0].pack_id)
        whole = sum((tally(one.pack_id, 2) for one in put), NOTHING)
        assert total(entries_of(queue, minute - 1), ACCEPTED) == whole
        leases = queue.claim(2, 60)
        queue.ack(leases)
        queue.ack(leases)  # gone already
        looked = opened().ledger(minute - 1, recount=True)
        assert looked is not None
        assert total(looked.entries, ACCEPTED) == whole
        taken = sum((tally(one.pack_id, 2) for one in put[:2]), NOTHING)
        assert total(looked.entries, TAKEN) == taken
        assert looked.waiting == {put[2].pack_id: Way("/e", 2)}
        assert queue.ledger(minute - 1) == QueueLedger(looked.entries, {})
        assert queue.ledger(minute + 2, recount=True) == QueueLedger({}, {})

    def test_what_did_not_fit_was_not_accepted(self, queue: Queue):
        with pytest.raises(QueueFull):
            queue.put(packs(11))
        assert entries_of(queue) == {}

    def test_what_was_taken_can_be_put_back_and_is_not_accepted_twice(self, queue: Queue):
        put = packs(2)
        queue.put(put)
        queue.ack(queue.claim(10, 60))
        before = entries_of(queue)
        queue.put_back(put[:1])
        queue.put_back(put[:1])
        assert queue.depth().packs == 1
        entries = entries_of(queue)
        assert total(entries, ACCEPTED) == total(before, ACCEPTED)
        assert total(entries, TAKEN) == total(before, TAKEN) - tally(put[0].pack_id, put[0].events)
        (lease,) = queue.claim(10, 60)
        assert (lease.pack_id, lease.attempts) == (put[0].pack_id, 1)
        queue.ack([lease])
        assert entries_of(queue) == before
        with pytest.raises(QueueFull):
            queue.put_back(packs(11))


def _embedded(path: Path, packs_max: int = 10, bytes_max: int = 1000) -> EmbeddedQueue:
    return EmbeddedQueue(path, packs_max=packs_max, bytes_max=bytes_max)


class TestEmbeddedQueue(RememberingQueueContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[OpenQueue]:
        queues: list[Queue] = []

        def open_one() -> Queue:
            queues.append(_embedded(tmp_path / "queue.sqlite"))
            return queues[-1]

        yield open_one
        for one in queues:
            one.close()


def _put_many(path: Path, ids: list[UUID]) -> None:
    queue = _embedded(path, 10_000, 1 << 30)
    for pack_id in ids:
        queue.put([pack_of(b"x" * 100, pack_id)])
    queue.close()


def _take_all(path: Path, expected: int, taken: "multiprocessing.Queue[list[UUID]]") -> None:
    queue = _embedded(path, 10_000, 1 << 30)
    mine: list[UUID] = []
    while True:
        leases = queue.claim(5, 60)
        mine += [one.pack_id for one in leases]
        queue.ack(leases)
        if not leases and queue.depth().packs == 0 and (path.parent / "put").exists():
            break
    taken.put(mine)
    queue.close()


def test_two_writers_and_two_claimers_in_processes_of_their_own(tmp_path: Path):
    path = tmp_path / "queue.sqlite"
    ids = [new_pack_id() for _ in range(400)]
    context = multiprocessing.get_context("spawn")
    taken: multiprocessing.Queue[list[UUID]] = context.Queue()
    writers = [context.Process(target=_put_many, args=(path, ids[n::2])) for n in range(2)]
    takers = [context.Process(target=_take_all, args=(path, 400, taken)) for _ in range(2)]
    for process in (*writers, *takers):
        process.start()
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    (tmp_path / "put").touch()
    got = [pack_id for _ in takers for pack_id in taken.get(timeout=60)]
    for process in takers:
        process.join(60)
    assert sorted(got) == sorted(ids)


def test_a_lock_that_is_never_let_go_is_an_error_in_bounded_time(tmp_path: Path):
    holder = _embedded(tmp_path / "queue.sqlite")
    other = EmbeddedQueue(tmp_path / "queue.sqlite", packs_max=1, bytes_max=9, busy_s=0.1)
    with holder._database.transaction(), pytest.raises(EngineUnavailable, match="locked by others"):
        other.put(packs(1))
    other.put(packs(1))


def test_a_lease_of_a_pack_that_is_gone_holds_nothing_of_what_took_its_place(tmp_path: Path):
    queue = _embedded(tmp_path / "queue.sqlite")
    queue.put(packs(1))
    old = queue.claim(1, 60)
    queue.ack(old)
    put = packs(2)
    queue.put(put)
    held = queue.claim(1, 60)
    queue.ack(old)
    queue.release(old)
    assert queue.extend(old, 60) == []
    assert [one.pack_id for one in (*held, *queue.claim(10, 60))] == [one.pack_id for one in put]
    assert queue.depth().packs == 2


def test_an_unknown_schema_version_is_refused(tmp_path: Path):
    queue = _embedded(tmp_path / "queue.sqlite")
    with queue._database.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    queue.close()
    with pytest.raises(EngineUnavailable, match="schema 99"):
        _embedded(tmp_path / "queue.sqlite")


def test_commits_are_synced_and_pages_are_large(tmp_path: Path):
    database = _embedded(tmp_path / "queue.sqlite")._database
    assert database.rows("PRAGMA synchronous") == [(2,)]
    assert database.rows("PRAGMA journal_mode") == [("wal",)]
    assert database.rows("PRAGMA page_size") == [(16384,)]

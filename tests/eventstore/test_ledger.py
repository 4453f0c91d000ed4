"""The conservation ledger: it balances to the event, and names where something was lost."""

import json
import sqlite3
import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from eventstore import ledger, packing
from eventstore.event import new_pack_id
from eventstore.ports import EventStore, Packed, Queue, QueueLedger, StoreLedger, Way
from eventstore.processing.enrich import Rules, enrich
from eventstore.processing.processor import Processor
from eventstore.query.ledger import Line, balance, read_ledger
from eventstore.settings import Settings

PLACE = "/v1/events"
PACK = UUID("01a20e27-eb53-77f8-851b-06709ece835a")


def make_pack(events: Sequence[bytes], pack_id: UUID | None = None) -> Packed:
    pack_id = pack_id or new_pack_id()
    share = packing.Share(len(events), ledger.accepted_at_ms(pack_id))
    tags = {"endpoint": PLACE, "source": "web"}
    body = packing.pack(pack_id, tags, [share], [b"\n".join(events)], None)
    return Packed(pack_id, body, PLACE, len(events))


def another_of_its_minute(pack_id: UUID) -> UUID:
    return UUID(int=pack_id.int ^ 1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=f"file://{tmp_path}", attempts_max=1)


def process(queue: Queue, store: EventStore, settings: Settings) -> None:
    processor = Processor(queue, store, settings)
    while processor.step():
        pass


def the_line(queue: Queue, store: EventStore) -> Line:
    (line,) = read_ledger(queue, store, 0)
    return line


def spoil(tmp_path: Path, file: str, statement: str, *values: object) -> None:
    with sqlite3.connect(tmp_path / file) as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


# the digest


def test_a_digest_is_the_one_that_is_documented():
    """What is on disk was made by it: another function would be another version."""

    def documented(number: int) -> int:
        return int(xxhash.xxh3_64_intdigest(PACK.bytes + struct.pack("<I", number)) % 2**62)

    whole, first = documented(3), documented(0)
    assert ledger.tally(PACK, 3) == ledger.Tally(3, whole)
    assert ledger.fates(PACK, 3, [0], [0]) == {
        ledger.STORED: ledger.Tally(2, (whole - first) % 2**62),
        ledger.DEAD: ledger.Tally(1, first),
        ledger.DUPLICATE: ledger.NOTHING,
    }
    assert ledger.minute_of(PACK) == 0x01A20E27EB53 // 60_000


@given(st.sets(st.integers(0, 49)), st.sets(st.integers(0, 49)))
def test_fates_add_up_to_the_whole_pack(hidden: set[int], dead: set[int]):
    found = ledger.fates(PACK, 50, hidden, dead)
    assert sum(found.values(), ledger.NOTHING) == ledger.tally(PACK, 50)
    none = ledger.NOTHING
    assert found.get(ledger.DEAD, none).events == len(hidden & dead)
    assert found.get(ledger.DUPLICATE, none).events == len(hidden - dead)


def test_every_event_has_a_hash_of_its_own():
    """So no two sets of events of the same size are alike: shown for single ones."""
    packs = [PACK, another_of_its_minute(PACK), new_pack_id()]
    alone = {
        ledger.fates(pack, 100, set(range(100)) - {index}, ())[ledger.STORED].digest
        for pack in packs
        for index in range(100)
    }
    assert len(alone) == 300


# it balances


def test_it_balances_with_every_fate_and_in_flight(
    queue: Queue, store: EventStore, settings: Settings
):
    minute_ms = time.time_ns() // 1_000_000 // 60_000 * 60_000
    ids = [UUID(int=(minute_ms << 80) + n) for n in range(4)]
    first = make_pack([b'{"id":"a"}', b'{"id":"b"}'], ids[0])
    again = make_pack([b'{"id":"b"}', b"not json", b'{"id":"c"}'], ids[1])
    poison = make_pack([b"{}"] * 4, ids[2])
    waits = make_pack([b"{}"] * 5, ids[3])
    queue.put([first, again, replace(poison, body=poison.body[:-1])])
    process(queue, store, settings)
    queue.put([waits])
    line = the_line(queue, store)
    assert (line.minute, line.endpoint, line.settled, line.faults) == (
        minute_ms // 60_000, PLACE, True, (),
    )  # fmt: skip
    assert (line.accepted, line.stored, line.dead, line.duplicate, line.in_flight) == (
        14, 3, 5, 1, 5,
    )  # fmt: skip


def test_stored_and_not_yet_acknowledged_is_not_counted_twice(
    queue: Queue, store: EventStore, settings: Settings
):
    pack = make_pack([b"{}", b"{}"])
    queue.put([pack])
    store.put([enrich(pack.pack_id, pack.body, Rules.of(settings))])
    line = the_line(queue, store)
    assert (line.accepted, line.stored, line.in_flight, line.faults) == (2, 2, 0, ())


def test_what_is_accepted_while_it_is_read_is_no_fault():
    pack_id, minute = PACK, ledger.minute_of(PACK)
    seen = ledger.tally(pack_id, 2)
    store = {ledger.Key(minute, PLACE, ledger.STORED): seen}
    looked = QueueLedger({}, {})
    then = StoreLedger(store, store, ())
    (line,) = balance(looked, then, {ledger.Key(minute, PLACE, ledger.ACCEPTED): seen})
    assert (line.settled, line.faults) == (False, ())
    (line,) = balance(looked, then, {})
    assert [(fault.hop, fault.missing) for fault in line.faults] == [("processor", -2)]


def test_minutes_and_endpoints_are_told_apart(queue: Queue, store: EventStore):
    minute = 30_000_000
    ids = [UUID(int=(minute + n) * 60_000 << 80) for n in range(3)]
    queue.put([make_pack([b"{}"], one) for one in ids])
    queue.put([replace(make_pack([b"{}"], another_of_its_minute(ids[2])), endpoint="/other")])
    lines = read_ledger(queue, store, minute + 1)
    assert [(line.minute - minute, line.endpoint, line.in_flight) for line in lines] == [
        (1, PLACE, 1), (2, "/other", 1), (2, PLACE, 1),
    ]  # fmt: skip


# losses, planted at each hop


def test_a_pack_that_vanishes_from_the_queue(queue: Queue, store: EventStore, tmp_path: Path):
    lost = make_pack([b"{}"] * 3)
    queue.put([lost])
    spoil(tmp_path, "queue.sqlite", "DELETE FROM packs WHERE id = ?", lost.pack_id.bytes)
    line = the_line(queue, store)
    (fault,) = line.faults
    assert (fault.hop, fault.missing, fault.says) == (
        "queue", 3, "0 of 3 events wait in the queue",
    )  # fmt: skip
    assert (line.minute, line.endpoint) == (ledger.minute_of(lost.pack_id), PLACE)


def test_a_pack_that_is_acknowledged_and_not_stored(queue: Queue, store: EventStore):
    queue.put([make_pack([b"{}"] * 3)])
    queue.ack(queue.claim(1, 60))
    (fault,) = the_line(queue, store).faults
    assert (fault.hop, fault.missing) == ("processor", 3)
    assert ledger.lost(queue.ledger(0).entries, store.ledger(0).entries) == 3


def test_a_row_that_vanishes_from_the_store(
    queue: Queue, store: EventStore, settings: Settings, tmp_path: Path
):
    lost = make_pack([b"{}"] * 3)
    queue.put([lost])
    process(queue, store, settings)
    spoil(tmp_path, "store.sqlite", "DELETE FROM packs WHERE id = ?", lost.pack_id.bytes)
    line = the_line(queue, store)
    (fault,) = line.faults
    assert (fault.hop, fault.missing, line.accepted, line.stored) == ("store", 3, 3, 0)
    assert fault.says == "0 of 3 events are there as stored"


def test_a_dead_letter_that_vanishes(
    queue: Queue, store: EventStore, settings: Settings, tmp_path: Path
):
    queue.put([make_pack([b"{}", b"not json"])])
    process(queue, store, settings)
    spoil(tmp_path, "store.sqlite", "DELETE FROM dead_letters")
    faults = the_line(queue, store).faults
    assert {(fault.hop, fault.missing) for fault in faults} == {("store", 1), ("store", -1)}


def test_a_swap_in_the_queue(queue: Queue, store: EventStore, tmp_path: Path):
    pack = make_pack([b"{}"] * 3)
    queue.put([pack])
    other = another_of_its_minute(pack.pack_id)
    spoil(tmp_path, "queue.sqlite", "UPDATE packs SET id = ?", other.bytes)
    (fault,) = the_line(queue, store).faults
    assert (fault.hop, fault.missing) == ("queue", 0)
    assert "not the same ones" in fault.says


def test_a_swap_by_a_processor(queue: Queue, store: EventStore, settings: Settings):
    pack = make_pack([b"{}"] * 3)
    queue.put([pack])
    leases = queue.claim(1, 60)
    other = make_pack([b"{}"] * 3, another_of_its_minute(pack.pack_id))
    ways = {other.pack_id: leases[0].way}
    store.put([enrich(other.pack_id, other.body, Rules.of(settings))], ways)
    queue.ack(leases)
    line = the_line(queue, store)
    (fault,) = line.faults
    assert (line.accepted, line.stored) == (3, 3)
    assert (fault.hop, fault.missing) == ("processor", 0)


def test_a_swap_in_the_store(queue: Queue, store: EventStore, settings: Settings, tmp_path: Path):
    """Another event of the pack is hidden: every count is as it was."""
    queue.put([make_pack([b'{"id":"a"}', b'{"id":"a"}', b"{}"])])
    process(queue, store, settings)
    spoil(tmp_path, "store.sqlite", "UPDATE packs SET retries = ?", json.dumps([2]))
    line = the_line(queue, store)
    assert (line.stored, line.duplicate) == (2, 1)
    assert [(fault.hop, fault.missing) for fault in line.faults] == [("store", 0), ("store", 0)]


def test_a_way_may_name_a_pack_that_the_store_has_not_seen(store: EventStore):
    assert store.put([], {PACK: Way(PLACE, 1)}) == 0
    assert store.ledger(0).entries == {}

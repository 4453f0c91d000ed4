"""The contract of the port EventStore. An engine inherits it and says how it is opened."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from eventstore.backends.embedded.store import EmbeddedStore
from eventstore.errors import EngineUnavailable, EventStoreError
from eventstore.event import CountKey, new_pack_id
from eventstore.ledger import DEAD, FATES, NOTHING, STORED, Entries, Tally, fates, minute_of, tally
from eventstore.ports import (
    ERASED,
    DeadLetter,
    Enriched,
    EventStore,
    Order,
    Rewritten,
    Stage,
    Trained,
    Way,
)
from eventstore.processing.identity import keys_of

OpenStore = Callable[[], EventStore]
A = CountKey(600, "/e", "a")
B = CountKey(600, "/e", "b")
LATER = CountKey(660, "/e", "a")


def enriched(
    counted: list[CountKey],
    ids: list[str | None] | None = None,
    pack_id: UUID | None = None,
    spans: list[int] | None = None,
) -> Enriched:
    """A pack whose events count for these keys; ids: the client's own."""
    names = sorted({key.name for key in counted})
    return Enriched(
        pack_id or new_pack_id(),
        b"body",
        b"sidecar",
        endpoint="/e",
        windows=np.array([key.window_start_s for key in counted], dtype=np.int64),
        names=names,
        name_codes=np.array([names.index(key.name) for key in counted], dtype=np.uint32),
        keys=keys_of([(one or "").encode() for one in ids or [None] * len(counted)], "web"),
        key_spans=np.array(spans or [0] * len(counted), dtype=np.int64),
    )


def by_fate(entries: Entries) -> dict[str, Tally]:
    """Of all minutes: a test may run over the end of one."""
    found: dict[str, Tally] = {}
    for key, one in entries.items():
        assert key.endpoint == "/e"
        found[key.hop] = found.get(key.hop, NOTHING) + one
    return {fate: one for fate, one in found.items() if one != NOTHING}


def hidden_of(store: EventStore) -> dict[UUID, frozenset[int]]:
    return {one.pack_id: one.hidden for one in store.packs()}


class EventStoreContract:
    @staticmethod
    def in_order(packs: list[Enriched]) -> list[UUID]:
        """The order in which the engine has them, when they were put so."""
        return [one.pack_id for one in packs]

    @pytest.fixture
    def opened(self) -> Iterator[OpenStore]:
        raise NotImplementedError
        yield

    @pytest.fixture
    def store(self, opened: OpenStore) -> EventStore:
        return opened()

    def test_what_was_put_is_read_by_id_and_in_order(self, opened: OpenStore):
        packs = [enriched([A]) for _ in range(150)]
        opened().put(packs)
        reader = opened()
        in_order = self.in_order(packs)
        assert [one.pack_id for one in reader.packs()] == in_order
        stored = reader.get(packs[7].pack_id)
        assert stored is not None
        assert (stored.body, stored.sidecar, stored.hidden) == (b"body", b"sidecar", frozenset())
        later = in_order[in_order.index(stored.pack_id) + 1 :]
        assert [one.pack_id for one in reader.packs(stored.seq)] == later
        assert reader.get(new_pack_id()) is None

    def test_the_same_pack_again_changes_nothing(self, store: EventStore):
        pack = enriched([A, A, B], ["x", "y", None])
        assert store.put([pack]) == 0
        before = (list(store.packs()), store.partials(600))
        assert store.put([pack]) == 0
        assert (list(store.packs()), store.partials(600)) == before

    def test_a_clients_retry_is_hidden_and_counted_once(self, store: EventStore):
        first = enriched([A, A], ["x", "y"])
        retry = enriched([A, A], ["y", "z"])
        store.put([first])
        assert store.put([retry]) == 1
        hidden = {first.pack_id: frozenset(), retry.pack_id: {0}}
        assert hidden_of(store) == hidden
        assert store.partials(600).counts == Counter({A: 3})
        assert store.put([first, retry]) == 1
        assert hidden_of(store) == hidden

    def test_within_a_pack_the_first_wins(self, store: EventStore):
        store.put([enriched([A, B, A], ["x", "x", "x"])])
        assert [one.hidden for one in store.packs()] == [{1, 2}]
        assert store.partials(600).counts == Counter({A: 1})

    def test_other_sources_and_spans_and_events_without_ids_are_their_own(self, store: EventStore):
        one = enriched([A, A, A, A], ["x", "x", None, None], spans=[0, 1, 0, 0])
        other = replace(enriched([A], ["x"]), keys=keys_of([b"x"], "ios"))
        store.put([one, other])
        assert set(hidden_of(store).values()) == {frozenset()}

    def test_dead_events_are_hidden_and_kept(self, store: EventStore):
        pack_id = new_pack_id()
        letter = DeadLetter(pack_id, 1, "format", "bad", b"{")
        pack = replace(enriched([A, A], pack_id=pack_id), dead=(letter,))
        store.put([pack])
        store.put([pack])
        assert list(store.dead_letters()) == [letter]
        assert [one.hidden for one in store.packs()] == [{1}]
        assert store.partials(600).counts == Counter({A: 1})

    def test_whole_packs_die_too(self, store: EventStore):
        letter = DeadLetter(new_pack_id(), None, "pack", "poison", b"\x00bytes")
        store.put_dead([letter])
        store.put_dead([letter])
        assert list(store.dead_letters()) == [letter]

    def test_windows_change_and_are_marked(self, store: EventStore):
        store.put([enriched([A, LATER, A])])
        assert store.changed_windows(10) == [600, 660]
        assert store.changed_windows(1) == [600]
        partials = store.partials(600)
        assert (partials.counts, partials.packs) == (Counter({A: 2}), 1)
        store.mark_published(600, partials.version)
        assert store.changed_windows(10) == [660]
        store.put([enriched([B])])
        assert store.changed_windows(10) == [600, 660]
        again = store.partials(600)
        assert again.version > partials.version
        store.mark_published(600, again.version)
        store.mark_published(600, partials.version)
        assert store.changed_windows(10) == [660]

    def test_a_redelivery_does_not_change_a_window(self, store: EventStore):
        pack = enriched([A])
        store.put([pack])
        store.mark_published(600, store.partials(600).version)
        store.put([pack])
        assert store.changed_windows(10) == []

    def test_the_first_way_is_noted_and_kept(self, store: EventStore):
        pack = enriched([A, LATER, A])
        assert store.noted(pack.pack_id) is None
        way = Way("/e", 3, (Stage("queued", 1), Stage("stored", 2, "p-1", "1.0.0", "a note")))
        store.put([pack], {pack.pack_id: way})
        store.put([pack], {pack.pack_id: replace(way, stages=(Stage("stored", 99),))})
        noted = store.noted(pack.pack_id)
        assert noted is not None
        assert (noted.way, noted.dead) == (way, {})
        assert noted.windows == {start: store.partials(start).version for start in (600, 660)}

    def test_a_window_counts_a_pack_from_one_of_its_versions_on(self, store: EventStore):
        first, second = enriched([A]), enriched([A, B])
        store.put([first])
        store.put([second])
        versions = [
            noted.windows[600] for one in (first, second) if (noted := store.noted(one.pack_id))
        ]
        assert versions[0] < versions[1] == store.partials(600).version

    def test_the_ledger_has_what_became_of_each_event(self, store: EventStore):
        first = enriched([A, A], ["x", "y"])
        pack_id = new_pack_id()
        letter = DeadLetter(pack_id, 3, "format", "bad", b"{")
        second = enriched([A, A, A, A], ["y", "z", None, None], pack_id)
        second = replace(second, dead=(letter,))
        for _ in range(2):  # a redelivery is noted once
            store.put([first, second])
        expected = fates(pack_id, 4, {0, 3}, {3})
        expected[STORED] += tally(first.pack_id, 2)
        minute = minute_of(first.pack_id)
        looked = store.ledger(minute - 1, [first.pack_id, new_pack_id()], recount=True)
        assert by_fate(looked.entries) == by_fate(looked.found) == expected
        assert [expected[fate].events for fate in FATES] == [4, 1, 1]
        assert set(looked.noted) == {first.pack_id}
        assert store.ledger(minute - 1).found == {}
        assert store.ledger(minute + 2, recount=True).entries == {}

    def test_a_whole_pack_is_dead_with_all_its_events_until_it_is_stored(self, store: EventStore):
        pack = enriched([A, A, B])
        letter = DeadLetter(pack.pack_id, None, "pack", "poison", b"body")
        dead, kept = Way("/e", 3, (Stage("dead", 5),)), Way("/e", 3, (Stage("stored", 9),))
        store.put_dead([letter], {pack.pack_id: dead})
        store.put_dead([letter], {pack.pack_id: dead})
        looked = store.ledger(0, recount=True)
        assert by_fate(looked.entries) == by_fate(looked.found) == {DEAD: tally(pack.pack_id, 3)}
        noted = store.noted(pack.pack_id)
        assert noted is not None
        assert (noted.way, noted.dead) == (dead, {None: "poison"})
        store.put([pack], {pack.pack_id: kept})  # it was replayed
        looked = store.ledger(0, recount=True)
        assert by_fate(looked.entries) == by_fate(looked.found) == {STORED: tally(pack.pack_id, 3)}
        noted = store.noted(pack.pack_id)
        assert noted is not None
        assert noted.way == kept

    def test_a_stored_pack_that_is_given_up_stays_stored(self, store: EventStore):
        """Stored, and its processor died before it could say so, again and again."""
        pack = enriched([A])
        store.put([pack])
        letter = DeadLetter(pack.pack_id, None, "pack", "stalled", b"body")
        store.put_dead([letter], {pack.pack_id: Way("/e", 1)})
        looked = store.ledger(0, recount=True)
        assert by_fate(looked.entries) == by_fate(looked.found) == {STORED: tally(pack.pack_id, 1)}

    def test_the_newest_come_first(self, store: EventStore):
        packs = [enriched([A]) for _ in range(150)]
        store.put(packs)
        assert list(store.newest()) == list(store.packs())[::-1]

    def test_dead_letters_are_found_by_fingerprint_and_are_many(self, store: EventStore):
        packs = sorted(new_pack_id() for _ in range(300))
        bad = [
            DeadLetter(pack_id, 0, "schema", f"/n: {pack_id} is bad", b"{}") for pack_id in packs
        ]
        poison = [DeadLetter(pack_id, None, "pack", "poison", b"body") for pack_id in packs[::2]]
        store.put_dead([*bad, *poison])
        assert len({one.fingerprint for one in [*bad, *poison]}) == 2
        assert list(store.dead_letters(bad[0].fingerprint)) == bad
        assert list(store.dead_letters(poison[0].fingerprint)) == poison
        found = [(one.pack_id, one.index or -1) for one in store.dead_letters()]
        assert len(found) == 450
        assert [pack_id for pack_id, _ in found] == sorted(pack_id for pack_id, _ in found)
        assert list(store.dead_letters("0" * 12)) == []

    def test_a_dead_event_is_revived_in_its_pack_and_the_others_stay(self, store: EventStore):
        store.put([enriched([A], ["x"])])
        pack = enriched([A, B, A, A], ["x", None, "y", None])
        letters = [DeadLetter(pack.pack_id, index, "transform", "no", b"{}") for index in (0, 1, 3)]
        store.put([replace(pack, dead=letters)])
        was = store.get(pack.pack_id)
        assert was is not None
        assert was.hidden == {0, 1, 3}
        again = replace(pack, sidecar=b"newer", view=b"seen", dead=[], times_seen=[1, 2, 1, 1])
        assert store.revive(again, {0, 1}, was)
        revived = store.get(pack.pack_id)
        assert revived is not None
        assert revived.hidden == {0, 3}  # 0 is its client's retry of an event that is there
        assert (revived.sidecar, revived.view, revived.body) == (b"newer", b"seen", b"body")
        assert list(store.dead_letters()) == [letters[2]]
        assert store.partials(600).counts == Counter({A: 2, B: 2})
        looked = store.ledger(0, recount=True)
        assert by_fate(looked.entries) == by_fate(looked.found)
        worse = replace(letters[2], reason="still no")
        assert store.revive(replace(again, dead=[worse]), {3}, revived)
        assert list(store.dead_letters()) == [worse]

    def test_what_has_changed_meanwhile_is_not_revived(self, store: EventStore):
        pack = enriched([A, A])
        letters = [DeadLetter(pack.pack_id, index, "transform", "no", b"{}") for index in (0, 1)]
        store.put([replace(pack, dead=letters)])
        was = store.get(pack.pack_id)
        assert was is not None
        assert store.revive(replace(pack, dead=[]), {0}, was)
        before = list(store.packs())
        assert not store.revive(replace(pack, dead=letters[:1]), {0, 1}, was)
        assert not store.revive(enriched([A]), {0}, was)
        assert list(store.packs()) == before

    def test_a_revived_event_stays_so_when_its_pack_comes_again(self, store: EventStore):
        pack = enriched([A])
        dead = replace(pack, dead=[DeadLetter(pack.pack_id, 0, "transform", "no", b"{}")])
        store.put([dead])
        was = store.get(pack.pack_id)
        assert was is not None
        assert store.revive(replace(pack, view=b"seen"), {0}, was)
        before = list(store.packs())
        store.put([dead])
        assert list(store.packs()) == before
        assert list(store.dead_letters()) == []
        assert store.partials(600).counts == Counter({A: 1})

    def test_a_whole_pack_is_no_dead_letter_once_it_is_stored(self, store: EventStore):
        pack = enriched([A])
        store.put_dead([DeadLetter(pack.pack_id, None, "pack", "poison", b"body")])
        store.put([pack])
        assert list(store.dead_letters()) == []

    def test_what_is_left_takes_the_place_of_a_pack_and_its_letters(self, opened: OpenStore):
        """And nothing else changes: not what is counted, hidden, known as a retry, or noted."""
        store = opened()
        store.put([enriched([A], ["x"])])
        pack = enriched([A, A, B, A], ["x", "y", None, None])
        letters = [DeadLetter(pack.pack_id, index, "format", "bad: u-17", b"{") for index in (1, 3)]
        notes = (Stage("leased", 1, note="attempt 2: no: u-17"), Stage("stored", 2))
        store.put([replace(pack, dead=letters)], {pack.pack_id: Way("/e", 4, notes)})
        was = store.get(pack.pack_id)
        before = (store.ledger(0, recount=True), store.partials(600), store.changed_windows(9))
        assert was is not None
        gone = DeadLetter(pack.pack_id, 3, ERASED, "erased: it", b"")
        left = Rewritten(
            pack.pack_id, [gone, replace(gone, index=2)], was, b"left", b"of it", b"all"
        )
        assert store.erase([left]) == frozenset()
        now = opened().get(pack.pack_id)
        assert now == replace(was, body=b"left", sidecar=b"of it", view=b"all")
        assert list(store.dead_letters()) == [letters[0], gone]
        assert (store.ledger(0, recount=True), store.partials(600), store.changed_windows(9)) == (
            before
        )
        noted = store.noted(pack.pack_id)
        assert noted is not None
        assert [one.note for one in noted.way.stages] == ["attempt 2", ""]
        store.put([replace(pack, dead=letters)])  # a redelivery
        assert store.get(pack.pack_id) == now
        assert store.put([enriched([A], ["y"])]) == 1
        assert store.erase([replace(left, was=now)]) == frozenset()
        assert store.get(pack.pack_id) == now

    def test_what_has_changed_meanwhile_is_not_erased(self, store: EventStore):
        pack = enriched([A, A])
        letters = [DeadLetter(pack.pack_id, index, "transform", "no", b"{}") for index in (0, 1)]
        store.put([replace(pack, dead=letters)])
        was = store.get(pack.pack_id)
        assert was is not None
        assert store.revive(replace(pack, dead=[]), {0}, was)
        now, unknown = store.get(pack.pack_id), new_pack_id()
        gone = [DeadLetter(pack.pack_id, 1, ERASED, "erased: it", b"")]
        changed = store.erase(
            [
                Rewritten(pack.pack_id, gone, was, b"left"),
                Rewritten(unknown, [], replace(was, pack_id=unknown), b"left"),
            ]
        )
        assert changed == {pack.pack_id, unknown}
        assert store.get(pack.pack_id) == now
        assert store.get(unknown) is None
        assert list(store.dead_letters()) == letters[1:]

    def test_a_whole_dead_pack_is_erased_and_stays_so(self, store: EventStore):
        pack_id = new_pack_id()
        letter = DeadLetter(pack_id, None, "pack", "no: u-17", b"body")
        way = Way("/e", 3, (Stage("dead", 5, note="no: u-17"),))
        store.put_dead([letter], {pack_id: way})
        left = replace(letter, stage=ERASED, reason="erased: it", body=b"left")
        assert store.erase([Rewritten(pack_id, [left])]) == frozenset()
        store.put_dead([letter], {pack_id: way})
        assert list(store.dead_letters()) == list(store.dead_letters(left.fingerprint)) == [left]
        noted = store.noted(pack_id)
        assert noted is not None
        assert [one.note for one in noted.way.stages] == ["no"]
        looked = store.ledger(0, recount=True)
        assert by_fate(looked.entries) == by_fate(looked.found) == {DEAD: tally(pack_id, 3)}

    def test_erasures_stand_until_they_are_over(self, opened: OpenStore):
        store = opened()
        assert store.orders(0) == []
        now_ms = time.time_ns() // 1_000_000
        first = Order("a" * 32, "user", 4, "0" * 64, now_ms, now_ms + 5_000_000)
        second = Order("b" * 32, "a.key", 9, "1" * 64, now_ms, now_ms + 9_000_000)
        store.put_order(second)
        store.put_order(replace(first, value_bytes=3))
        store.put_order(first)
        assert opened().orders(now_ms) == [first, second]
        assert opened().orders(first.until_ms) == [second]
        store.put_order(replace(second, at_ms=second.until_ms, until_ms=second.until_ms + 1))
        assert [one.certificate for one in opened().orders(second.until_ms)] == ["b" * 32]

    def test_dictionaries_are_kept_and_never_change(self, opened: OpenStore):
        store = opened()
        assert store.dictionary(7) is None
        assert list(store.dictionaries()) == []
        later, first = Trained(4_000_000_000, "b", 2, b"x" * 112_640), Trained(7, "a", 1, b"first")
        for one in (later, first, replace(first, at_ms=9)):
            store.put_dictionary(one)
        assert list(opened().dictionaries()) == [first, later]
        assert opened().dictionary(later.dictionary_id) == later.data
        with pytest.raises(EventStoreError, match="dictionary 7 is another one"):
            store.put_dictionary(replace(first, data=b"other"))
        assert store.dictionary(7) == b"first"

    def test_an_unknown_window_is_empty(self, store: EventStore):
        assert store.partials(0).version == 0


class TestEmbeddedStore(EventStoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[OpenStore]:
        stores: list[EventStore] = []

        def open_one() -> EventStore:
            stores.append(EmbeddedStore(tmp_path / "store.sqlite"))
            return stores[-1]

        yield open_one
        for one in stores:
            one.close()


def test_erased_bytes_are_in_no_file_and_no_log(tmp_path: Path):
    store = EmbeddedStore(tmp_path / "store.sqlite")
    marks = [f"mark-{number}-".encode() * 9000 for number in range(3)]
    pack, dead = enriched([A]), new_pack_id()
    store.put([replace(pack, body=marks[0], sidecar=marks[1])])
    letter = DeadLetter(dead, None, "pack", "no", marks[2])
    store.put_dead([letter], {dead: Way("/e", 1)})
    was = store.get(pack.pack_id)
    left = replace(letter, body=b"left")
    store.erase([Rewritten(pack.pack_id, [], was, b"left"), Rewritten(dead, [left])])
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()
    assert b"left" in kept
    assert not any(mark[:7] in kept for mark in marks)


def test_a_log_that_others_keep_reading_is_told(tmp_path: Path):
    store = EmbeddedStore(tmp_path / "store.sqlite", busy_s=0.05)
    store.put([enriched([A])])
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM packs").fetchone()
    with pytest.raises(EngineUnavailable, match="others kept reading"):
        store.erase([])
    other.close()
    assert store.erase([]) == frozenset()
    store.close()

"""The embedded event store: one row a pack, which client keys were stored, what each window counts.

Of events with the same client key the first that was stored is visible, for ever; a pack that is
stored again keeps what was hidden of it.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np

from eventstore.backends.embedded import (
    dictionary_table,
    key_index,
    ledger_table,
    order_table,
    passages,
)
from eventstore.backends.embedded.database import Database
from eventstore.backends.embedded.key_index import KeyIndex
from eventstore.backends.embedded.passages import WHOLE_PACK
from eventstore.event import CountKey
from eventstore.ledger import Key, Tally
from eventstore.ports import (
    NO_WAYS,
    DeadLetter,
    Enriched,
    Noted,
    Order,
    Partials,
    Rewritten,
    Stored,
    StoreLedger,
    Tidied,
    Trained,
    Way,
)

SCHEMA = (
    "CREATE TABLE packs (seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE,"
    " endpoint TEXT NOT NULL, events INTEGER NOT NULL, stages TEXT NOT NULL,"
    " retries TEXT NOT NULL, dead TEXT NOT NULL, sidecar BLOB NOT NULL, view BLOB NOT NULL,"
    " body BLOB NOT NULL)",
    "CREATE TABLE partials (window_start_s INTEGER NOT NULL, pack_id BLOB NOT NULL,"
    " version INTEGER NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (window_start_s, pack_id))"
    " WITHOUT ROWID",
    "CREATE INDEX partials_by_pack ON partials (pack_id)",
    "CREATE TABLE windows (window_start_s INTEGER PRIMARY KEY, version INTEGER NOT NULL,"
    " published INTEGER NOT NULL)",
    "CREATE TABLE dead_letters (pack_id BLOB NOT NULL, event_index INTEGER NOT NULL,"
    " stage TEXT NOT NULL, reason TEXT NOT NULL, fingerprint TEXT NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (pack_id, event_index))",
    "CREATE INDEX dead_letters_by_fingerprint ON dead_letters (fingerprint, pack_id, event_index)",
    *key_index.SCHEMA,
    *passages.SCHEMA,
    *ledger_table.SCHEMA,
)
VERSION = 4
SEQ_MAX = (1 << 63) - 1
PACKS_A_READ = 64
LETTERS_A_READ = 256

ADD_PACK = (
    "INSERT INTO packs (id, endpoint, events, stages, retries, dead, sidecar, view, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
RETRIES_OF = "SELECT retries FROM packs WHERE id = ?"
PACKS = "SELECT seq, id, retries, dead, sidecar, view, body FROM packs"
CHANGE_PACK = "UPDATE packs SET dead = ?, sidecar = ?, view = ? WHERE id = ?"
REWRITE_PACK = "UPDATE packs SET sidecar = ?, view = ?, body = ? WHERE id = ?"
REWRITE_DEAD = (
    "UPDATE dead_letters SET stage = ?, reason = ?, fingerprint = ?, body = ?"
    " WHERE pack_id = ? AND event_index = ?"
)
PUT_DEAD = (
    "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (pack_id, event_index)"
    " DO UPDATE SET stage = excluded.stage, reason = excluded.reason,"
    " fingerprint = excluded.fingerprint, body = excluded.body WHERE stage != 'erased'"
)
DROP_DEAD = "DELETE FROM dead_letters WHERE pack_id = ? AND event_index = ?"
DEAD_AFTER = (
    "SELECT pack_id, event_index, stage, reason, body FROM dead_letters"
    " WHERE (pack_id, event_index) > (?, ?)"
)
IN_ORDER = " ORDER BY pack_id, event_index LIMIT ?"
TOUCH_WINDOW = (
    "INSERT INTO windows VALUES (?, 1, 0) ON CONFLICT (window_start_s)"
    " DO UPDATE SET version = version + 1 RETURNING version"
)


class EmbeddedStore:
    """The port EventStore over one SQLite file."""

    def __init__(self, path: Path, *, busy_s: float = 5) -> None:
        self._database = Database(path, SCHEMA, VERSION, busy_s=busy_s, wipes=True)
        self._keys = KeyIndex()

    def put(self, packs: Sequence[Enriched], ways: Mapping[UUID, Way] = NO_WAYS) -> int:
        hidden = 0
        moved: dict[Key, Tally] = {}
        with self._database.transaction() as connection:
            known = _retries_before(connection, packs)
            new = {one.pack_id: one for one in packs if one.pack_id not in known}
            known |= self._retries(connection, list(new.values()))
            for pack in packs:
                way = ways.get(pack.pack_id) or Way(pack.endpoint, len(pack.windows))
                if new.pop(pack.pack_id, None) is not None:
                    before = passages.fates_of(connection, pack.pack_id)
                    after = _add_pack(connection, pack, known[pack.pack_id], way)
                    passages.move(moved, before, after)
                connection.execute(DROP_DEAD, (pack.pack_id.bytes, WHOLE_PACK))
                hidden += len(known[pack.pack_id] - pack.dead_events)
            ledger_table.add(connection, moved)
        return hidden

    def _retries(
        self, connection: sqlite3.Connection, packs: Sequence[Enriched]
    ) -> dict[UUID, set[int]]:
        """Of packs that are new, the events whose client sent them before."""
        again: dict[UUID, set[int]] = {pack.pack_id: set() for pack in packs}
        if not packs:
            return again
        keys = np.concatenate([pack.keys for pack in packs])
        spans = np.concatenate([pack.key_spans for pack in packs])
        keyed = np.flatnonzero(keys[:, 0] | keys[:, 1])
        known = keyed[self._keys.claim(connection, spans[keyed], keys.take(keyed, axis=0))]
        if len(known):
            starts = np.cumsum([0, *(len(pack.keys) for pack in packs)])
            of_pack = np.searchsorted(starts, known, side="right") - 1
            for place, index in zip(
                of_pack.tolist(), (known - starts[of_pack]).tolist(), strict=True
            ):
                again[packs[place].pack_id].add(index)
        return again

    def revive(self, pack: Enriched, chosen: Collection[int], was: Stored) -> bool:
        moved: dict[Key, Tally] = {}
        with self._database.transaction() as connection:
            row = connection.execute(f"{PACKS} WHERE id = ?", (pack.pack_id.bytes,)).fetchone()
            if row is None or _stored(row) != was:
                return False
            retries, before = json.loads(row[2]), json.loads(row[3])
            dead = sorted(set(before) - set(chosen) | pack.dead_events)
            fates = passages.fates_of(connection, pack.pack_id)
            connection.execute(
                CHANGE_PACK, (json.dumps(dead), pack.sidecar, pack.view, pack.pack_id.bytes)
            )
            connection.executemany(DROP_DEAD, [(pack.pack_id.bytes, index) for index in chosen])
            connection.executemany(PUT_DEAD, map(_dead_row, pack.dead))
            passages.move(moved, fates, passages.fates_of(connection, pack.pack_id))
            ledger_table.add(connection, moved)
            _put_partials(connection, pack, {*retries, *dead})
        return True

    def erase(self, packs: Sequence[Rewritten]) -> frozenset[UUID]:
        with self._database.transaction() as connection:
            changed = frozenset(one.pack_id for one in packs if not _rewrite(connection, one))
        self._database.empty_log()
        return changed

    def put_order(self, order: Order) -> None:
        with self._database.transaction() as connection:
            order_table.put(connection, order)

    def orders(self, now_ms: int) -> list[Order]:
        return order_table.standing(self._database, now_ms)

    def get(self, pack_id: UUID) -> Stored | None:
        rows = self._database.rows(f"{PACKS} WHERE id = ?", (pack_id.bytes,))
        return _stored(rows[0]) if rows else None

    def packs(self, after_seq: int = 0) -> Iterator[Stored]:
        while True:  # ends: seq grows with every page
            rows = self._database.rows(
                f"{PACKS} WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, PACKS_A_READ)
            )
            yield from map(_stored, rows)
            if len(rows) < PACKS_A_READ:
                return
            after_seq = rows[-1][0]

    def newest(self) -> Iterator[Stored]:
        before_seq = SEQ_MAX
        while True:  # ends: seq shrinks with every page
            rows = self._database.rows(
                f"{PACKS} WHERE seq < ? ORDER BY seq DESC LIMIT ?", (before_seq, PACKS_A_READ)
            )
            yield from map(_stored, rows)
            if len(rows) < PACKS_A_READ:
                return
            before_seq = rows[-1][0]

    def put_dead(self, letters: Sequence[DeadLetter], ways: Mapping[UUID, Way] = NO_WAYS) -> None:
        moved: dict[Key, Tally] = {}
        with self._database.transaction() as connection:
            for letter in letters:
                way = ways.get(letter.pack_id)
                before = passages.fates_of(connection, letter.pack_id)
                connection.execute(PUT_DEAD, _dead_row(letter))
                if letter.index is None and way is not None:
                    passages.put_dead_pack(connection, letter.pack_id, way)
                passages.move(moved, before, passages.fates_of(connection, letter.pack_id))
            ledger_table.add(connection, moved)

    def dead_letters(self, fingerprint: str | None = None) -> Iterator[DeadLetter]:
        after: tuple[bytes, int] = (b"", WHOLE_PACK)
        only = "" if fingerprint is None else " AND fingerprint = ?"
        wanted = [] if fingerprint is None else [fingerprint]
        while True:  # ends: every page is further on
            rows = self._database.rows(
                DEAD_AFTER + only + IN_ORDER, (*after, *wanted, LETTERS_A_READ)
            )
            for pack_id, index, stage, reason, body in rows:
                place = None if index == WHOLE_PACK else index
                yield DeadLetter(UUID(bytes=pack_id), place, stage, reason, body)
            if len(rows) < LETTERS_A_READ:
                return
            after = rows[-1][:2]

    def changed_windows(self, windows_max: int) -> list[int]:
        return [
            row[0]
            for row in self._database.rows(
                "SELECT window_start_s FROM windows WHERE version > published"
                " ORDER BY window_start_s LIMIT ?",
                (windows_max,),
            )
        ]

    def partials(self, window_start_s: int) -> Partials:
        counts: Counter[CountKey] = Counter()
        packs = 0
        with self._database.snapshot() as connection:
            row = connection.execute(
                "SELECT version FROM windows WHERE window_start_s = ?", (window_start_s,)
            ).fetchone()
            for (text,) in connection.execute(
                "SELECT counts FROM partials WHERE window_start_s = ?", (window_start_s,)
            ):
                packs += 1
                for endpoint, name, count in json.loads(text):
                    counts[CountKey(window_start_s, endpoint, name)] += count
        return Partials(row[0] if row else 0, counts, packs)

    def mark_published(self, window_start_s: int, version: int) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE windows SET published = max(published, ?) WHERE window_start_s = ?",
                (version, window_start_s),
            )

    def noted(self, pack_id: UUID) -> Noted | None:
        with self._database.snapshot() as connection:
            return passages.noted(connection, pack_id)

    def ledger(
        self, since_minute: int, waiting: Collection[UUID] = (), *, recount: bool = False
    ) -> StoreLedger:
        with self._database.snapshot() as connection:
            return StoreLedger(
                ledger_table.since(connection, since_minute),
                passages.recount(connection, since_minute) if recount else {},
                passages.known(connection, waiting),
            )

    def put_dictionary(self, trained: Trained) -> None:
        with self._database.transaction() as connection:
            dictionary_table.put(connection, trained)

    def dictionary(self, dictionary_id: int) -> bytes | None:
        return dictionary_table.get(self._database, dictionary_id)

    def dictionaries(self) -> Iterator[Trained]:
        return dictionary_table.every(self._database)

    def take_turn(self, who: str, now_s: float, for_s: float) -> bool:  # noqa: ARG002 -- no segments
        return True

    def end_turn(self, who: str) -> None:
        pass

    def tidy(self, now_s: float) -> Tidied:  # noqa: ARG002 -- a transaction leaves nothing
        return Tidied()

    def close(self) -> None:
        self._database.close()


def _retries_before(
    connection: sqlite3.Connection, packs: Sequence[Enriched]
) -> dict[UUID, set[int]]:
    """Of packs that are there already, what was hidden as a retry then: it stays so."""
    known = {}
    for pack in packs:
        row = connection.execute(RETRIES_OF, (pack.pack_id.bytes,)).fetchone()
        if row is not None:
            known[pack.pack_id] = set(json.loads(row[0]))
    return known


def _add_pack(
    connection: sqlite3.Connection, pack: Enriched, retries: set[int], way: Way
) -> dict[Key, Tally]:
    """What has become of its events."""
    dead = pack.dead_events
    connection.execute(
        ADD_PACK,
        (
            pack.pack_id.bytes,
            way.endpoint,
            way.events,
            passages.encoded(way),
            json.dumps(sorted(retries)),
            json.dumps(sorted(dead)),
            pack.sidecar,
            pack.view,
            pack.body,
        ),
    )
    connection.executemany(PUT_DEAD, map(_dead_row, pack.dead))
    _put_partials(connection, pack, retries | dead)
    return passages.fates_by(pack.pack_id, way, retries | dead, dead)


def _rewrite(connection: sqlite3.Connection, pack: Rewritten) -> bool:
    """False: it is no longer as it was."""
    key = pack.pack_id.bytes
    if pack.was is not None:
        row = connection.execute(f"{PACKS} WHERE id = ?", (key,)).fetchone()
        if row is None or _stored(row) != pack.was:
            return False
        connection.execute(REWRITE_PACK, (pack.sidecar, pack.view, pack.body, key))
    for letter in pack.letters:
        _, index, *left = _dead_row(letter)
        connection.execute(REWRITE_DEAD, (*left, key, index))
    passages.unquote(connection, pack.pack_id)
    return True


def _dead_of(pack: Enriched) -> set[int]:
    return {letter.index for letter in pack.dead if letter.index is not None}


def _put_partials(connection: sqlite3.Connection, pack: Enriched, hidden: Collection[int]) -> None:
    """Replaces what this pack adds to windows, and marks those windows whose sum it changes."""
    counts = pack.counts(hidden)
    by_window: dict[int, list[tuple[str, str, int]]] = {}
    for key, count in sorted(counts.items()):
        by_window.setdefault(key.window_start_s, []).append((key.endpoint, key.name, count))
    wanted = {window: json.dumps(rows) for window, rows in by_window.items()}
    present = dict(
        connection.execute(
            "SELECT window_start_s, counts FROM partials WHERE pack_id = ?", (pack.pack_id.bytes,)
        )
    )
    for window in wanted.keys() | present.keys():
        if wanted.get(window) == present.get(window):
            continue
        (version,) = connection.execute(TOUCH_WINDOW, (window,)).fetchone()
        if window in wanted:
            connection.execute(
                "INSERT OR REPLACE INTO partials VALUES (?, ?, ?, ?)",
                (window, pack.pack_id.bytes, version, wanted[window]),
            )
        else:
            connection.execute(
                "DELETE FROM partials WHERE window_start_s = ? AND pack_id = ?",
                (window, pack.pack_id.bytes),
            )


def _dead_row(letter: DeadLetter) -> tuple[bytes, int, str, str, str, bytes]:
    index = WHOLE_PACK if letter.index is None else letter.index
    return (
        letter.pack_id.bytes, index, letter.stage, letter.reason, letter.fingerprint, letter.body
    )  # fmt: skip


def _stored(row: tuple[int, bytes, str, str, bytes, bytes, bytes]) -> Stored:
    seq, pack_id, retries, dead, sidecar, view, body = row
    hidden = frozenset([*json.loads(retries), *json.loads(dead)])
    return Stored(seq, UUID(bytes=pack_id), body, sidecar, view, hidden)

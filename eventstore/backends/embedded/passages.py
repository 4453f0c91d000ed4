"""What the store notes of each pack's way, and what became of its events: receipts and the ledger.

What became of events is in the rows that hold them: a pack with its hidden indexes, dead letters, a
pack that is dead as a whole. The ledger is moved by the difference that a write has made to that,
so a redelivery moves nothing.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from eventstore.ledger import (
    DEAD,
    NOTHING,
    Entries,
    Key,
    Tally,
    add,
    fates,
    first_of_minute,
    minute_of,
    tally,
)
from eventstore.ports import Noted, Stage, Way

SCHEMA = (
    # What a row of packs has beside a pack, of those that are not stored.
    "CREATE TABLE dead_packs (id BLOB PRIMARY KEY, endpoint TEXT NOT NULL,"
    " events INTEGER NOT NULL, stages TEXT NOT NULL) WITHOUT ROWID",
)
WHOLE_PACK = -1  # the event_index of a dead letter that is a whole pack

PASSAGE = "SELECT endpoint, events, stages, retries, dead FROM packs WHERE id = ?"
DEAD_PASSAGE = "SELECT endpoint, events, stages, NULL, NULL FROM dead_packs WHERE id = ?"
PUT_DEAD_PACK = "INSERT OR IGNORE INTO dead_packs VALUES (?, ?, ?, ?)"
SET_STAGES = (
    "UPDATE packs SET stages = ? WHERE id = ?",
    "UPDATE dead_packs SET stages = ? WHERE id = ?",
)
LETTERS = "SELECT event_index, reason FROM dead_letters WHERE pack_id = ?"
WINDOWS = "SELECT window_start_s, version FROM partials WHERE pack_id = ?"
EVERY_PASSAGE = (
    "SELECT id, endpoint, events, retries, dead FROM packs WHERE id >= ?1 UNION ALL"
    " SELECT id, endpoint, events, NULL, NULL FROM dead_packs WHERE id >= ?1"
    " AND NOT EXISTS (SELECT 1 FROM packs WHERE packs.id = dead_packs.id)"
)
EVERY_LETTER = "SELECT pack_id, event_index FROM dead_letters WHERE pack_id >= ?"


def fates_of(connection: sqlite3.Connection, pack_id: UUID) -> dict[Key, Tally]:
    """What became of a pack's events, by the rows that hold them now; {} when it is not here."""
    row = _passage(connection, pack_id)
    if row is None:
        return {}
    endpoint, events, _, *hidden = row
    letters = {index for index, _ in connection.execute(LETTERS, (pack_id.bytes,))}
    return _of_row(pack_id, endpoint, events, hidden, letters)


def fates_by(
    pack_id: UUID, way: Way, hidden: Collection[int], dead: Collection[int]
) -> dict[Key, Tally]:
    """The same of a pack that is stored."""
    return _keyed(pack_id, way.endpoint, fates(pack_id, way.events, hidden, dead))


def move(moved: dict[Key, Tally], before: Entries, after: Entries) -> None:
    """Adds to what has moved what a write has made of `before`."""
    for key, one in after.items():
        add(moved, key, one)
    for key, one in before.items():
        add(moved, key, NOTHING - one)


def put_dead_pack(connection: sqlite3.Connection, pack_id: UUID, way: Way) -> None:
    """Notes a pack that is dead as a whole."""
    row = (pack_id.bytes, way.endpoint, way.events, encoded(way))
    connection.execute(PUT_DEAD_PACK, row)


def unquote(connection: sqlite3.Connection, pack_id: UUID) -> None:
    """Takes away what a pack's stages may quote of its events."""
    row = _passage(connection, pack_id)
    if row is not None:
        stages = encoded(_way(row).public())
        for statement in SET_STAGES:
            connection.execute(statement, (stages, pack_id.bytes))


def encoded(way: Way) -> str:
    """The column `stages`."""
    return orjson.dumps(way.stages).decode()


def noted(connection: sqlite3.Connection, pack_id: UUID) -> Noted | None:
    """What is known of a pack; None when it has not come here."""
    row = _passage(connection, pack_id)
    if row is None:
        return None
    letters = connection.execute(LETTERS, (pack_id.bytes,))
    return Noted(
        _way(row),
        dict(connection.execute(WINDOWS, (pack_id.bytes,)).fetchall()),
        {None if index == WHOLE_PACK else index: reason for index, reason in letters},
    )


def known(connection: sqlite3.Connection, packs: Collection[UUID]) -> frozenset[UUID]:
    """Those that have come here."""
    return frozenset(one for one in packs if _passage(connection, one) is not None)


def recount(connection: sqlite3.Connection, since_minute: int) -> dict[Key, Tally]:
    """What became of all events from a minute on, by the rows that hold them."""
    first = (first_of_minute(since_minute).bytes,)
    letters: dict[bytes, set[int]] = {}
    for pack_id, index in connection.execute(EVERY_LETTER, first):
        letters.setdefault(pack_id, set()).add(index)
    found: dict[Key, Tally] = {}
    for pack_id, endpoint, events, *hidden in connection.execute(EVERY_PASSAGE, first):
        seen = letters.get(pack_id, set())
        for key, one in _of_row(UUID(bytes=pack_id), endpoint, events, hidden, seen).items():
            add(found, key, one)
    return found


def _way(row: Sequence[Any]) -> Way:
    endpoint, events, stages, *_ = row
    return Way(endpoint, events, tuple(Stage(**one) for one in orjson.loads(stages)))


def _passage(connection: sqlite3.Connection, pack_id: UUID) -> Any:
    return (
        connection.execute(PASSAGE, (pack_id.bytes,)).fetchone()
        or connection.execute(DEAD_PASSAGE, (pack_id.bytes,)).fetchone()
    )


def _of_row(
    pack_id: UUID, endpoint: str, events: int, hidden: Sequence[str | None], letters: set[int]
) -> dict[Key, Tally]:
    """hidden: lists of indexes; None: the pack is dead as a whole, if its letter is there."""
    unseen = {index for one in hidden if one is not None for index in orjson.loads(one)}
    if None not in hidden:
        return _keyed(pack_id, endpoint, fates(pack_id, events, unseen, letters))
    whole = {DEAD: tally(pack_id, events)} if WHOLE_PACK in letters else {}
    return _keyed(pack_id, endpoint, whole)


def _keyed(pack_id: UUID, endpoint: str, found: Mapping[str, Tally]) -> dict[Key, Tally]:
    minute = minute_of(pack_id)
    return {Key(minute, endpoint, fate): one for fate, one in found.items() if one != NOTHING}

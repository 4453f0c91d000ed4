"""The embedded queue: one row a pack; leases in a table of their own, away from the blobs.

All processes that share this file run on one machine. Leases and ages are in its uptime, which
goes on evenly whoever sets the clock. It begins anew with each boot: a lease that was taken later
than now was taken before the boot, and is over.
"""

import secrets
import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from eventstore.backends.embedded import ledger_table
from eventstore.backends.embedded.database import Database
from eventstore.errors import QueueFull
from eventstore.ledger import (
    ACCEPTED,
    NOTHING,
    TAKEN,
    Key,
    Tally,
    add,
    first_of_minute,
    minute_of,
    tally,
)
from eventstore.ports import Depth, Lease, Packed, QueueLedger, Stage, Waiting, Way

# *_at_ms: since 1970, for receipts. *_up_ms: since the machine's boot. seq: later than all that are
# there; one that is gone may be another pack's, and its lease has gone with it.
SCHEMA = (
    "CREATE TABLE packs (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " endpoint TEXT NOT NULL, events INTEGER NOT NULL, queued_at_ms INTEGER NOT NULL,"
    " queued_up_ms INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE TABLE leases (seq INTEGER PRIMARY KEY, token TEXT NOT NULL,"
    " taken_up_ms INTEGER NOT NULL, free_up_ms INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, reason TEXT NOT NULL,"
    " claimed_at_ms INTEGER NOT NULL, node TEXT NOT NULL, release TEXT NOT NULL)",
    # Kept along: counting rows would make every put as slow as the backlog is long.
    "CREATE TABLE depth (packs INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO depth VALUES (0, 0)",
    *ledger_table.SCHEMA,
)
VERSION = 3
FREE = ""  # the token of a lease that nobody holds: only its count of attempts still matters

PUT = (
    "INSERT OR IGNORE INTO packs (id, endpoint, events, queued_at_ms, queued_up_ms, body)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
ANY_CLAIMABLE = (
    "SELECT 1 FROM packs LEFT JOIN leases ON leases.seq = packs.seq"
    " WHERE leases.seq IS NULL OR ?1 NOT BETWEEN taken_up_ms AND free_up_ms - 1 LIMIT 1"
)
CLAIMABLE = (
    "SELECT packs.seq, id, endpoint, events, queued_at_ms, body, leases.attempts, leases.reason"
    " FROM packs LEFT JOIN leases ON leases.seq = packs.seq"
    " WHERE leases.seq IS NULL OR ?1 NOT BETWEEN taken_up_ms AND free_up_ms - 1"
    " ORDER BY packs.seq LIMIT ?2"
)
CLAIM = (
    "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (seq) DO UPDATE SET token = excluded.token, taken_up_ms = excluded.taken_up_ms,"
    " free_up_ms = excluded.free_up_ms, attempts = excluded.attempts,"
    " claimed_at_ms = excluded.claimed_at_ms, node = excluded.node, release = excluded.release"
)
HELD = (
    "SELECT packs.seq, length(packs.body), endpoint, events FROM packs JOIN leases USING (seq)"
    " WHERE id = ? AND token = ?"
)
EXTEND = "UPDATE leases SET taken_up_ms = ?, free_up_ms = ? WHERE seq = ?"
RELEASE = (
    "UPDATE leases SET token = ?, taken_up_ms = ?, free_up_ms = ?, attempts = ?, reason = ?"
    " WHERE seq = ?"
)
DEPTH = (
    "SELECT packs, bytes,"
    " (SELECT count(*) FROM leases"
    "  WHERE token != '' AND ?1 BETWEEN taken_up_ms AND free_up_ms - 1),"
    " (SELECT queued_up_ms FROM packs LEFT JOIN leases ON leases.seq = packs.seq"
    "  WHERE leases.seq IS NULL OR token = ''"
    "  OR ?1 NOT BETWEEN taken_up_ms AND free_up_ms - 1"
    "  ORDER BY packs.seq LIMIT 1) FROM depth"
)
FIND = (
    "SELECT body, endpoint, events, queued_at_ms, claimed_at_ms, node, release, attempts, reason"
    " FROM packs LEFT JOIN leases ON leases.seq = packs.seq WHERE id = ?"
)
WAITING = "SELECT id, endpoint, events FROM packs WHERE id >= ?"


class EmbeddedQueue:
    """The port Queue over one SQLite file."""

    def __init__(self, path: Path, *, packs_max: int, bytes_max: int, busy_s: float = 5) -> None:
        self._database = Database(path, SCHEMA, VERSION, busy_s=busy_s)
        self._packs_max = packs_max
        self._bytes_max = bytes_max

    def put(self, packs: Sequence[Packed]) -> None:
        with self._database.transaction() as connection:
            ledger_table.add(connection, self._put(connection, packs, ACCEPTED))

    def put_back(self, packs: Sequence[Packed]) -> None:
        with self._database.transaction() as connection:
            again = self._put(connection, packs, TAKEN)
            ledger_table.add(connection, {key: NOTHING - one for key, one in again.items()})

    def _put(
        self, connection: sqlite3.Connection, packs: Sequence[Packed], hop: str
    ) -> dict[Key, Tally]:
        """Those that were not there yet, counted under this hop."""
        now_ms, up_ms = _now_ms(), _up_ms()
        counted: dict[Key, Tally] = {}
        added = added_bytes = 0
        for pack in packs:
            row = (pack.pack_id.bytes, pack.endpoint, pack.events, now_ms, up_ms, pack.body)
            if connection.execute(PUT, row).rowcount:
                added += 1
                added_bytes += len(pack.body)
                _count(counted, hop, pack.pack_id, pack.endpoint, pack.events)
        held, held_bytes = connection.execute("SELECT packs, bytes FROM depth").fetchone()
        if held + added > self._packs_max or held_bytes + added_bytes > self._bytes_max:
            raise QueueFull(
                f"{held} packs, {held_bytes} bytes wait: {self._packs_max} packs,"
                f" {self._bytes_max} bytes are the bound"
            )
        connection.execute(
            "UPDATE depth SET packs = packs + ?, bytes = bytes + ?", (added, added_bytes)
        )
        return counted

    def claim(
        self,
        packs_max: int,
        lease_s: float,
        *,
        wait_s: float | None = None,  # noqa: ARG002 -- it never waits
        node: str = "",
        release: str = "",
    ) -> list[Lease]:
        # Looking first costs no lock: an idle processor must not stand in the collectors' way.
        if not self._database.rows(ANY_CLAIMABLE, (_up_ms(),)):
            return []
        token = secrets.token_hex(8)
        leases = []
        with self._database.transaction() as connection:
            now_ms, up_ms = _now_ms(), _up_ms()
            free_ms = up_ms + int(lease_s * 1000)
            for row in connection.execute(CLAIMABLE, (up_ms, packs_max)).fetchall():
                seq, pack_id, endpoint, events, queued_at_ms, body, before, reason = row
                attempts, reason = (before or 0) + 1, reason or ""
                stages = _stages(queued_at_ms, (now_ms, node, release, attempts, reason))
                way = Way(endpoint, events, stages)
                leases.append(Lease(UUID(bytes=pack_id), body, attempts, token, reason, way))
                connection.execute(
                    CLAIM,
                    (seq, token, up_ms, free_ms, attempts, reason, now_ms, node, release),
                )
        return leases

    def extend(self, leases: Collection[Lease], lease_s: float) -> list[Lease]:
        held = []
        with self._database.transaction() as connection:
            up_ms = _up_ms()
            free_ms = up_ms + int(lease_s * 1000)
            for lease in leases:
                found = connection.execute(HELD, (lease.pack_id.bytes, lease.token)).fetchone()
                if found is None:
                    continue
                connection.execute(EXTEND, (up_ms, free_ms, found[0]))
                held.append(lease)
        return held

    def release(self, leases: Collection[Lease], *, delay_s: float = 0, reason: str = "") -> None:
        with self._database.transaction() as connection:
            up_ms = _up_ms()
            free_ms = up_ms + int(delay_s * 1000)
            for lease in leases:
                found = connection.execute(HELD, (lease.pack_id.bytes, lease.token)).fetchone()
                if found is None:
                    continue
                attempts = lease.attempts if reason else lease.attempts - 1
                connection.execute(
                    RELEASE,
                    (FREE, up_ms, free_ms, attempts, reason or lease.reason, found[0]),
                )

    def ack(self, leases: Collection[Lease]) -> None:
        taken: dict[Key, Tally] = {}
        with self._database.transaction() as connection:
            for lease in leases:
                found = connection.execute(HELD, (lease.pack_id.bytes, lease.token)).fetchone()
                if found is None:
                    continue
                seq, body_bytes, endpoint, events = found
                _count(taken, TAKEN, lease.pack_id, endpoint, events)
                connection.execute("DELETE FROM packs WHERE seq = ?", (seq,))
                connection.execute("DELETE FROM leases WHERE seq = ?", (seq,))
                connection.execute(
                    "UPDATE depth SET packs = packs - 1, bytes = bytes - ?", (body_bytes,)
                )
            ledger_table.add(connection, taken)

    def depth(self) -> Depth:
        packs, body_bytes, leased, queued_ms = self._database.rows(DEPTH, (_up_ms(),))[0]
        waited_ms, up_ms = 0, _up_ms()  # after the look: later than all that it found
        if queued_ms is not None:  # before the boot: at least since then
            waited_ms = up_ms - queued_ms if queued_ms <= up_ms else up_ms
        return Depth(packs, body_bytes, leased, waited_ms / 1000)

    def find(self, pack_id: UUID) -> Waiting | None:
        rows = self._database.rows(FIND, (pack_id.bytes,))
        if not rows:
            return None
        body, endpoint, events, queued_at_ms, *claim = rows[0]
        return Waiting(body, Way(endpoint, events, _stages(queued_at_ms, claim)))

    def ledger(self, since_minute: int, *, recount: bool = False) -> QueueLedger:
        with self._database.snapshot() as connection:
            entries = ledger_table.since(connection, since_minute)
            first = first_of_minute(since_minute).bytes
            rows = connection.execute(WAITING, (first,)).fetchall() if recount else []
        return QueueLedger(entries, {UUID(bytes=pack_id): Way(*way) for pack_id, *way in rows})

    def close(self) -> None:
        self._database.close()


def _count(entries: dict[Key, Tally], hop: str, pack_id: UUID, endpoint: str, events: int) -> None:
    key = Key(minute_of(pack_id), endpoint, hop)
    add(entries, key, tally(pack_id, events))


def _stages(queued_at_ms: int, claim: Sequence[Any]) -> tuple[Stage, ...]:
    """claim: claimed_at_ms, node, release, attempts, reason."""
    queued = Stage("queued", queued_at_ms)
    claimed_at_ms, node, release, attempts, reason = claim
    if not attempts:  # never claimed, or handed back without having been begun
        return (queued,)
    note = f"attempt {attempts}: {reason}" if reason else f"attempt {attempts}"
    return queued, Stage("leased", claimed_at_ms, node, release, note)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _up_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

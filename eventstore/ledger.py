"""The conservation ledger: of the events that were accepted, each is somewhere.

    accepted = stored + dead + duplicate + in flight        for each minute and endpoint

Each hop of an event's way keeps how many events it has seen, and a digest of which ones. Digests
add up, in whatever order events come, and two hops that saw as many events, but not the same ones,
differ. The minute is that of the pack's id, which both sides of the queue know from the id alone.

A whole pack costs one hash, however many events it has: those of its events that are dead or
duplicates have a hash each, and what remains of the pack's own is the digest of the others. All
functions here are pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import xxhash

# The queue's hops: what was put into it, and what a processor has acknowledged.
ACCEPTED, TAKEN = "accepted", "taken"
# The store's hops: what became of each event.
STORED, DEAD, DUPLICATE = "stored", "dead", "duplicate"
FATES = (STORED, DEAD, DUPLICATE)

MINUTE_MS = 60_000
# Two digests add up within a signed 64-bit integer, which is what databases count with.
DIGEST_MASK = (1 << 62) - 1


class Key(NamedTuple):
    """minute: Unix minutes, of the pack's id. hop: one of the names above."""

    minute: int
    endpoint: str
    hop: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many events, and the digest of their ids."""

    events: int = 0
    digest: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.events + other.events, (self.digest + other.digest) & DIGEST_MASK)

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(self.events - other.events, (self.digest - other.digest) & DIGEST_MASK)


NOTHING = Tally()
Entries = Mapping[Key, Tally]


def accepted_at_ms(pack_id: UUID) -> int:
    """When a pack got its id (UUIDv7: the first 48 bits), just before it went into the queue."""
    return pack_id.int >> 80


def minute_of(pack_id: UUID) -> int:
    """The Unix minute that the ledger counts a pack under."""
    return accepted_at_ms(pack_id) // MINUTE_MS


def first_of_minute(minute: int) -> UUID:
    """No pack id of this minute, or of a later one, is smaller."""
    return UUID(int=minute * MINUTE_MS << 80)


def tally(pack_id: UUID, events: int) -> Tally:
    """All events of a pack."""
    return Tally(events, _hash(pack_id, events))


def fates(
    pack_id: UUID, events: int, hidden: Collection[int], dead: Collection[int]
) -> dict[str, Tally]:
    """What became of a pack's events. hidden: those that no reader sees; dead: those that have a
    dead letter. Who is hidden without one was sent before."""
    whole = tally(pack_id, events)
    if not hidden:
        return {STORED: whole}
    dying = _some(pack_id, set(hidden).intersection(dead))
    again = _some(pack_id, set(hidden).difference(dead))
    return {STORED: whole - dying - again, DEAD: dying, DUPLICATE: again}


def add(entries: dict[Key, Tally], key: Key, more: Tally) -> None:
    """Adds to what the entries have under this key."""
    entries[key] = entries.get(key, NOTHING) + more


def by_hop(entries: Entries) -> dict[str, int]:
    """How many events each hop has seen, of all minutes and endpoints."""
    events: dict[str, int] = {}
    for key, one in entries.items():
        events[key.hop] = events.get(key.hop, 0) + one.events
    return events


def lost(queue: Entries, store: Entries) -> int:
    """Events that a processor has acknowledged and the store knows nothing of.

    Read the queue first: a pack is acknowledged only after it was stored, so this is never a false
    alarm, however much moves meanwhile.
    """
    missing = 0
    for key, taken in queue.items():
        if key.hop == TAKEN:
            known = sum(store.get(key._replace(hop=fate), NOTHING).events for fate in FATES)
            missing += max(0, taken.events - known)
    return missing


def _some(pack_id: UUID, indexes: Collection[int]) -> Tally:
    return Tally(len(indexes), sum(_hash(pack_id, one) for one in indexes) & DIGEST_MASK)


def _hash(pack_id: UUID, number: int) -> int:
    """Of an event: number is its index. Of all of them: how many they are, which no index is."""
    return xxhash.xxh3_64_intdigest(pack_id.bytes + number.to_bytes(4, "little")) & DIGEST_MASK

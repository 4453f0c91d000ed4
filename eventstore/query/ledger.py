"""Does the ledger balance? For each minute and endpoint: what each hop noted, what is there now,
and at which hop something was lost.

    accepted ─ queue ─ taken ─ processor ─ stored, dead, duplicate ─ store ─ what is there
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from eventstore.errors import EventStoreError
from eventstore.ledger import (
    ACCEPTED,
    DEAD,
    DUPLICATE,
    FATES,
    MINUTE_MS,
    NOTHING,
    STORED,
    TAKEN,
    Entries,
    Key,
    Tally,
    minute_of,
    tally,
)
from eventstore.ports import EventStore, Queue, QueueLedger, StoreLedger, Way
from eventstore.times import iso_time


@dataclass(frozen=True, slots=True)
class Fault:
    """hop: queue, processor or store. missing: events; below 0: more than there should be; 0: as
    many as there should be, but not the same ones."""

    hop: str
    missing: int
    says: str


@dataclass(frozen=True, slots=True)
class Line:
    """One minute (Unix minutes) of one endpoint, in events; what became of them by what is there
    now. settled False: more was accepted while it was being read, so that what the processors did
    can't be told yet."""

    minute: int
    endpoint: str
    accepted: int
    stored: int
    dead: int
    duplicate: int
    in_flight: int
    settled: bool
    faults: tuple[Fault, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "minute": iso_time(self.minute * MINUTE_MS)}


Place = tuple[int, str]  # minute, endpoint


def read_ledger(queue: Queue, store: EventStore, since_minute: int) -> list[Line]:
    """The queue is read before and after the store: what was accepted in between is known by it.
    Raises EventStoreError when the queue remembers nothing."""
    before = queue.ledger(since_minute, recount=True)
    if before is None:
        raise EventStoreError(
            "this queue remembers nothing of what it took, so there is nothing to balance; look at"
            " its dead-letter queue, and ask `events trace` for single packs"
        )
    then = store.ledger(since_minute, before.waiting.keys(), recount=True)
    after = queue.ledger(since_minute)
    return balance(before, then, after.entries if after else {})


def balance(queue: QueueLedger, store: StoreLedger, after: Entries) -> list[Line]:
    """A line for each minute and endpoint, oldest first. after: the queue's entries, once more."""
    waiting = _by_place(queue.waiting)
    # Stored, and not yet acknowledged: the queue and the store both have them.
    both = _by_place({pack_id: queue.waiting[pack_id] for pack_id in store.noted})
    noted = {key[:2] for entries in (queue.entries, store.entries, store.found) for key in entries}
    return [
        _line(
            place,
            queue.entries,
            store,
            waiting=waiting.get(place, NOTHING),
            both=both.get(place, NOTHING),
            after=after,
        )
        for place in sorted(noted | waiting.keys())
    ]


def _by_place(packs: Mapping[UUID, Way]) -> dict[Place, Tally]:
    places: dict[Place, Tally] = {}
    for pack_id, way in packs.items():
        place = (minute_of(pack_id), way.endpoint)
        places[place] = places.get(place, NOTHING) + tally(pack_id, way.events)
    return places


def _line(
    place: Place,
    queue: Entries,
    store: StoreLedger,
    *,
    waiting: Tally,
    both: Tally,
    after: Entries,
) -> Line:
    def at(entries: Entries, hop: str) -> Tally:
        return entries.get(Key(*place, hop), NOTHING)

    accepted, taken = at(queue, ACCEPTED), at(queue, TAKEN)
    noted = {fate: at(store.entries, fate) for fate in FATES}
    found = {fate: at(store.found, fate) for fate in FATES}
    settled = at(after, ACCEPTED) == accepted
    faults = [
        _fault("queue", accepted - taken, waiting, "wait in the queue"),
        settled and _fault("processor", taken + both, sum(noted.values(), NOTHING), "were stored"),
        *(_fault("store", noted[fate], found[fate], f"are there as {fate}") for fate in FATES),
    ]
    return Line(
        *place,
        accepted=accepted.events,
        stored=found[STORED].events,
        dead=found[DEAD].events,
        duplicate=found[DUPLICATE].events,
        in_flight=(waiting - both).events,
        settled=settled,
        faults=tuple(one for one in faults if one),
    )


def _fault(hop: str, expected: Tally, seen: Tally, do: str) -> Fault | None:
    if expected == seen:
        return None
    missing = expected.events - seen.events
    if missing:
        return Fault(hop, missing, f"{seen.events} of {expected.events} events {do}")
    return Fault(hop, 0, f"{seen.events} events {do}, as many as should, but not the same ones")

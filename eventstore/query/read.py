"""Reading: what a reader sees of the store, what still waits, and what has been aggregated.

reader = open_reader("file:///srv/eventstore")
for event in reader.events(): ...          # every event once, in the order it was stored
reader.drained()                           # nothing waits, nothing is left to publish
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from eventstore import engines, packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import EventErased
from eventstore.event import (
    CountKey,
    EventId,
    text_of,
    window_start_s,
)
from eventstore.formats import READERS
from eventstore.ports import (
    Aggregates,
    DeadLetter,
    Depth,
    EventStore,
    Generation,
    Queue,
    Stored,
)
from eventstore.postprocessing import parquet
from eventstore.processing import sidecar, view
from eventstore.processing.reading import erased_by, fields_of
from eventstore.query.envelope import envelope
from eventstore.settings import Settings
from eventstore.times import event_times, stated_agos, stated_times


@dataclass(frozen=True, slots=True)
class Event:
    """One visible event. body: what was sent, byte for byte, in this format. context: what it
    shares with others of its request, in its format's terms (a CSV's header, a CloudEvent's
    headers). made: what a transform has made of it, as JSON; b"" when it is as it was sent."""

    id: EventId
    tags: dict[str, str]
    received_at_ms: int
    body: bytes
    format: str = "json"
    context: bytes = b""
    made: bytes = b""

    @property
    def value(self) -> dict[str, Any]:
        """The event as its readers see it. Raises ValueError for one that can't be read: only dead
        letters can't."""
        if self.made:
            made: dict[str, Any] = orjson.loads(self.made)
            return made
        return READERS[self.format].value(self.body, self.context)


def events_of(
    stored: Stored, dictionaries: Dictionaries = NO_DICTIONARIES
) -> Iterator[list[Event]]:
    """What has become of each of a pack's events, hidden ones too: one, several, or none, as of
    those that were erased."""
    pack = packing.unpack(stored.body, dictionaries)
    lines = view.decode(stored.view, pack.count)
    for index, ((body, share), line) in enumerate(zip(pack.per_event(), lines, strict=True)):
        if index in pack.tombstones:
            yield []
            continue
        event = Event(
            EventId(stored.pack_id, index),
            pack.tags,
            share.received_at_ms,
            body,
            pack.format,
            share.context,
            view.whole(line, body),
        )
        parts = view.several(event.made)
        if parts is None:
            yield [event]
        else:
            yield [
                dataclasses.replace(
                    event, id=EventId(stored.pack_id, index, number), made=orjson.dumps(part)
                )
                for number, part in enumerate(parts)
            ]


class Reader:
    """Reads a running event store; changes nothing in it."""

    def __init__(
        self, queue: Queue, store: EventStore, aggregates: Aggregates, settings: Settings
    ) -> None:
        self._queue = queue
        self._store = store
        self._aggregates = aggregates
        self._settings = settings
        self._dictionaries = Dictionaries(store.dictionary)

    def events(self) -> Iterator[Event]:
        """Every visible event, once: a client's retries, dead letters and what a transform has
        dropped are left out."""
        for stored in self._store.packs():
            for index, events in enumerate(events_of(stored, self._dictionaries)):
                if index not in stored.hidden:
                    yield from events

    def event(self, event_id: EventId) -> Event | None:
        """One event by its id, also a retry or a dead letter; None when there is none. Raises
        EventErased."""
        stored = self._store.get(event_id.pack)
        if stored is None:
            return None
        _refuse_erased(packing.unpack(stored.body, self._dictionaries), event_id)
        for events in islice(
            events_of(stored, self._dictionaries), event_id.index, event_id.index + 1
        ):
            return next((one for one in events if one.id == event_id), None)
        return None

    def enveloped(self) -> Iterator[tuple[Event, dict[str, Any]]]:
        """Every visible event, once, with its envelope."""
        for stored in self._store.packs():
            pack, columns = (
                packing.unpack(stored.body, self._dictionaries),
                sidecar.decode(stored.sidecar),
            )
            made = zip(pack.per_event(), events_of(stored, self._dictionaries), strict=True)
            for index, ((body, share), events) in enumerate(made):
                if index not in stored.hidden and events:
                    said = envelope(pack, share, index, body, columns)
                    yield from ((one, said | {"id": str(one.id)}) for one in events)

    def envelope(self, event_id: EventId) -> dict[str, Any]:
        """What is known of one event, as CloudEvents names it; {} when it is not stored. Raises
        EventErased."""
        stored = self._store.get(event_id.pack)
        if stored is None:
            return {}
        pack, index = packing.unpack(stored.body, self._dictionaries), event_id.index
        _refuse_erased(pack, event_id)
        for body, share in islice(pack.per_event(), index, index + 1):
            said = envelope(pack, share, index, body, sidecar.decode(stored.sidecar))
            return said | {"id": str(event_id)}
        return {}

    def enrichment(self, event_id: EventId) -> dict[str, object]:
        """What enrichment found out about an event; {} when it is not stored."""
        stored = self._store.get(event_id.pack)
        if stored is None:
            return {}
        columns = sidecar.decode(stored.sidecar)
        at = slice(event_id.index, event_id.index + 1)
        return {name: value for name, values in columns.items() for value in values[at]}

    def pending(self) -> Depth:
        """Acknowledged packs that no processor has stored yet."""
        return self._queue.depth()

    def unpublished_windows(self) -> list[int]:
        """Starts of windows whose newest version is not published yet; at most 1000 of them."""
        return self._store.changed_windows(1000)

    def drained(self) -> bool:
        """Everything that was acknowledged before the call is stored and aggregated."""
        return self.pending().packs == 0 and not self.unpublished_windows()

    def dead_letters(self) -> Iterator[DeadLetter]:
        """What was refused after its acknowledgement, with reason and original bytes."""
        return self._store.dead_letters()

    def windows(self) -> Iterator[tuple[Generation, Counter[CountKey]]]:
        """Each window's newest generation and its counts, read from the published tables."""
        for generation in self._aggregates.windows():
            yield generation, parquet.decode(self._aggregates.read(generation))

    def aggregated(self) -> Counter[CountKey]:
        """All published counts."""
        total: Counter[CountKey] = Counter()
        for _, counts in self.windows():
            total.update(counts)
        return total

    def recounted(self) -> Counter[CountKey]:
        """What the aggregates should say: counted anew from the bytes of every visible event."""
        settings = self._settings
        total: Counter[CountKey] = Counter()
        for stored in self._store.packs():
            pack = packing.unpack(stored.body, self._dictionaries)
            fields = fields_of(pack)
            received, sent = pack.moments()
            times = event_times(
                stated_times([None if isinstance(one, str) else one.time for one in fields]),
                received,
                sent,
                stated_agos([None if isinstance(one, str) else one.ago_ms for one in fields]),
                late_max_s=settings.late_max_s,
                early_max_s=settings.early_max_s,
            )
            for index, left in pack.tombstones.items():
                times[index] = left.time_ms
            seen = view.times(view.decode(stored.view, pack.count)) or [1] * pack.count
            for index, (one, time_ms, often) in enumerate(
                zip(fields, times.tolist(), seen, strict=True)
            ):
                if index not in stored.hidden and not isinstance(one, str):
                    window = window_start_s(time_ms, settings.window_s)
                    total[CountKey(window, pack.tags.get("endpoint", ""), text_of(one.name))] += (
                        often
                    )
        return total

    def mismatches(self) -> dict[CountKey, tuple[int, int]]:
        """Where aggregated and recounted differ: key → (aggregated, recounted). {} is right."""
        aggregated, recounted = self.aggregated(), self.recounted()
        return {
            key: (aggregated[key], recounted[key])
            for key in aggregated.keys() | recounted.keys()
            if aggregated[key] != recounted[key]
        }

    def close(self) -> None:
        """Lets go of files and connections."""
        self._queue.close()
        self._store.close()


def _refuse_erased(pack: packing.Pack, event_id: EventId) -> None:
    left = pack.tombstones.get(event_id.index)
    if left is not None:
        raise EventErased(f"{event_id} was {erased_by(left)}")


def open_reader(data_url: str, settings: Settings | None = None) -> Reader:
    """Opens the engines of a data URL; settings as the roles have them (for fields and windows)."""
    options = dataclasses.replace(settings or Settings(), data=data_url)
    return Reader(
        engines.open_queue(options),
        engines.open_store(options),
        engines.open_aggregates(options),
        options,
    )

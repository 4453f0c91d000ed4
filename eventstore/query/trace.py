"""Where is my event? The stages of a pack, or of one event: accepted → queued → leased → stored
(or dead, or duplicate: sent before) → aggregated → erased, each with its time, node and release.

Stages are pieced together from what the hops have noted. They never hold a payload.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from uuid import UUID

from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import ImpossibleId, PackCorrupt
from eventstore.event import EventId
from eventstore.ledger import DEAD, DUPLICATE, STORED, accepted_at_ms
from eventstore.ports import (
    ERASED,
    Aggregates,
    EventStore,
    Generation,
    Noted,
    Queue,
    Stage,
    Stored,
    Waiting,
    Way,
)
from eventstore.processing import sidecar
from eventstore.times import iso_time

CLOCKS_DIFFER_MS = 5 * 60_000


@dataclass(frozen=True, slots=True)
class Trace:
    """index None: of the whole pack. events: how many the pack has."""

    pack_id: UUID
    index: int | None
    endpoint: str
    events: int
    stages: tuple[Stage, ...]

    def to_json(self) -> dict[str, Any]:
        """For whoever runs the store: notes are told in full."""
        return {
            "id": str(self.pack_id if self.index is None else EventId(self.pack_id, self.index)),
            "pack": str(self.pack_id),
            "index": self.index,
            "endpoint": self.endpoint,
            "events": self.events,
            "state": self.stages[-1].name,
            "stages": [
                {
                    "stage": one.name,
                    "at": iso_time(one.at_ms),
                    "node": one.node or None,
                    "release": one.release or None,
                    "note": one.note or None,
                }
                for one in self.stages
            ],
        }

    def public(self) -> "Trace":
        """For whoever has the id: notes may quote events of others that share the pack."""
        return replace(self, stages=tuple(one.public() for one in self.stages))


def refuse_impossible(pack_id: UUID, now_ms: int) -> None:
    """Raises ImpossibleId for what no collector has made until now."""
    if pack_id.version != 7:
        raise ImpossibleId("it is no UUIDv7, as every pack's id is")
    if accepted_at_ms(pack_id) > now_ms + CLOCKS_DIFFER_MS:
        raise ImpossibleId("its first 12 digits are a time that is still to come")


class Tracer:
    """Asks the hops, in the order of the way: what moves meanwhile is seen at one of them."""

    def __init__(self, queue: Queue, store: EventStore, aggregates: Aggregates) -> None:
        self._queue = queue
        self._store = store
        self._aggregates = aggregates
        self._dictionaries = Dictionaries(store.dictionary)

    def trace(self, pack_id: UUID, index: int | None = None) -> Trace | None:
        """None when nothing is known of it yet; raises ImpossibleId."""
        waiting = self._queue.find(pack_id)
        noted = self._store.noted(pack_id)
        stored = self._store.get(pack_id) if noted else None
        windows = noted.windows if noted else {}
        published = {start: self._aggregates.latest(start) for start in windows}
        return traced(
            pack_id,
            index,
            waiting=waiting,
            noted=noted,
            stored=stored,
            published=published,
            dictionaries=self._dictionaries,
        )


def traced(
    pack_id: UUID,
    index: int | None,
    *,
    waiting: Waiting | None,
    noted: Noted | None,
    stored: Stored | None,
    published: Mapping[int, Generation | None],
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Trace | None:
    """What all of them together say. published: the newest generation of the pack's windows."""
    way = noted.way if noted else waiting.way if waiting else None
    if way is None:
        return None
    if index is not None and index >= way.events:
        raise ImpossibleId(f"its pack has {way.events} events, the first of them :0")
    pack = _read(stored.body if stored else waiting.body if waiting else b"", dictionaries)
    accepted = _accepted(pack_id, index, pack)
    stages = [accepted, *_noted_stages(way, accepted)]
    if noted is not None:
        stages[-1] = _fate(stages[-1], index, noted, stored)
        if stages[-1].name == STORED and stored is not None:
            stages += _aggregated(_windows_of(index, noted, stored), published)
    stages += _erased(index, pack)
    return Trace(pack_id, index, way.endpoint, way.events, tuple(stages))


def _read(body: bytes, dictionaries: Dictionaries) -> packing.Pack | None:
    try:
        return packing.unpack(body, dictionaries)
    except PackCorrupt:
        return None


def _accepted(pack_id: UUID, index: int | None, pack: packing.Pack | None) -> Stage:
    """From the pack itself; of one that can't be read, its id's time."""
    shares = (share for _, share in pack.per_event()) if pack else iter(())
    share = next(islice(shares, index or 0, None), None)
    if pack is None or share is None:
        return Stage("accepted", accepted_at_ms(pack_id))
    node, release = pack.tags.get("node", ""), pack.tags.get("release", "")
    return Stage("accepted", share.received_at_ms, node, release)


def _erased(index: int | None, pack: packing.Pack | None) -> list[Stage]:
    """When this event was erased, and by which certificate."""
    left = pack.tombstones.get(index) if pack and index is not None else None
    if pack is None or left is None:
        return []
    return [
        Stage(ERASED, one.at_ms, note=f"certificate {one.certificate}")
        for one in pack.erasures
        if one.certificate == left.certificate
    ]


def _noted_stages(way: Way, accepted: Stage) -> list[Stage]:
    """The collector that accepts a request is the one that puts it into the queue."""
    return [
        replace(one, node=accepted.node, release=accepted.release) if one.name == "queued" else one
        for one in way.stages
    ]


def _fate(last: Stage, index: int | None, noted: Noted, stored: Stored | None) -> Stage:
    """What became of this event, where its pack was stored."""
    if stored is None or index is None or index not in stored.hidden:
        return last
    if index in noted.dead:
        return replace(last, name=DEAD, note=noted.dead[index])
    return replace(last, name=DUPLICATE, note="its client had sent it before")


def _windows_of(index: int | None, noted: Noted, stored: Stored) -> dict[int, int]:
    """Start → version of the windows that the event counts in: of a pack all, of an event one."""
    if index is None:
        return dict(noted.windows)
    time_s = sidecar.decode(stored.sidecar)["time_ms"][index] // 1000
    start_s = max((one for one in noted.windows if one <= time_s), default=None)
    return {} if start_s is None else {start_s: noted.windows[start_s]}


def _aggregated(
    windows: Mapping[int, int], published: Mapping[int, Generation | None]
) -> list[Stage]:
    """One stage, once all windows are published with the event in them."""
    generations = [published[start_s] for start_s in windows]
    done = [
        one
        for one, version in zip(generations, windows.values(), strict=True)
        if one is not None and one.version >= version
    ]
    if not done or len(done) < len(generations):
        return []
    last = max(done, key=lambda one: one.published_at_ms)
    note = ", ".join(
        f"window {iso_time(one.window_start_s * 1000)} generation {one.generation}" for one in done
    )
    return [Stage("aggregated", last.published_at_ms, last.node, last.release, note)]

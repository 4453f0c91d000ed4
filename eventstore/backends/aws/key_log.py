"""Which client keys were stored already: for each span some logs, to which processors add in turns.

An entry of a log is written only if its number is free, so that all see the same entries in the
same order, and the first event with a key is the same for all, for ever. A pack that comes again
finds its own entries, and so what was hidden of it before. Where packs are in a segment, an entry
refers to the keys there, and may have packs that the log has already: their first entry counts.

One partition of DynamoDB takes some 50,000 keys a second, so a span of heavy traffic is divided:
each key has one log, by its own bits. Whoever comes first to a span says in the first entry into
how many, by the traffic that it has seen; from then on that stands. A pack adds to each log that
its keys fall into, one write each: where these were cut short, the pack comes again and adds the
rest, and meanwhile another may have come first with a key of the rest. Each key still has one first
event.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from uuid import UUID

import numpy as np
import numpy.typing as npt

from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.placing import Placing
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.segments import Extent
from eventstore.backends.aws.table import Item, Table
from eventstore.backends.sorted_keys import Int64s, SortedKeys
from eventstore.errors import EngineUnavailable
from eventstore.ports import Enriched

SPANS_KEPT = 64  # in memory; others are read again
KEYS_KEPT = 10_000_000  # of them all: 16 bytes each
KEYS_A_LOG = 150_000  # of ten seconds: a quarter of what a partition takes
LOGS_MAX = 32
AT = "keys_at"  # where in a segment an entry's keys are
LOGS = "logs"  # into how many its span is divided: in the first entry of the first
FREE = "attribute_not_exists(pk)"
KEY_BYTES = 16
LOW_HALF = np.int64(0xFFFFFFFF)
NONE: frozenset[int] = frozenset()
Keyed = tuple[npt.NDArray[np.uint32], Int64s]  # indexes of a pack's events, their keys


@dataclass
class _Log:
    """As far as it was read. retries: of each pack, the events whose key another had before."""

    entries: int = 0
    keys: SortedKeys = field(default_factory=SortedKeys)
    retries: dict[UUID, frozenset[int]] = field(default_factory=dict)

    def add(self, number: int, packs: Mapping[UUID, Keyed]) -> None:
        self.entries = number + 1
        if not packs:
            return
        known = self.keys.claim(np.concatenate([keys for _, keys in packs.values()]))
        at = 0
        for pack_id, (indexes, _) in packs.items():
            again = indexes[known[at : at + len(indexes)]]
            self.retries.setdefault(pack_id, frozenset(again.tolist()) if len(again) else NONE)
            at += len(indexes)


@dataclass(frozen=True)
class Part:
    """What packs add to one log of a span."""

    pk: str
    log: _Log
    packs: Mapping[UUID, Keyed]

    @cached_property
    def blob(self) -> bytes:
        return _encoded(self.packs)


class KeyLog:
    """claim() is exact, whoever else claims at the same time."""

    def __init__(self, table: Table, retries: Retries, placing: Placing) -> None:
        self._table = table
        self._retries = retries
        self._placing = placing
        self._spans: OrderedDict[int, list[_Log]] = OrderedDict()

    def parts(self, packs: Sequence[Enriched], expires_at_s: int | None) -> list[Part]:
        """What they add to which logs."""
        keyed = [(pack, places) for pack in packs if len(places := _places(pack))]
        if not keyed:
            return []
        of_span = np.concatenate([pack.key_spans[places] for pack, places in keyed])
        spans = self._opened(np.unique(of_span).tolist(), expires_at_s)
        for span, logs in spans.items():
            self._spans[span] = logs
            self._spans.move_to_end(span)
        return list(_divided(keyed, of_span, spans))

    def claim(
        self, parts: Sequence[Part], placed: Mapping[str, Extent], expires_at_s: int | None
    ) -> dict[UUID, set[int]]:
        """Of each pack, the events whose client sent them before. placed: where in a segment the
        parts are, by their pk."""
        self._table.at_once(
            lambda part: self._complete(part, placed.get(part.pk), expires_at_s), parts
        )
        again: dict[UUID, set[int]] = {}
        for part in parts:
            for pack_id in part.packs:
                again.setdefault(pack_id, set()).update(part.log.retries[pack_id])
        self._forget()
        return again

    def _opened(self, spans: Sequence[int], expires_at_s: int | None) -> dict[int, list[_Log]]:
        """The logs of each, as far as they are known."""
        unknown = [span for span in spans if span not in self._spans]
        counts = self._table.at_once(lambda span: self._open(span, expires_at_s), unknown)
        found = {
            span: [_Log() for _ in range(count)]
            for span, count in zip(unknown, counts, strict=True)
        }
        return {span: found.get(span) or self._spans[span] for span in spans}

    def _open(self, span: int, expires_at_s: int | None) -> int:
        """Into how many logs it is divided, once and for all."""
        key = _pk(span, 0), _sk(0)
        first = self._table.get(key)
        if first is None:
            first = Item(*key, {LOGS: logs_for(self._busiest())}, b"", expires_at_s)
            try:
                self._table.put_if(first, FREE)
            except Unmet:  # another was quicker
                first = self._table.get(key) or first
        return int(first.values.get(LOGS, 1))

    def _busiest(self) -> int:
        """How many keys the largest span has that is known here."""
        return max(map(_keys, self._spans.values()), default=0)

    def _complete(self, part: Part, at: Extent | None, expires_at_s: int | None) -> None:
        """Until all of these are in the log, and it is read up to them."""
        pk, log = part.pk, part.log
        for last in self._retries.tries():
            missing = {one: keyed for one, keyed in part.packs.items() if one not in log.retries}
            if missing:
                for item in self._table.query(pk, above=_sk(log.entries - 1)):
                    log.add(int(item.sk), _decoded(self._placing.blob(item, AT)))
                missing = {one: keyed for one, keyed in missing.items() if one not in log.retries}
            if not missing:
                return
            number, added = log.entries, part.packs if at else missing
            blob = part.blob if len(missing) == len(part.packs) else _encoded(missing)
            entry = Item(pk, _sk(number), {}, blob, expires_at_s)
            if at is not None:
                self._placing.check_fresh(at)
                entry = Item(pk, _sk(number), {AT: at.to_text()}, b"", expires_at_s)
            try:
                self._table.put_if(entry, FREE)
            except Unmet:  # another was quicker, or this one was, and its answer got lost
                if last:
                    break
                continue
            log.add(number, added)
            return
        raise EngineUnavailable(
            f"{self._table.place.url}: others keep writing to the log {pk}; try again"
        )

    def _forget(self) -> None:
        """Spans beyond what is kept."""
        kept = sum(map(_keys, self._spans.values()))
        while len(self._spans) > SPANS_KEPT or (kept > KEYS_KEPT and len(self._spans) > 1):
            kept -= _keys(self._spans.popitem(last=False)[1])


def logs_for(keys: int) -> int:
    """Into how many logs a span of so many keys is to be divided."""
    return min(max(1, -(-keys // KEYS_A_LOG)), LOGS_MAX)


def _keys(logs: Sequence[_Log]) -> int:
    return sum(len(log.keys) for log in logs)


def _places(pack: Enriched) -> npt.NDArray[np.intp]:
    """Its events that have a key."""
    return np.flatnonzero(pack.keys[:, 0] | pack.keys[:, 1])


def _divided(
    keyed: Sequence[tuple[Enriched, npt.NDArray[np.intp]]],
    of_span: Int64s,
    spans: Mapping[int, Sequence[_Log]],
) -> Iterator[Part]:
    """For each log that something is added to. of_span: of each place of each pack, in order."""
    ids = [pack.pack_id for pack, _ in keyed]
    of_pack = np.repeat(np.arange(len(keyed)), [len(places) for _, places in keyed])
    indexes = np.concatenate([places for _, places in keyed]).astype(np.uint32)
    keys = np.concatenate([pack.keys.take(places, axis=0) for pack, places in keyed])
    for span, logs in spans.items():
        there = np.flatnonzero(of_span == span)
        of_log = (keys[there, 0] & LOW_HALF) % len(logs)
        for number in np.unique(of_log).tolist():
            chosen = there[of_log == number]
            packs = of_pack[chosen]
            edges = [0, *(np.flatnonzero(np.diff(packs)) + 1).tolist(), len(chosen)]
            yield Part(
                _pk(span, number),
                logs[number],
                {
                    ids[packs[start]]: (indexes[chosen[start:end]], keys[chosen[start:end]])
                    for start, end in pairwise(edges)
                },
            )


def _pk(span: int, log: int) -> str:
    return f"keys#{span}#{log}" if log else f"keys#{span}"


def _sk(number: int) -> str:
    return f"{number:010d}" if number >= 0 else ""


def _encoded(packs: Mapping[UUID, Keyed]) -> bytes:
    """For each pack its id, how many keys, their indexes, the keys."""
    return b"".join(
        pack_id.bytes
        + len(indexes).to_bytes(4, "little")
        + indexes.astype("<u4").tobytes()
        + keys.astype("<i8").tobytes()
        for pack_id, (indexes, keys) in packs.items()
    )


def _decoded(blob: bytes) -> dict[UUID, Keyed]:
    found: dict[UUID, Keyed] = {}
    at = 0
    while at < len(blob):  # ends: every pack is further on
        pack_id = UUID(bytes=blob[at : at + 16])
        count = int.from_bytes(blob[at + 16 : at + 20], "little")
        indexes = np.frombuffer(blob, "<u4", count, at + 20)
        keys = np.frombuffer(blob, "<i8", 2 * count, at + 20 + 4 * count).reshape(count, 2)
        found[pack_id] = (indexes, keys)
        at += 20 + (4 + KEY_BYTES) * count
    return found

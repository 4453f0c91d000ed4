"""Which client keys were stored already: for each span some logs, to which processors add in turns.

An entry of a log is written only if its number is free, so that all see the same entries in the
same order, and the first event with a key is the same for all, for ever. A pack that comes again
finds its own entries, and so what was hidden of it before.

One partition of DynamoDB takes some 60,000 keys a second, so a span of heavy traffic is divided:
each key has one log, by its own bits. Whoever comes first to a span says in the first entry into
how many, by the traffic that it has seen; from then on that stands. A pack adds to each log that
its keys fall into, one write each: where these were cut short, the pack comes again and adds the
rest, and meanwhile another may have come first with a key of the rest. Each key still has one first
event.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.table import Item, Table
from eventstore.errors import EngineUnavailable
from eventstore.ports import Enriched

SPANS_KEPT = 64  # in memory; others are read again
KEYS_KEPT = 5_000_000  # of them all: some 100 bytes each
KEYS_A_LOG = 150_000  # of ten seconds: a quarter of what a partition takes
LOGS_MAX = 32
LOGS = "logs"  # into how many its span is divided: in the first entry of the first
FREE = "attribute_not_exists(pk)"
KEY_BYTES = 16
Keyed = list[tuple[int, bytes]]  # index of an event, its key


@dataclass
class _Log:
    """As far as it was read. retries: of each pack, the events whose key another had before."""

    entries: int = 0
    keys: set[bytes] = field(default_factory=set)
    retries: dict[UUID, set[int]] = field(default_factory=dict)

    def add(self, number: int, blob: bytes) -> None:
        self.entries = number + 1
        for pack_id, keyed in _decoded(blob):
            again = {index for index, key in keyed if self._known(key)}
            self.retries.setdefault(pack_id, again)

    def _known(self, key: bytes) -> bool:
        known = key in self.keys
        self.keys.add(key)
        return known


@dataclass
class _Part:
    """What packs add to one log of a span."""

    pk: str
    log: _Log
    packs: dict[UUID, Keyed] = field(default_factory=dict)


class KeyLog:
    """claim() is exact, whoever else claims at the same time."""

    def __init__(self, table: Table, retries: Retries) -> None:
        self._table = table
        self._retries = retries
        self._spans: OrderedDict[int, list[_Log]] = OrderedDict()

    def claim(self, packs: Sequence[Enriched], expires_at_s: int | None) -> dict[UUID, set[int]]:
        """Of each pack, the events whose client sent them before."""
        again: dict[UUID, set[int]] = {pack.pack_id: set() for pack in packs}
        by_span: dict[int, list[tuple[UUID, int, bytes]]] = {}
        for pack in packs:
            for index in np.flatnonzero(pack.keys[:, 0] | pack.keys[:, 1]).tolist():
                some = by_span.setdefault(int(pack.key_spans[index]), [])
                some.append((pack.pack_id, index, pack.keys[index].tobytes()))
        spans = self._opened(sorted(by_span), expires_at_s)
        parts: list[_Part] = []
        for span, logs in spans.items():
            parts += _divided(span, logs, by_span[span])
        self._table.at_once(lambda part: self._complete(part, expires_at_s), parts)
        for part in parts:
            for pack_id in part.packs:
                again[pack_id] |= part.log.retries[pack_id]
        self._keep(spans)
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

    def _complete(self, part: _Part, expires_at_s: int | None) -> None:
        """Until all of these are in the log, and it is read up to them."""
        pk, log = part.pk, part.log
        for last in self._retries.tries():
            missing = {one: keyed for one, keyed in part.packs.items() if one not in log.retries}
            if missing:
                for item in self._table.query(pk, above=_sk(log.entries - 1)):
                    log.add(int(item.sk), item.blob)
                missing = {one: keyed for one, keyed in missing.items() if one not in log.retries}
            if not missing:
                return
            number, blob = log.entries, _encoded(missing)
            try:
                self._table.put_if(Item(pk, _sk(number), {}, blob, expires_at_s), FREE)
            except Unmet:  # another was quicker, or this one was, and its answer got lost
                if last:
                    break
                continue
            log.add(number, blob)
            return
        raise EngineUnavailable(
            f"{self._table.place.url}: others keep writing to the log {pk}; try again"
        )

    def _keep(self, spans: dict[int, list[_Log]]) -> None:
        for span, logs in spans.items():
            self._spans[span] = logs
            self._spans.move_to_end(span)
        kept = sum(map(_keys, self._spans.values()))
        while len(self._spans) > SPANS_KEPT or (kept > KEYS_KEPT and len(self._spans) > 1):
            kept -= _keys(self._spans.popitem(last=False)[1])


def logs_for(keys: int) -> int:
    """Into how many logs a span of so many keys is to be divided."""
    return min(max(1, -(-keys // KEYS_A_LOG)), LOGS_MAX)


def _keys(logs: Sequence[_Log]) -> int:
    return sum(len(log.keys) for log in logs)


def _divided(
    span: int, logs: Sequence[_Log], keyed: Sequence[tuple[UUID, int, bytes]]
) -> list[_Part]:
    """Those of its logs that something is added to."""
    parts: dict[int, _Part] = {}
    for pack_id, index, key in keyed:
        number = int.from_bytes(key[:4], "little") % len(logs)
        part = parts.setdefault(number, _Part(_pk(span, number), logs[number]))
        part.packs.setdefault(pack_id, []).append((index, key))
    return list(parts.values())


def _pk(span: int, log: int) -> str:
    return f"keys#{span}#{log}" if log else f"keys#{span}"


def _sk(number: int) -> str:
    return f"{number:010d}" if number >= 0 else ""


def _encoded(packs: dict[UUID, Keyed]) -> bytes:
    """For each pack its id, how many keys, their indexes, the keys."""
    return b"".join(
        pack_id.bytes
        + np.array([len(keyed), *(index for index, _ in keyed)], dtype="<u4").tobytes()
        + b"".join(key for _, key in keyed)
        for pack_id, keyed in packs.items()
    )


def _decoded(blob: bytes) -> list[tuple[UUID, Keyed]]:
    found = []
    at = 0
    while at < len(blob):  # ends: every pack is further on
        pack_id = UUID(bytes=blob[at : at + 16])
        count = int.from_bytes(blob[at + 16 : at + 20], "little")
        keys_at = at + 20 + 4 * count
        indexes = np.frombuffer(blob[at + 20 : keys_at], dtype="<u4").tolist()
        at = keys_at + KEY_BYTES * count
        keys = [blob[start : start + KEY_BYTES] for start in range(keys_at, at, KEY_BYTES)]
        found.append((pack_id, list(zip(indexes, keys, strict=True))))
    return found

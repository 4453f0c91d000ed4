"""Which client keys were stored already: for each span a log, to which processors add in turns.

An entry of the log is written only if its number is free, so that all see the same entries in the
same order, and the first event with a key is the same for all, for ever. A pack that comes again
finds its own entry, and so what was hidden of it before. Where its packs are in a segment, an entry
refers to the keys there, and may have packs that were in the log before: their first entry counts.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.placing import Placing
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.segments import Extent
from eventstore.backends.aws.table import Item, Table
from eventstore.errors import EngineUnavailable
from eventstore.ports import Enriched

SPANS_KEPT = 64  # in memory; others are read again
KEY_BYTES = 16
Keyed = list[tuple[int, bytes]]  # index of an event, its key
BySpan = Mapping[int, Mapping[UUID, Keyed]]
AT = "keys_at"


@dataclass
class _Log:
    """As far as it was read. retries: of each pack, the events whose key another had before."""

    entries: int = 0
    keys: set[bytes] = field(default_factory=set)
    retries: dict[UUID, set[int]] = field(default_factory=dict)

    def add(self, blob: bytes) -> None:
        self.entries += 1
        for pack_id, keyed in _decoded(blob):
            again = {index for index, key in keyed if self._known(key)}
            self.retries.setdefault(pack_id, again)

    def _known(self, key: bytes) -> bool:
        known = key in self.keys
        self.keys.add(key)
        return known


class KeyLog:
    """claim() is exact, whoever else claims at the same time."""

    def __init__(self, table: Table, retries: Retries, placing: Placing) -> None:
        self._table = table
        self._retries = retries
        self._placing = placing
        self._logs: OrderedDict[int, _Log] = OrderedDict()

    def claim(
        self, by_span: BySpan, placed: Mapping[int, Extent], expires_at_s: int | None
    ) -> dict[UUID, set[int]]:
        """Of each pack with keys, the events whose client sent them before. placed: where the keys
        of a span are, encoded, when they are in a segment."""
        again: dict[UUID, set[int]] = {}
        spans = sorted(by_span)
        logs = {span: self._logs.get(span) or _Log() for span in spans}
        self._table.at_once(
            lambda span: self._complete(
                span, logs[span], by_span[span], placed.get(span), expires_at_s
            ),
            spans,
        )
        for number, log in logs.items():
            self._logs[number] = log
            self._logs.move_to_end(number)
            for pack_id in by_span[number]:
                again.setdefault(pack_id, set()).update(log.retries[pack_id])
        while len(self._logs) > SPANS_KEPT:
            self._logs.popitem(last=False)
        return again

    def _complete(
        self,
        span: int,
        log: _Log,
        packs: Mapping[UUID, Keyed],
        at: Extent | None,
        expires_at_s: int | None,
    ) -> None:
        """Until all of these are in the span's log, and it is read up to them."""
        for last in self._retries.tries():
            missing = {one: keyed for one, keyed in packs.items() if one not in log.retries}
            if missing:
                for item in self._table.query(key_entries(span), above=_sk(log.entries - 1)):
                    log.add(self._placing.blob(item, AT))
                missing = {one: keyed for one, keyed in missing.items() if one not in log.retries}
            if not missing:
                return
            blob = encoded(packs if at else missing)
            entry = Item(
                key_entries(span),
                _sk(log.entries),
                {AT: at.to_text()} if at else {},
                b"" if at else blob,
                expires_at_s,
            )
            self._placing.check_fresh(at)
            try:
                self._table.put_if(entry, "attribute_not_exists(pk)")
            except Unmet:  # another was quicker, or this one was, and its answer got lost
                if last:
                    break
                continue
            log.add(blob)
            return
        raise EngineUnavailable(
            f"{self._table.place.url}: others keep writing the keys of span {span}; try again"
        )


def by_span(packs: Iterable[Enriched]) -> BySpan:
    """The client keys of packs; those without any are not there."""
    found: dict[int, dict[UUID, Keyed]] = {}
    for pack in packs:
        for index in np.flatnonzero(pack.keys[:, 0] | pack.keys[:, 1]).tolist():
            span = found.setdefault(int(pack.key_spans[index]), {})
            span.setdefault(pack.pack_id, []).append((index, pack.keys[index].tobytes()))
    return found


def key_entries(span: int) -> str:
    """The partition of a span's log."""
    return f"keys#{span}"


def _sk(number: int) -> str:
    return f"{number:010d}" if number >= 0 else ""


def encoded(packs: Mapping[UUID, Keyed]) -> bytes:
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

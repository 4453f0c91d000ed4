"""Packs that were claimed together are enriched together, as many as fit, before it is their turn.

Most of what enriching costs is the same for few events as for many. What a pack becomes depends on
it alone, so nobody can tell which others were beside it. Whatever goes wrong here is found out when
the pack is enriched alone, as one is that was tried before: if it harms its processor, no other
pack is to blame.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from uuid import UUID

from eventstore.dictionaries import Dictionaries
from eventstore.ports import Enriched, Lease
from eventstore.processing.enrich import Rules, Unpacked, enrich, enrich_together, unpacked

BYTES_ENOUGH = 2 << 20  # of events, unpacked; the last pack may exceed it
PACKS_ENOUGH = 32  # their parts share a table: each value has a place in it for each pack


class Ahead:
    """What enrichment finds out of packs, before transforms."""

    def __init__(self, rules: Rules, dictionaries: Dictionaries) -> None:
        self._rules = rules
        self._dictionaries = dictionaries
        self._found: dict[UUID, Enriched | None] = {}  # None: it must be enriched alone

    def enriched(self, lease: Lease, following: Sequence[Lease]) -> Enriched:
        """following: those that it will be asked for next, most likely. Raises as `enrich` does."""
        if lease.pack_id not in self._found:
            self._found = self._together([lease, *following])
        found = self._found.pop(lease.pack_id)
        if found is not None and found.body is lease.body:
            return found
        return enrich(lease.pack_id, lease.body, self._rules, None, self._dictionaries)

    def _together(self, leases: Iterable[Lease]) -> dict[UUID, Enriched | None]:
        given: list[Unpacked] = []
        found: dict[UUID, Enriched | None] = {}
        size = 0
        for lease in leases:
            if size >= BYTES_ENOUGH or len(given) >= PACKS_ENOUGH:
                break
            found[lease.pack_id] = None
            if lease.attempts == 1:
                with suppress(Exception):
                    given.append(unpacked(lease.pack_id, lease.body, self._dictionaries))
                    size += len(given[-1].pack.block)
        for _, some in groupby(sorted(given, key=_kind), key=_kind):
            with suppress(Exception):
                found |= {one.pack_id: one for one in enrich_together(list(some), self._rules)}
        return found


def _kind(one: Unpacked) -> str:
    return one.kind

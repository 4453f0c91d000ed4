"""How the store keeps packs: which of them are in segments, which were made with a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import zstandard

from eventstore import engines, packing
from eventstore.ports import Stored
from eventstore.settings import Settings


@dataclass(frozen=True)
class Kept:
    """in_segments, with_dictionary: packs of them."""

    packs: int = 0
    segments: int = 0
    in_segments: int = 0
    with_dictionary: int = 0

    def lacks(self) -> Iterator[str]:
        """What a run with segments and a dictionary has not shown."""
        if not self.in_segments:
            yield "no pack was read from a segment"
        if not self.with_dictionary:
            yield "no pack was read with a dictionary"


def kept(settings: Settings) -> Kept:
    """Raises eventstore's errors."""
    with closing(engines.open_store(settings)) as store:
        there = dict(_dictionaries(store.packs()))
    placed: set[UUID] = set()
    segments = 0
    if settings.segments:
        with closing(engines.open_segments(settings)) as found:
            for name in found.names():
                placed |= found.directory(name).bodies.keys()
                segments += 1
    return Kept(len(there), segments, len(placed & there.keys()), sum(map(bool, there.values())))


def _dictionaries(packs: Iterable[Stored]) -> Iterator[tuple[UUID, int]]:
    """Which each pack's frame names; 0: none."""
    for one in packs:
        frame = one.body[packing.PREFIX.size :]
        yield one.pack_id, zstandard.get_frame_parameters(frame).dict_id

"""Where the contents of packs go, by price, and how they come back: readers see no difference.

Everything is counted in write units of DynamoDB, 1 KB each: they are what packs as items cost.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal
from uuid import UUID

from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.items import Head, extent_of
from eventstore.backends.aws.segments import Extent, Segment, Segments, new_name
from eventstore.backends.aws.table import Item
from eventstore.errors import EngineUnavailable
from eventstore.ports import Enriched

Placement = Literal["auto", "items", "segments"]
UNIT_BYTES = 1024
PUT_UNITS = 8  # a PUT of S3 is $5 a million, a write unit $0.625
BESIDE_BYTES = 600  # of a pack's item, beside the pack: keys, names, way
LOAD_PACKS_MAX = 64
LOAD_BYTES_MAX = 8 << 20


def cheaper_in_segments(packs_bytes: Sequence[int], keys_bytes: Sequence[int]) -> bool:
    """Of packs and entries of the key log that are written together: whether two objects, and an
    item of one unit for each of them, cost less than items that hold them."""
    as_items = sum(_units(one + BESIDE_BYTES) for one in packs_bytes) + sum(map(_units, keys_bytes))
    return 2 * PUT_UNITS + len(packs_bytes) + len(keys_bytes) < as_items


def _units(size: int) -> int:
    return max(1, -(-size // UNIT_BYTES))


class Placing:
    """segments: None: there are none, and never were. has_expired: of a pack, whether it may be
    gone already."""

    def __init__(
        self,
        segments: Segments | None,
        placement: Placement,
        begun: Begun,
        has_expired: Callable[[UUID], bool],
    ) -> None:
        self._segments = segments
        self._begun = begun
        self._placement = placement
        self._has_expired = has_expired

    def written(self, packs: Sequence[Enriched], keys: Mapping[str, bytes]) -> Segment | None:
        """Durable in a segment; None: they are to be items."""
        if self._segments is None or self._placement == "items" or not packs:
            return None
        if self._placement == "auto" and not cheaper_in_segments(
            [len(one.body) + len(one.sidecar) + len(one.view) for one in packs],
            [len(one) for one in keys.values()],
        ):
            return None
        name = new_name()
        self._begun.note(name)
        return self._segments.write(name, packs, keys)

    def settle(self, segment: Segment) -> None:
        """An item refers to each of its packs."""
        self._begun.forget(segment.name)

    def check_fresh(self, extent: Extent | None) -> None:
        """Before an item that refers to it is written. Raises EngineUnavailable."""
        if extent is not None:
            self._those(extent.file).check_fresh(extent.file)

    def blob(self, item: Item, name: str) -> bytes:
        """An item's own, or what this value refers to. From any thread."""
        extent = extent_of(item, name)
        if extent is None:
            return item.blob
        read = self._those(extent.file).read_one(extent)
        if read is not None:
            return read
        if item.expires_at_s is not None and item.expires_at_s < time.time():
            return b""
        raise self._those(extent.file).missing(extent.file)

    def loaded(self, heads: Iterable[Head]) -> Iterator[Head]:
        """The same with their contents, some at a time."""
        for some in _chunks(heads):
            yield from self._filled(some)

    def blank(self, extents: Sequence[Extent]) -> None:
        """Overwrites bytes that were erased; each file once."""
        by_file: dict[str, list[Extent]] = {}
        for one in extents:
            by_file.setdefault(one.file, []).append(one)
        for file, some in by_file.items():
            self._those(file).blank(file, some)

    def lost(self, head: Head, known: dict[str, bool]) -> bool:
        """Whether something that its item refers to is not there. known: of files, so that each is
        looked at once."""
        files = [one.file for one in head.placed]
        for file in files:
            if file not in known:
                known[file] = self._those(file).is_there(file)
        return not all(known[file] for file in files) and not self._has_expired(head.pack_id)

    def close(self) -> None:
        if self._segments is not None:
            self._segments.close()

    def _filled(self, heads: Sequence[Head]) -> Iterator[Head]:
        extents = [one for head in heads for one in head.placed]
        found = self._those(extents[0].file).read(extents) if extents else {}
        for head in heads:
            gone = [one for one in head.placed if one not in found]
            if gone and not self._has_expired(head.pack_id):
                raise self._those(gone[0].file).missing(gone[0].file)
            if gone:
                continue
            body, sidecar, view = head.body, head.sidecar, head.view
            if head.body_at:
                (body,) = found[head.body_at]
            if head.sidecar_at:
                sidecar, view = found[head.sidecar_at]
            yield replace(head, body=body, sidecar=sidecar, view=view)

    def _those(self, file: str) -> Segments:
        if self._segments is None:
            raise EngineUnavailable(
                f"packs are in segment {file}, and the settings name no bucket of segments; say"
                " segments: s3://<bucket>/<prefix>"
            )
        return self._segments


def _chunks(heads: Iterable[Head]) -> Iterator[list[Head]]:
    """More and more of them, as whoever wants one pack reads one; bounded in bytes too."""
    some: list[Head] = []
    wanted, held = 1, 0
    for head in heads:
        some.append(head)
        held += sum(sum(one.lengths) for one in head.placed)
        if len(some) >= wanted or held >= LOAD_BYTES_MAX:
            yield some
            some, held = [], 0
            wanted = min(wanted * 2, LOAD_PACKS_MAX)
    if some:
        yield some

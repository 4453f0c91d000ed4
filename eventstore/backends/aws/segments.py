"""Segments: packs merged into large objects of a bucket, so that one write does for many.

    <name>.sidecars   magic `EVSG` · u32 length of the directory · directory (JSON)
                      · of each pack its sidecar and view · of each log the packs' client keys
    <name>.bodies     the packs as they came, one after the other

A name is a UUIDv7 of the moment of writing, and never used twice. What no item refers to is not
there for any reader: sweep.py takes it away once it is old enough.
"""

import json
import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

from eventstore.backends.aws.bucket import Bucket
from eventstore.errors import EngineUnavailable
from eventstore.event import new_pack_id
from eventstore.ledger import accepted_at_ms
from eventstore.ports import Enriched

MAGIC = b"EVSG"
PREFIX = struct.Struct("<4sI")
BODIES, SIDECARS = ".bodies", ".sidecars"
NAME = re.compile(r"([0-9a-f]{32})\.(?:bodies|sidecars)")
# After this nobody refers to a segment any more: its packs come again, and get another. AWS itself
# refuses requests that were signed more than 15 minutes ago, so that the sweep has a bound.
REFER_S_MAX = 600
GAP_BYTES_MAX = 256 << 10  # read rather than asked for anew
RANGE_BYTES_MAX = 8 << 20
HEAD_BYTES = 64 << 10  # nearly always the whole directory
THREADS = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """Where in which object some pieces are, one after the other."""

    file: str
    at: int
    lengths: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.at + sum(self.lengths)

    def to_text(self) -> str:
        return json.dumps([self.file, self.at, *self.lengths], separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> "Extent":
        """What to_text has made."""
        file, at, *lengths = json.loads(text)
        return cls(file, at, tuple(lengths))


@dataclass(frozen=True, slots=True)
class Segment:
    """Where each pack is, and what it adds to logs of client keys, by their pk."""

    name: str
    bodies: Mapping[UUID, Extent]
    sidecars: Mapping[UUID, Extent]
    keys: Mapping[str, Extent]


@dataclass(frozen=True, slots=True)
class Directory:
    """What a segment was written for: its packs, and the logs of their client keys."""

    bodies: Mapping[UUID, Extent]
    sidecars: Mapping[UUID, Extent]
    logs: tuple[str, ...]


class Segments:
    """Written by processors, read by all."""

    def __init__(self, bucket: Bucket, *, now_s: Callable[[], float] = time.time) -> None:
        self.bucket = bucket
        self._now_s = now_s
        self._pool = ThreadPoolExecutor(THREADS, "segments")

    def write(self, name: str, packs: Sequence[Enriched], keys: Mapping[str, bytes]) -> Segment:
        """Durable when it returns; nobody refers to it yet. name: of new_name()."""
        packs = sorted(packs, key=lambda pack: pack.pack_id)  # readers come in this order
        bodies, bodies_at = _joined(f"{name}{BODIES}", b"", [(pack.body,) for pack in packs])
        head = _head(packs, keys)
        pieces = [(pack.sidecar, pack.view) for pack in packs]
        sidecars, at = _joined(
            f"{name}{SIDECARS}", head, [*pieces, *((one,) for one in keys.values())]
        )
        # Bodies first: sidecars without them are found by the sweep, which reads these.
        done = [
            self._pool.submit(self.bucket.put, f"{name}{suffix}", body)
            for suffix, body in ((BODIES, bodies), (SIDECARS, sidecars))
        ]
        for one in done:
            one.result()
        ids = [pack.pack_id for pack in packs]
        return Segment(
            name,
            dict(zip(ids, bodies_at, strict=True)),
            dict(zip(ids, at[: len(ids)], strict=True)),
            dict(zip(keys, at[len(ids) :], strict=True)),
        )

    def check_fresh(self, file: str) -> None:
        """Before an item refers to it: raises EngineUnavailable when it may have been swept."""
        age_s = self._now_s() - (written_at_s(file) or 0)
        if age_s > REFER_S_MAX:
            raise EngineUnavailable(
                f"{self.bucket.place.url}: segment {file} was written {age_s:.0f} s ago, and nobody"
                " refers to it yet: its packs come again"
            )

    def read(self, extents: Iterable[Extent]) -> dict[Extent, list[bytes]]:
        """Their pieces, without those that are not there; neighbours in one request."""
        found: dict[Extent, list[bytes]] = {}
        ranges = merged(extents)
        for some, read in zip(ranges, self._pool.map(self._range, ranges), strict=True):
            if read is None:
                continue
            for one in some:
                edges = [one.at - some[0].at]
                for length in one.lengths:
                    edges.append(edges[-1] + length)
                found[one] = [read[start:end] for start, end in pairwise(edges)]
        return found

    def read_one(self, extent: Extent) -> bytes | None:
        """None: it is not there. From any thread."""
        return self._range([extent])

    def blank(self, file: str, extents: Sequence[Extent]) -> None:
        """Overwrites them with zeros; the others stay where they are."""

        def blanked(body: bytes) -> bytes:
            left = bytearray(body)
            for one in extents:
                left[one.at : one.end] = bytes(one.end - one.at)
            return bytes(left)

        self.bucket.change(file, blanked)

    def is_there(self, file: str) -> bool:
        """Without reading it."""
        return self.bucket.get_range(file, 0, 1) is not None

    def missing(self, file: str) -> EngineUnavailable:
        """What to say of it."""
        return EngineUnavailable(
            f"{self.bucket.place.url}: segment {file} is not there, and items refer to it; let the"
            " bucket's lifecycle keep segments for longer than ttl_days"
        )

    def names(self) -> Iterator[str]:
        """Of all segments, in the order of their writing."""
        for file, _ in self.bucket.walk():
            if NAME.fullmatch(file) and file.endswith(BODIES):
                yield file.removesuffix(BODIES)

    def directory(self, name: str) -> Directory:
        """Of the segment of this name; of one without sidecars, that it was for nothing."""
        file = f"{name}{SIDECARS}"
        read = self.bucket.get_range(file, 0, HEAD_BYTES)
        if read is None:
            return Directory({}, {}, ())
        magic, length = PREFIX.unpack_from(read)
        if magic != MAGIC:
            raise EngineUnavailable(f"{self.bucket.place.url}: {file} is no segment")
        at = PREFIX.size + length
        if at > len(read):
            read += self.bucket.get_range(file, len(read), at - len(read)) or b""
        document = json.loads(read[PREFIX.size : at])
        ids = [UUID(one) for one, *_ in document["packs"]]
        bodies = _extents(f"{name}{BODIES}", 0, ([body] for _, body, *_ in document["packs"]))
        sidecars = _extents(file, at, (lengths for _, _, *lengths in document["packs"]))
        return Directory(
            dict(zip(ids, bodies, strict=True)),
            dict(zip(ids, sidecars, strict=True)),
            tuple(log for log, _ in document["keys"]),
        )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.bucket.close()

    def _range(self, some: Sequence[Extent]) -> bytes | None:
        length = max(one.end for one in some) - some[0].at
        if length == 0:
            return b""
        read = self.bucket.get_range(some[0].file, some[0].at, length)
        if read is not None and len(read) != length:
            raise EngineUnavailable(
                f"{self.bucket.place.url}: segment {some[0].file} ends before {some[0].at + length}"
            )
        return read


def new_name() -> str:
    """Never used before."""
    return new_pack_id().hex


def name_of(at_s: float) -> str:
    """What all names of segments that were begun later are above."""
    return f"{max(0, int(at_s * 1000)):012x}"


def written_at_s(file: str) -> float | None:
    """When a segment was begun, by its name; None: it is none's."""
    name = NAME.fullmatch(file)
    return accepted_at_ms(UUID(name[1])) / 1000 if name else None


def merged(extents: Iterable[Extent]) -> list[list[Extent]]:
    """Those of one object that are near each other, in order: what is asked for at once."""
    ranges: list[list[Extent]] = []
    for one in sorted(extents, key=lambda extent: (extent.file, extent.at)):
        last = ranges[-1] if ranges else []
        if (
            last
            and last[0].file == one.file
            and one.at - last[-1].end <= GAP_BYTES_MAX
            and one.end - last[0].at <= RANGE_BYTES_MAX
        ):
            last.append(one)
        else:
            ranges.append([one])
    return ranges


def _head(packs: Sequence[Enriched], keys: Mapping[str, bytes]) -> bytes:
    document: dict[str, Any] = {
        "packs": [
            [one.pack_id.hex, len(one.body), len(one.sidecar), len(one.view)] for one in packs
        ],
        "keys": [[log, len(blob)] for log, blob in keys.items()],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    return PREFIX.pack(MAGIC, len(text)) + text


def _joined(
    file: str, head: bytes, things: Sequence[Sequence[bytes]]
) -> tuple[bytes, list[Extent]]:
    """An object, and where in it each thing's pieces are."""
    body = b"".join([head, *(piece for pieces in things for piece in pieces)])
    return body, _extents(file, len(head), (map(len, pieces) for pieces in things))


def _extents(file: str, at: int, lengths: Iterable[Iterable[int]]) -> list[Extent]:
    """Of things that are one after the other."""
    found: list[Extent] = []
    for some in lengths:
        found.append(Extent(file, found[-1].end if found else at, tuple(some)))
    return found

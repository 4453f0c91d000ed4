"""Segments that no item refers to: a processor died after it had written them, or another has
stored their packs before. No reader sees them; they only cost storage.

Whoever has written a segment refers to it within REFER_S_MAX, or never, so that what is older than
OLDER_S_MIN, and nobody refers to, stays so. Processors look by themselves at those that were begun
and not ended, in turns; whoever walks through all segments finds what releases before that left.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.items import extent_of, head_key
from eventstore.backends.aws.key_log import AT
from eventstore.backends.aws.segments import (
    BODIES,
    Directory,
    Extent,
    Segments,
    name_of,
    written_at_s,
)
from eventstore.backends.aws.table import Table
from eventstore.backends.aws.turns import Turns
from eventstore.event import new_pack_id
from eventstore.ports import Tidied

OLDER_S_MIN = 3600
TURN_S = 600
TURN_OLDER_S = 2 * OLDER_S_MIN
TURN_SEGMENTS_MAX = 8


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object of a segment that nobody refers to; or parts of it, where others are referred to:
    copies of packs that another segment has in force, or that were written anew."""

    file: str
    bytes: int
    parts: tuple[Extent, ...] = ()


class Sweep:
    """Looks at segments whose age is between older_than_s and since_s, oldest first."""

    def __init__(self, table: Table, segments: Segments, begun: Begun) -> None:
        self._table = table
        self._segments = segments
        self._begun = begun
        self._turns = Turns(table)

    def turn(self, now_s: float) -> Tidied:
        """At most every TURN_S, whoever asks: some of those that were begun and not ended."""
        if not self._turns.take("sweep", new_pack_id().hex, now_s, TURN_S):
            return Tidied()
        taken: list[Orphan] = []
        names = list(self._begun.left(TURN_SEGMENTS_MAX, name_of(now_s - TURN_OLDER_S)))
        for name in names:
            for file, size in list(self._segments.bucket.walk(f"{name}.")):
                orphan = self._looked_at(file, size)
                if orphan is not None:
                    self.take(orphan)
                    taken.append(orphan)
            self._begun.forget(name)
        overwritten = sum(bool(one.parts) for one in taken)
        return Tidied(
            len(names),
            len(taken) - overwritten,
            overwritten,
            sum(one.bytes for one in taken),
        )

    def orphans(self, *, now_s: float, older_than_s: float, since_s: float) -> Iterator[Orphan]:
        """Changes nothing."""
        if older_than_s < OLDER_S_MIN:
            raise ValueError(f"older than {older_than_s} s: expected {OLDER_S_MIN} or more")
        oldest = name_of(now_s - since_s)
        for file, size in self._segments.bucket.walk(after=oldest):
            at_s = written_at_s(file)
            if at_s is not None and at_s > now_s - older_than_s:
                return  # names are in the order of their writing
            orphan = self._looked_at(file, size) if at_s is not None else None
            if orphan is not None:
                yield orphan

    def take(self, orphan: Orphan) -> None:
        """Deletes it, or overwrites its parts."""
        if orphan.parts:
            self._segments.blank(orphan.file, orphan.parts)
        else:
            self._segments.bucket.delete(orphan.file)

    def close(self) -> None:
        self._table.close()
        self._segments.close()

    def _looked_at(self, file: str, size: int) -> Orphan | None:
        """Items refer to it once they are written; bodies without sidecars are of a segment that
        never was whole."""
        directory = self._segments.directory(file.partition(".")[0])
        is_bodies = file.endswith(BODIES)
        extents = directory.bodies if is_bodies else directory.sidecars
        wanted = self._wanted(file, "body_at" if is_bodies else "sidecar_at", extents)
        if not wanted and (is_bodies or not self._has_keys(file, directory)):
            return Orphan(file, size)
        left = [one for pack_id, one in extents.items() if pack_id not in wanted]
        read = self._segments.read(left)
        parts = tuple(one for one in left if any(any(piece) for piece in read.get(one, ())))
        return Orphan(file, sum(sum(one.lengths) for one in parts), parts) if parts else None

    def _wanted(self, file: str, name: str, packs: Iterable[UUID]) -> set[UUID]:
        items = self._table.get_many([head_key(one) for one in packs]).values()
        return {UUID(one.sk) for one in items if (at := extent_of(one, name)) and at.file == file}

    def _has_keys(self, file: str, directory: Directory) -> bool:
        entries = (item for log in directory.logs for item in self._table.query(log))
        return any(at.file == file for item in entries if (at := extent_of(item, AT)))

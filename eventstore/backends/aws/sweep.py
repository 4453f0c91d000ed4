"""Segments that no item refers to: a processor died after it had written them, or another has
stored their packs before. No reader sees them; they only cost storage.

Whoever has written a segment refers to it within REFER_S_MAX, or never, so that one that is older
than OLDER_S_MIN, and that nobody refers to, stays so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from eventstore.backends.aws.items import extent_of, head_key
from eventstore.backends.aws.key_log import AT
from eventstore.backends.aws.segments import BODIES, SIDECARS, Directory, Segments, written_at_s
from eventstore.backends.aws.table import Table

OLDER_S_MIN = 3600


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object of a segment that nobody refers to."""

    file: str
    bytes: int


class Sweep:
    """Looks at segments whose age is between older_than_s and since_s, oldest first."""

    def __init__(self, table: Table, segments: Segments) -> None:
        self._table = table
        self._segments = segments

    def orphans(self, *, now_s: float, older_than_s: float, since_s: float) -> Iterator[Orphan]:
        """Changes nothing."""
        if older_than_s < OLDER_S_MIN:
            raise ValueError(f"older than {older_than_s} s: expected {OLDER_S_MIN} or more")
        oldest = f"{max(0, int((now_s - since_s) * 1000)):012x}"
        for file, size in self._segments.bucket.walk(after=oldest):
            at_s = written_at_s(file)
            if at_s is not None and at_s > now_s - older_than_s:
                return  # names are in the order of their writing
            if at_s is not None and not self._is_wanted(file):
                yield Orphan(file, size)

    def take(self, orphan: Orphan) -> None:
        """Deletes it."""
        self._segments.bucket.delete(orphan.file)

    def close(self) -> None:
        self._table.close()
        self._segments.close()

    def _is_wanted(self, file: str) -> bool:
        """Items refer to an object when they have been written; bodies without sidecars are of a
        segment that never was whole."""
        directory = self._segments.directory(file.replace(BODIES, SIDECARS))
        return self._has_packs(file, directory) or self._has_keys(file, directory)

    def _has_packs(self, file: str, directory: Directory) -> bool:
        name = "body_at" if file.endswith(BODIES) else "sidecar_at"
        items = self._table.get_many([head_key(one) for one in directory.packs]).values()
        return any(at.file == file for item in items if (at := extent_of(item, name)))

    def _has_keys(self, file: str, directory: Directory) -> bool:
        if file.endswith(BODIES):
            return False
        entries = (item for log in directory.logs for item in self._table.query(log))
        return any(at.file == file for item in entries if (at := extent_of(item, AT)))

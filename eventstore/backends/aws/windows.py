"""What packs add to windows, and which windows have changed since they were published.

    window#<start>   packs#<put>      what the packs of one put add to it
    window#<start>   pack#<pack id>   what a pack adds since it was written anew: this alone counts
    window#<start>   version          how often what the window counts has changed
    changed          <start>          a window that was not published since

A window is a fold over the set of its packs. One that comes again, in another put, is there twice,
and its later entry counts: puts are named by a UUIDv7.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from uuid import UUID

import orjson

from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.table import Item, Key, Table
from eventstore.event import CountKey, new_pack_id
from eventstore.ports import Partials

ORDERED = 1 << 40  # added to starts of windows: they sort as text, also before 1970
VERSION = "version"
CHANGED = "changed"
ALONE, TOGETHER = "pack#", "packs#"
Rows = list[tuple[str, str, int]]  # endpoint, name, how many
Counts = Mapping[CountKey, int]


class Windows:
    """Over the event store's table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, counts: Mapping[UUID, Counts], expires_at_s: int | None) -> dict[int, int]:
        """What packs add, each to its windows; the versions that these have then."""
        by_window: dict[int, dict[str, Rows]] = {}
        for pack_id, counted in counts.items():
            for start_s, rows in _rows(counted).items():
                by_window.setdefault(start_s, {})[pack_id.hex] = rows
        name = f"{TOGETHER}{new_pack_id().hex}"
        self._table.write(
            Item(_pk(start_s), name, {}, _encoded(some), expires_at_s)
            for start_s, some in by_window.items()
        )
        return self._touch_all(by_window)

    def replace(
        self, pack_id: UUID, before: Iterable[int], counts: Counts, expires_at_s: int | None
    ) -> dict[int, int]:
        """What a pack adds now that it was written anew; the versions of those windows that this
        has changed. before: those that it counted in."""
        rows = _rows(counts)
        changed = {
            start_s: now
            for start_s in sorted({*before, *rows})
            if (now := rows.get(start_s, [])) != self._folded(start_s).get(pack_id, [])
        }
        self._table.write(
            Item(
                _pk(start_s),
                f"{ALONE}{pack_id.hex}",
                {},
                _encoded({pack_id.hex: now}),
                expires_at_s,
            )
            for start_s, now in changed.items()
        )
        return self._touch_all(changed)

    def partials(self, start_s: int) -> Partials:
        # The version first: what is counted is then never less than it says.
        version = self._table.get((_pk(start_s), VERSION))
        counts: Counter[CountKey] = Counter()
        packs = 0
        for rows in self._folded(start_s).values():
            packs += bool(rows)
            for endpoint, name, count in rows:
                counts[CountKey(start_s, endpoint, name)] += count
        return Partials(int(version.values[VERSION]) if version else 0, counts, packs)

    def changed(self, windows_max: int) -> list[int]:
        """Oldest first."""
        found = self._table.query(CHANGED, limit=windows_max)
        return [int(item.sk) - ORDERED for item in found]

    def mark_published(self, start_s: int, version: int) -> None:
        with suppress(Unmet):
            self._table.delete_if(
                _changed_key(start_s), "version <= :published", {":published": version}
            )

    def _folded(self, start_s: int) -> dict[UUID, Rows]:
        """Of each pack, what counts."""
        together: dict[UUID, Rows] = {}
        alone: dict[UUID, Rows] = {}
        for item in self._table.query(_pk(start_s), above=ALONE, below=f"{TOGETHER}~"):
            (alone if item.sk.startswith(ALONE) else together).update(_decoded(item.blob))
        return together | alone

    def _touch_all(self, windows: Iterable[int]) -> dict[int, int]:
        in_order = sorted(windows)
        return dict(zip(in_order, self._table.at_once(self._touch, in_order), strict=True))

    def _touch(self, start_s: int) -> int:
        """Once what it counts has been written: its version, and that it is to be published."""
        version = self._table.count_up((_pk(start_s), VERSION), VERSION)
        with suppress(Unmet):  # another has noted a later version
            self._table.put_if(
                Item(*_changed_key(start_s), {VERSION: version}),
                "attribute_not_exists(pk) OR version < :version",
                {":version": version},
            )
        return version


def _rows(counts: Counts) -> dict[int, Rows]:
    """By the start of the window."""
    rows: dict[int, Rows] = {}
    for key, count in sorted(counts.items()):
        rows.setdefault(key.window_start_s, []).append((key.endpoint, key.name, count))
    return rows


def _pk(start_s: int) -> str:
    return f"window#{start_s}"


def _changed_key(start_s: int) -> Key:
    return CHANGED, f"{start_s + ORDERED:014d}"


def _encoded(packs: Mapping[str, Rows]) -> bytes:
    """Names are the same in pack after pack."""
    return zlib.compress(orjson.dumps(packs))


def _decoded(blob: bytes) -> Iterator[tuple[UUID, Rows]]:
    for pack, rows in orjson.loads(zlib.decompress(blob)).items():
        yield UUID(pack), [(endpoint, name, count) for endpoint, name, count in rows]

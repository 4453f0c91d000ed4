"""Byte code that another release on this node has already: compiling is most of an installation.

Byte code says which source it is of, by that file's time and size, and Python and compileall look:
what doesn't fit is made anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def take_of_links(other: Path, folder: Path) -> None:
    """Of packages: the same files, by hard links, have the same times."""
    for cache, names in _caches(other):
        mine = folder / cache.relative_to(other)
        if mine.parent.is_dir():
            mine.mkdir(exist_ok=True)
            for name in names:
                os.link(f"{cache}/{name}", f"{mine}/{name}")


def take_of_equals(other: Path, folder: Path) -> None:
    """Of an app: files with the same content are given the same time. What `folder` has stays."""
    for cache, names in _caches(other):
        mine = folder / cache.relative_to(other)
        for name in names:
            source = f"{name.partition('.')[0]}.py"
            theirs, ours = cache.parent / source, mine.parent / source
            if are_equal(theirs, ours) and not (mine / name).exists():
                os.utime(ours, ns=(0, theirs.stat().st_mtime_ns))
                mine.mkdir(exist_ok=True)
                (mine / name).hardlink_to(cache / name)


def are_equal(one: Path, other: Path) -> bool:
    """Two files, both there, with the same content."""
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def _caches(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for here, _, names in os.walk(folder):
        if here.endswith("/__pycache__"):
            yield Path(here), names

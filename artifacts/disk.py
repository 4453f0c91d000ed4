"""Room on the node's disk: asked for before a release is fetched, and said plainly when it ends."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.node_errors import DiskFull

# The tarball, its unpacked tree, and a virtual environment whose wheels unpack to about three
# times their size, byte code included.
TIMES_TARBALL = 5
SPARE_BYTES = 16 * 1024 * 1024
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def needed_bytes(tarball_bytes: int) -> int:
    """What a release may take while it is installed."""
    return TIMES_TARBALL * tarball_bytes + SPARE_BYTES


def check_room(folder: Path, tarball_bytes: int, release: str) -> None:
    """DiskFull when the release can't fit."""
    needed = needed_bytes(tarball_bytes)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise disk_full(folder, f"release {release}", f"it needs {needed} bytes, {free} are free")


@contextmanager
def telling_disk_full(folder: Path, release: str) -> Iterator[None]:
    """A write that finds no room becomes DiskFull, with what is free now."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(folder).free
        why = f"it filled up midway, {free} bytes are free"
        raise disk_full(folder, f"release {release}", why) from error


def disk_full(folder: Path, what: str, why: str) -> DiskFull:
    return DiskFull(
        f"no room for {what} below {folder}",
        why=why,
        next_step="free some space on the node, or prune old releases: salt <node> evrelease.prune",
    )

"""The spool: packs on this node's own disk, while the queue cannot take them. The files.

A folder of segments, each written by one process that holds its lock (flock) for as long as it
appends, and never changed after. Whoever gets the lock of a segment empties it into the queue and
deletes it: its writer's later self, the next generation, or the one that runs beside it. Names sort
by when they were begun.

A segment is records back to back: magic `EVSP`, u32 length of the body, u32 CRC-32 of all that
follows, 16 bytes of pack id, the body; little endian. A crash can cut its tail short: that record
was never acknowledged. Bytes in the middle that are no record were damaged on the disk; they are
reported and passed over, since what comes after them was acknowledged.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self
from uuid import UUID

from eventstore.errors import EngineUnavailable, QueueFull

MAGIC = b"EVSP"
HEAD = struct.Struct("<4sII")
ID_BYTES = 16
SUFFIX = ".spool"
SEGMENT_BYTES_MAX = 16 << 20  # what a crash while it is emptied puts into the queue again
BODY_BYTES_MAX = 128 << 20  # a longer one is no length but damage

Packs = Sequence[tuple[UUID, bytes]]
log = logging.getLogger("eventstore.spool")


def record(pack_id: UUID, body: bytes) -> bytes:
    """A pack as it stands in a segment."""
    rest = pack_id.bytes + body
    return HEAD.pack(MAGIC, len(body), zlib.crc32(rest)) + rest


def records(data: bytes) -> Iterator[tuple[UUID, bytes]]:
    """The whole packs of a segment, in their order."""
    at = end = 0
    while at >= 0:
        found = _record_at(data, at)
        if found is None:
            at = data.find(MAGIC, at + 1)
            continue
        if at > end:
            log.error("%d bytes of the spool were damaged on the disk, and are lost", at - end)
        yield found
        at = end = at + HEAD.size + ID_BYTES + len(found[1])


def _record_at(data: bytes, at: int) -> tuple[UUID, bytes] | None:
    if len(data) < at + HEAD.size + ID_BYTES:
        return None
    magic, length, crc = HEAD.unpack_from(data, at)
    start = at + HEAD.size
    end = start + ID_BYTES + length
    if magic != MAGIC or length > BODY_BYTES_MAX or end > len(data):
        return None
    if zlib.crc32(memoryview(data)[start:end]) != crc:
        return None
    return UUID(bytes=data[start : start + ID_BYTES]), data[start + ID_BYTES : end]


class Segment:
    """One file, open and locked by this process until it is closed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def locked(cls, path: Path, *, new: bool = False) -> Self | None:
        """None when it is somebody else's, or gone. Raises OSError."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if new else 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had the lock before may have deleted it: the file, not its name, was locked.
            if os.fstat(descriptor).st_nlink:
                return cls(path, descriptor)
        except BlockingIOError:
            pass
        os.close(descriptor)
        return None

    def append(self, packs: Packs) -> int:
        """Durable when it returns, all or none; the segment's size. Raises OSError."""
        size = os.fstat(self._descriptor).st_size
        data = b"".join(record(pack_id, body) for pack_id, body in packs)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, memoryview(data)[written:], size + written)
            os.fdatasync(self._descriptor)
        except OSError:
            # After a failed sync nobody knows what is on the disk.
            os.ftruncate(self._descriptor, size)
            raise
        return size + len(data)

    def read(self) -> bytes:
        """All of it. Raises OSError."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            return file.read()

    def delete(self) -> None:
        """Deletes and closes it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Lets go of it: it is for whoever locks it next."""
        os.close(self._descriptor)


class Spool:
    """The folder of a node's segments, which its generations share. At most bytes_max, roughly: of
    processes that append at the same moment each may go over it by one commit."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._own: Segment | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineUnavailable(f"cannot make the spool {folder}: {error}") from error

    def append(self, packs: Packs) -> None:
        """Durable when it returns, all or none. Raises QueueFull, EngineUnavailable."""
        size = sum(HEAD.size + ID_BYTES + len(body) for _, body in packs)
        held = self.bytes()
        if held + size > self._bytes_max:
            raise QueueFull(f"the queue is unavailable, and the spool has {held} bytes")
        try:
            if self._own is None:
                self._own = self._new()
            if self._own.append(packs) >= SEGMENT_BYTES_MAX:
                self.hand_over()
        except OSError as error:
            self.hand_over()  # another file may work where this one does not
            raise EngineUnavailable(f"cannot write to the spool {self._folder}: {error}") from error

    def hand_over(self) -> None:
        """Ends the segment that is being appended to, so that it can be emptied."""
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def waiting(self) -> Iterator[Segment]:
        """Those that nobody holds, oldest first, locked; each is to be deleted or closed. Raises
        EngineUnavailable."""
        try:
            for path in self._paths():
                segment = Segment.locked(path)
                if segment is not None:
                    yield segment
        except OSError as error:
            raise EngineUnavailable(f"cannot read the spool {self._folder}: {error}") from error

    def bytes(self) -> int:
        """Of all segments, whoever writes them. Raises EngineUnavailable."""
        total = 0
        try:
            for path in self._paths():
                with contextlib.suppress(FileNotFoundError):  # emptied by another generation
                    total += path.stat().st_size
        except OSError as error:
            raise EngineUnavailable(f"cannot read the spool {self._folder}: {error}") from error
        return total

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.suffix == SUFFIX)

    def _new(self) -> Segment:
        segment = None
        while segment is None:  # ends: one that another process locks first, it deletes as empty
            name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
            segment = Segment.locked(self._folder / name, new=True)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return segment


def folder_of(setting: str, environment: Mapping[str, str]) -> Path | None:
    """Where the spool is; None: there is none."""
    if setting == "none":
        return None
    if setting:
        return Path(setting)
    state = environment.get("STATE_DIRECTORY")
    return Path(state) / "spool" if state else None

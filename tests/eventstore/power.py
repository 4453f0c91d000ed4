"""Power cuts: a file system of its own that loses, from one moment to the next, whatever was not
synced. Needs root and loop devices.

A killed process leaves what it wrote in the page cache, so kill -9 says nothing about durability.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN, which other file systems share.
GOING_DOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
WITHOUT_LOG_FLUSH = 2
IMAGE_BYTES = 512 << 20
UNMOUNT_S = 10.0


class Disk:
    """An ext4 in a file, mounted at `folder`."""

    def __init__(self, below: Path) -> None:
        self._image = below / "disk.img"
        self.folder = below / "disk"
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(self._image))

    def mount(self) -> None:
        """After a cut, too: the journal is replayed."""
        # A process that was started elsewhere in its own mount namespace may still have what was
        # cut off; the same file would be mounted as the same dead file system. So it is another.
        image = self._image.with_name(f"disk-{time.monotonic_ns()}.img")
        _run("cp", "--sparse=always", str(self._image), str(image))
        self._image.unlink()
        self._image = image
        _run("mount", "-o", "loop", str(image), str(self.folder))

    def cut(self) -> None:
        """Nothing more reaches the disk, not even what is on its way; every use is an I/O error."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, GOING_DOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Once nobody has a file of it open."""
        deadline = time.monotonic() + UNMOUNT_S
        while os.path.ismount(self.folder):
            try:
                _run("umount", str(self.folder))
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


@contextmanager
def mounted(below: Path) -> Iterator[Disk]:
    """Raises OSError where there can be none."""
    disk = Disk(below)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

"""One change of a node at a time: a lock that goes with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artifacts.node_errors import NodeBusy

POLL_S = 0.05


@contextmanager
def node_lock(path: Path, function: str, wait_s: float) -> Iterator[None]:
    """Hold the node's lock. NodeBusy, naming the holder, when it isn't free within `wait_s`.

    The file lives where only the node's owner can open it: a service that could open it could
    hold the lock for ever.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor, time.monotonic() + wait_s, wait_s)
        os.ftruncate(descriptor, 0)
        holder = {"pid": os.getpid(), "function": function}
        with suppress(OSError):  # a full disk must not keep anyone from a rollback or a prune
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, deadline: float, wait_s: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise NodeBusy(
                    f"the node is busy with {_holder(descriptor)}",
                    why=f"it didn't end within {wait_s:g} s",
                    next_step="wait for it, then ask again",
                ) from error
            time.sleep(POLL_S)
        else:
            return


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"{holder['function']} (pid {holder['pid']})"
    except (ValueError, KeyError, TypeError):
        return "another change"

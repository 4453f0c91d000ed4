"""NOTIFY_SOCKET: how a generation says READY=1."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred
MESSAGE_BYTES_MAX = 4096


class NotifySocket:
    """One generation's own socket. Only its main process is heard, as under systemd: the kernel
    says who sent a message, not the message."""

    def __init__(
        self, path: Path, is_main: Callable[[int], bool], on_ready: Callable[[], None]
    ) -> None:
        self.path = path
        self._is_main = is_main
        self._on_ready = on_ready
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        path.chmod(0o600)

    def listen(self) -> None:
        """Once it is known which process is the main one: what it has said by then was kept."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _readable(self) -> None:
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * 16)
        with contextlib.suppress(BlockingIOError):
            message, control, _, _ = self._socket.recvmsg(MESSAGE_BYTES_MAX, room)
            sender = _sender(control)
            if sender is not None and self._is_main(sender) and b"READY=1" in message.split(b"\n"):
                self._on_ready()


def _sender(control: list[tuple[int, int, bytes]]) -> int | None:
    """The sending process's pid. Descriptors that came along are closed."""
    pid: int | None = None
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
        elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for (descriptor,) in struct.iter_unpack("i", data[: len(data) // 4 * 4]):
                os.close(descriptor)
    return pid

"""Ask one generation, and no other, how it is: over its own admin socket."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_BYTES_MAX = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `status` 0: there was none, and `body` says why."""

    status: int
    body: bytes

    def text(self) -> str:
        """The start of the body as one printable line."""
        line = " ".join(self.body[:300].decode("utf-8", "replace").split())
        return "".join(sign if sign.isprintable() else "?" for sign in line)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; {} when it is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def ask(admin_socket: Path, path: str, timeout_s: float) -> Answer:
    """GET a path over a unix socket. Never raises: no answer is an answer too.

    HTTP/1.0, so that the end of the connection is the end of the body: no chunks to decode.
    """
    deadline = time.monotonic() + timeout_s
    request = f"GET {path} HTTP/1.0\r\nHost: admin\r\nConnection: close\r\n\r\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(max(timeout_s, 0.001))
            connection.connect(str(admin_socket))
            connection.sendall(request.encode())
            return _parse(_read(connection, deadline))
    except OSError as error:
        return Answer(0, f"{admin_socket.name}: {error.strerror or error}".encode())


def _read(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < ANSWER_BYTES_MAX:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left_s)
        chunk = connection.recv(65536)
        if not chunk:
            break
        received += chunk
    return bytes(received)


def _parse(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Answer(0, b"not an HTTP answer: " + received[:100])
    return Answer(int(words[1]), body)

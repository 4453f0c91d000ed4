"""Asking a generation how it is: bounded, whatever answers."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts.health import ANSWER_BYTES_MAX, Answer, ask

Behave = Callable[[socket.socket], None]
Serve = Callable[[Behave], Path]


@pytest.fixture
def serve() -> Iterator[Serve]:
    folder = Path(tempfile.mkdtemp(prefix="evh-"))
    listener = socket.socket(socket.AF_UNIX)
    over = threading.Event()

    def start(behave: Behave) -> Path:
        listener.bind(str(folder / "s"))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    behave(connection)
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        return folder / "s"

    yield start
    over.set()
    listener.close()
    shutil.rmtree(folder)


def test_an_answer(serve: Serve) -> None:
    asked = []

    def behave(connection: socket.socket) -> None:
        asked.append(connection.recv(1000))
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + b'{"release": "r"}')

    answer = ask(serve(behave), "/version", 5)
    assert (answer.status, answer.json()) == (200, {"release": "r"})
    assert asked[0].startswith(b"GET /version HTTP/1.0\r\n")


def test_no_socket_is_an_answer_too(tmp_path: Path) -> None:
    answer = ask(tmp_path / "none.sock", "/readyz", 1)
    assert (answer.status, answer.text()) == (0, "none.sock: No such file or directory")


def test_too_long_a_path_is_an_answer_too(tmp_path: Path) -> None:
    assert ask(tmp_path / ("x" * 200), "/readyz", 1).status == 0


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"]
)
def test_what_is_no_http(serve: Serve, said: bytes) -> None:
    assert ask(serve(lambda connection: connection.sendall(said)), "/", 5).status == 0


def test_silence_and_trickles_end_at_the_deadline(serve: Serve) -> None:
    def trickle(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"H")
            time.sleep(0.05)

    began = time.monotonic()
    assert ask(serve(trickle), "/", 0.3).status == 0
    assert time.monotonic() - began < 30


def test_an_endless_body_is_cut(serve: Serve) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    answer = ask(serve(flood), "/", 10)
    assert answer.status == 200
    assert len(answer.body) <= ANSWER_BYTES_MAX + 65536


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_an_empty_one(body: bytes) -> None:
    assert Answer(200, body).json() == {}


def test_text_is_one_printable_line() -> None:
    assert Answer(503, b"a\n\x1b[31mb").text() == "a ?[31mb"

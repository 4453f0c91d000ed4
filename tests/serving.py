"""A lab's local server for tests: a process on a free port of the loopback, stopped by its own
id."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.lab.engines.servers import Server
from cli.lab.errors import LabNotPossible

HOST = "127.0.0.1"
START_S = 90.0  # a virtual machine of Java, on a busy machine
STOP_S = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(make: Callable[..., Server], home: Path) -> Iterator[str]:
    """One of cli.lab.engines.servers, with nothing in it; its endpoint. Skips where it can't
    start."""
    try:
        server = make(HOST, free_port(), home, durable=False)
    except LabNotPossible as error:
        pytest.skip(f"not run: {error}")
    log = home / "log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **server.environment}
    with log.open("wb") as out:
        process = subprocess.Popen(
            server.argv, env=environment, cwd=home, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            _wait(server, process, log)
            yield f"http://{HOST}:{server.port}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, server.port), 1):
            return
        time.sleep(0.05)
    pytest.skip(f"not run: {server.name} didn't start: {log.read_text()[-300:]}")

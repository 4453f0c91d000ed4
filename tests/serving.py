"""A server for tests: a process on a free port of the loopback, stopped by its own id."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

STOP_S = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    name: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    port: int,
    log: Path,
    start_s: float,
) -> Iterator[str]:
    """A server that takes connections; its endpoint. Skips where it can't start."""
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                command, env=environment, cwd=log.parent, stdout=out, stderr=subprocess.STDOUT
            )
        except OSError as error:
            pytest.skip(f"not run: {name} can't be started: {error}")
        try:
            _wait(name, process, port, log, start_s)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)


def _wait(
    name: str, process: subprocess.Popen[bytes], port: int, log: Path, start_s: float
) -> None:
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.skip(f"not run: {name} didn't start: {log.read_text()[-300:]}")

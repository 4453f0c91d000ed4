"""Real processes for the demo's tests: collectors, and the load client itself."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 20.0
STOP_S = 20.0
LISTENING = re.compile(rb"listening on (http://\S+)\n")

Load = Callable[..., subprocess.CompletedProcess[bytes]]


class Serving:
    """A process that listens: its address, and the process."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        """As a power cut would end it, for the process."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(STOP_S)


@contextmanager
def serving(argv: list[str], data: Path) -> Iterator[Serving]:
    """Runs a program that says `listening on URL` on its stderr."""
    settings = data.parent / f"{data.name}.yaml"
    settings.write_text(f"data: file://{data}\nlisten_port: 0\n")
    environment = {**os.environ, "EV_SETTINGS": str(settings), "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, *argv],
        cwd=REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield Serving(process, _listening(process))
    finally:
        process.kill()
        process.wait(STOP_S)
        if process.stderr is not None:
            process.stderr.close()


def _listening(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    deadline = time.monotonic() + START_S
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while not (found := LISTENING.search(said)):
            assert selector.select(max(0.0, deadline - time.monotonic())), said.decode()
            chunk = os.read(process.stderr.fileno(), 65536)
            assert chunk, said.decode()
            said += chunk
    return found[1].decode()


@pytest.fixture(scope="session")
def collector() -> Callable[[Path], object]:
    """collector(folder): a context with a real collector over that folder's engines."""
    return lambda data: serving(["-m", "eventstore", "collector"], data)


@pytest.fixture(scope="session")
def program() -> Callable[[Path, Path], object]:
    """program(file, folder): the same for a collector of the test's own."""
    return lambda file, data: serving([str(file)], data)


@pytest.fixture(scope="session")
def load() -> Load:
    """load(url, out, requests=…): runs the load client to its end."""

    def run(url: str, out: Path, *, requests: int = 400) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "demo.load", "--targets", url, "--out", str(out)]
        pace = ["--rate", "800", "--keepalive", "6", "--one-shot", "2", "--requests", str(requests)]
        return subprocess.run(
            [*command, *pace], cwd=REPOSITORY, timeout=60, check=False, capture_output=True
        )

    return run

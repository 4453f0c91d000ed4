"""The servers that speak AWS's protocols, on the loopback, for as long as something is counted."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.processes import until
from cli.lab.engines.start import MAKERS, REGION

HOST = "127.0.0.1"
START_S_MAX = 120.0
STOP_S = 10.0


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """scheme → what stands behind a name of it in a URL."""
    with ExitStack() as stack:
        yield {scheme: stack.enter_context(_one(scheme)) for scheme in MAKERS}


@contextmanager
def _one(scheme: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as home:
        server = MAKERS[scheme](HOST, _free_port(), Path(home), durable=False)
        process = subprocess.Popen(
            server.argv,
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": home, **server.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _listens(server.port), START_S_MAX)
            yield f"?region={REGION}&endpoint=http://{HOST}:{server.port}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0

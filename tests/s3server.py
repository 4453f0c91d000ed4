"""A real S3-compatible server for tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.server_venv import installed
from tests.serving import free_port, serving

START_S = 20.0


@contextlib.contextmanager
def running(log: Path) -> Iterator[str]:
    """A server with nothing in it; its endpoint. Skips where it can't start."""
    server = installed("s3server") / "bin/ministack"
    port = free_port()
    settings = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "TMPDIR": str(log.parent)}
    settings |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with serving("the S3 server", (server,), settings, port=port, log=log, start_s=START_S) as url:
        yield url

"""A real S3-compatible server for tests, in a virtual environment of its own."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import free_port, serving

REPOSITORY = Path(__file__).parent.parent
LOCK = REPOSITORY / "requirements/s3server.lock"
INSTALL_S = 100.0
START_S = 20.0


def environment() -> Path:
    """The server's virtual environment; made once for each lock. Skips where that can't be."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    home = REPOSITORY / "build/cache/s3server"
    ready = home / f"ready-{digest}"
    home.mkdir(parents=True, exist_ok=True)
    with home.with_name("s3server.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(home)
            _install(home)
            ready.touch()
    return home


def _install(home: Path) -> None:
    pip = (home / "bin/pip", "install", "-q", "--disable-pip-version-check")
    try:
        for command in (
            (sys.executable, "-m", "venv", home),
            (*pip, "--require-hashes", "--only-binary", ":all:", "-r", LOCK),
        ):
            subprocess.run(command, capture_output=True, timeout=INSTALL_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"not run: the S3 server can't be installed: {error}")


@contextlib.contextmanager
def running(log: Path) -> Iterator[str]:
    """A server with nothing in it; its endpoint. Skips where it can't start."""
    server = environment() / "bin/ministack"
    port = free_port()
    settings = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "TMPDIR": str(log.parent)}
    settings |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with serving("the S3 server", (server,), settings, port=port, log=log, start_s=START_S) as url:
        yield url

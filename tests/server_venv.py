"""A test server's own virtual environment, by its lock: its dependencies aren't ours."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
INSTALL_S = 200.0


def installed(name: str) -> Path:
    """By requirements/<name>.lock; made once for each lock. Skips where that can't be."""
    lock = REPOSITORY / f"requirements/{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    home = REPOSITORY / "build/cache" / name
    ready = home / f"ready-{digest}"
    home.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{name}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(home)
            _install(name, home, lock)
            ready.touch()
    return home


def _install(name: str, home: Path, lock: Path) -> None:
    pip = (home / "bin/pip", "install", "-q", "--disable-pip-version-check")
    try:
        for command in (
            (sys.executable, "-m", "venv", home),
            (*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock),
        ):
            subprocess.run(command, capture_output=True, timeout=INSTALL_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"not run: {name} can't be installed: {error}")

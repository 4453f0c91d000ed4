"""The wheels of an app's lock: fetched or built once, kept by the lock's digest."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from artifacts.errors import EvctlError

PIP_S = 900.0
COMPLETE = ".complete"


class WheelsFailed(EvctlError):
    code = "E2109"
    exit_code = 1
    explanation = (
        "The dependencies that the app's lock names could not be had: no network, a hash that "
        "doesn't fit, or a package that doesn't build."
    )


def wheels_of(lock: Path, cache: Path, python: str) -> dict[str, Path]:
    """File name → wheel, for every package of the lock. Needs the network the first time only.

    python: whose wheels, as in evctl.yaml (`3.11`); the platform is this machine's.

    WheelsFailed, with pip's own last lines.
    """
    digest = hashlib.sha256(f"{python}\n".encode() + lock.read_bytes()).hexdigest()
    folder = cache / digest[:16]
    if not (folder / COMPLETE).exists():
        _collect(lock, folder, python)
    return {path.name: path for path in sorted(folder.glob("*.whl"))}


def _collect(lock: Path, folder: Path, python: str) -> None:
    aside = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
    aside.mkdir(parents=True)
    command = (
        *(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"),
        *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--python-version", python, "-r", str(lock), "-d", str(aside)),
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()][-3:]
            raise WheelsFailed(
                f"the wheels of {lock.name} could not be had",
                why=" · ".join(said),
                next_step="check the network and the lock; every package needs a wheel",
            )
        (aside / COMPLETE).touch()
        _settle(aside, folder)
    except subprocess.TimeoutExpired as error:
        raise WheelsFailed(
            f"the wheels of {lock.name} could not be had",
            why=f"pip took longer than {PIP_S:g} s",
            next_step="check the network, and run it again",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _settle(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)
    except OSError:
        if not (folder / COMPLETE).exists():  # else another run was quicker, with the same
            raise

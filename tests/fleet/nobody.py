"""Runs a command as a user without rights, for whom only the way to some files is open.

A home is often closed to others, and a test's folder always is. In a mount namespace of that one
command they have a layer on which they may be passed; nothing of it is seen, or left, outside.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")


def as_nobody(
    command: Sequence[str], *files: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """files: what the command must be able to reach. Skips where that can't be arranged."""
    closed = closed_folders(files)
    with tempfile.TemporaryDirectory() as layers:
        probe = _run(in_namespace(("true",), closed, layers), env)
        if probe.returncode:
            pytest.skip(f"not run: no command as another user here: {probe.stderr.strip()}")
        return _run(in_namespace(command, closed, layers), env)


def closed_folders(files: Sequence[Path]) -> list[Path]:
    """The folders above these files that others may not pass, the outermost first."""
    above = {folder for file in files for folder in file.resolve().parents}
    return sorted(folder for folder in above if not folder.stat().st_mode & 0o001)


def in_namespace(command: Sequence[str], closed: Sequence[Path], layers: str) -> tuple[str, ...]:
    steps: list[tuple[str, ...]] = [("mount", "-t", "tmpfs", "layers", layers), ("cd", layers)]
    outermost = [folder for folder in closed if not set(folder.parents) & set(closed)]
    for number, folder in enumerate(outermost):
        layer = f"lowerdir={folder},upperdir=upper{number},workdir=work{number}"
        steps.append(("mkdir", f"upper{number}", f"work{number}"))
        steps.append(("mount", "-t", "overlay", "layer", "-o", layer, str(folder)))
    steps += [("chmod", "o+x", str(folder)) for folder in closed]
    steps += [("cd", "/"), ("exec", *NOBODY, *command)]
    return ("unshare", "--mount", "sh", "-c", " && ".join(map(shlex.join, steps)))


def _run(command: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

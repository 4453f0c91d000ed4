"""Starts a process that belongs to a lab, and outlives the command that started it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.lab.spec import Lab


def launch(
    lab: Lab,
    argv: Sequence[str],
    *,
    log: Path,
    network: str | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Start argv as a session of its own; its pid.

    What it prints goes to the log, below the lab's root: this is also what `traces` finds it by,
    since there are no pid files.
    """
    if not log.is_relative_to(lab.root):
        raise ValueError(f"{log} is outside the lab")
    log.parent.mkdir(parents=True, exist_ok=True)
    inside = ("ip", "netns", "exec", network) if network else ()
    base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as out:
        process = subprocess.Popen(
            (*inside, *argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**base, **(env or {})},
            cwd="/",
            start_new_session=True,
        )
    return process.pid

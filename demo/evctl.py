"""Runs `evctl` as a user would, with its progress on the terminal, and reads what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_S = 900.0


class UnexpectedExit(Exception):
    """`evctl` ended otherwise than the story expects; its own words are on the terminal."""


@dataclass(frozen=True)
class Done:
    """A command that has ended. lines: the JSON objects that it printed."""

    exit_code: int
    seconds: float
    lines: list[dict[str, Any]]

    @property
    def result(self) -> dict[str, Any]:
        """The last object that isn't an error."""
        return next(line for line in reversed(self.lines) if "error" not in line)


@dataclass(frozen=True)
class Evctl:
    """fleet: what EVCTL_FLEET is set to; folder: where commands are run."""

    fleet: Path
    folder: Path

    def __call__(self, *arguments: str, expect: int | None = 0) -> Done:
        """Run one command with --json. UnexpectedExit when its exit code isn't `expect`; None: it
        may be any."""
        began = time.monotonic()
        done = subprocess.run(
            self.command(*arguments, "--json"),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if expect not in (None, done.returncode):
            raise UnexpectedExit(
                f"`evctl {' '.join(arguments)}` ended with {done.returncode}, not {expect}"
            )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return Done(done.returncode, time.monotonic() - began, lines)

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (str(Path(sys.executable).with_name("evctl")), *arguments)

    def environment(self) -> dict[str, str]:
        return os.environ | {"EVCTL_FLEET": str(self.fleet)}

    def on_node(self, lab: str, node: str, *command: str) -> str:
        """What a command on a node prints."""
        done = subprocess.run(
            self.command("lab", "shell", "--name", lab, node, "--", *command),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

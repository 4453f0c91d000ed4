"""A driver at work beside us: its lines are read as they come, and it can be killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from demo.evctl import Evctl

LIMIT_S = 300.0
# A driver like any other, but for how long its lease outlives it: a table in which each of many
# killed drivers is waited for a minute would take hours.
SHORT_LEASE_S = 4.0
SHORT_LEASE = f"""\
import cli.rollout.drive as drive
drive.LOCK_S, drive.RENEW_S = {SHORT_LEASE_S}, {SHORT_LEASE_S / 4}
from cli.main import main
main()
"""

Line = dict[str, Any]


class EndedEarly(Exception):
    """The driver has ended before what was waited for."""


class Running:
    """Lives until it is killed or awaited; after LIMIT_S it is killed whatever it does."""

    def __init__(self, evctl: Evctl, *arguments: str, short_lease: bool = False) -> None:
        command = (
            (sys.executable, "-c", SHORT_LEASE, *arguments)
            if short_lease
            else evctl.command(*arguments)
        )
        self._process = subprocess.Popen(
            (*command, "--json"),
            cwd=evctl.folder,
            env=evctl.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._limit = threading.Timer(LIMIT_S, self._process.kill)
        self._limit.start()
        self.lines: list[Line] = []

    def until(self, wanted: Callable[[Line], bool]) -> Line:
        """The next line that is wanted. EndedEarly."""
        for line in self.each():
            if wanted(line):
                return line
        raise EndedEarly(f"it ended with {self.end()}: {self.lines[-1:]}")

    def until_event(self, event: str, *nodes: str) -> Line:
        """The next line about this, and about these nodes if any are named."""
        return self.until(
            lambda line: line.get("event") == event and set(nodes) <= set(line.get("nodes", ()))
        )

    def kill(self) -> None:
        """As a crash would end it: it gets to say nothing."""
        self._process.kill()
        self.end()

    def end(self) -> int:
        """Its exit code, once it has ended; all its lines are in `lines`."""
        for _ in self.each():
            pass
        code = self._process.wait()
        self._limit.cancel()
        if self._process.stdout:
            self._process.stdout.close()
        return code

    @property
    def rollout(self) -> str:
        """Its id; known from the first line on."""
        return str(next(line["rollout"] for line in self.lines if "rollout" in line))

    def each(self) -> Iterator[Line]:
        """The lines that haven't been read yet, as they come."""
        if self._process.stdout is None or self._process.stdout.closed:
            return
        for text in self._process.stdout:
            if text.endswith("\n"):  # the last one of a killed driver may be torn
                self.lines.append(json.loads(text))
                yield self.lines[-1]

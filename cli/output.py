"""How commands speak: data on stdout, progress on stderr, colour only on a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artifacts.disk import NO_ROOM

if TYPE_CHECKING:
    from cli.fleet import Fleet

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option(
    "--yes", is_flag=True, help="Don't ask; needed without a terminal, and for `all`."
)
reason_option = click.option("--reason", default="", help="Why; kept with the rollout.")

GOOD, BAD, UNKNOWN, NOTE = "✔", "✗", "?", "●"
_unwritten: list[OSError] = []
_COLORS = {GOOD: "green", BAD: "red", UNKNOWN: "yellow", NOTE: "cyan"}


def have_streams() -> None:
    """Where one was closed (`<&-`), nothing is read and nothing shown; what a terminal's encoding
    hasn't, as a glyph in Latin-1, is written as its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - it stays
        elif name == "stdout":
            stream.reconfigure(errors="backslashreplace")


def echo(text: str, *, err: bool = False) -> None:
    """Print a line. When its reader or its terminal has gone, or the disk that it is written to is
    full, the work goes on without one."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        if not err and error.errno in NO_ROOM:
            _unwritten.append(error)
        _lose(sys.stderr if err else sys.stdout)


def unwritten() -> OSError | None:
    """Why the data is not whole that was to be written into a file; None when it is."""
    return _unwritten[0] if _unwritten else None


def lose_stdout() -> None:
    """Whoever read it has gone: what is still written to it goes nowhere."""
    _lose(sys.stdout)


def finish_stdout() -> None:
    """What it can't take now goes nowhere: else Python tries again, says so, and exits with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        _lose(sys.stdout)


def _lose(stream: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@dataclass(frozen=True)
class Output:
    """What the command line's own options say. color None: by what stderr and stdout are."""

    fleet: Path | None
    color: bool | None
    quiet: bool

    def load_fleet(self) -> Fleet:
        from cli.fleet import Fleet, find_fleet

        return Fleet.load(find_fleet(self.fleet, Path.cwd()))

    def say(self, glyph: str, text: str, at: float | None = None) -> None:
        """One line of progress: a time, a glyph and words. at: Unix seconds; now, unless said."""
        if not self.quiet:
            mark = click.style(glyph, fg=_COLORS.get(glyph)) if self._colored(sys.stderr) else glyph
            clock = time.strftime("%H:%M:%S", time.localtime(at))
            echo(f"{clock} {mark} {text}", err=True)

    def mark(self, glyph: str) -> str:
        """A glyph for stdout."""
        return click.style(glyph, fg=_COLORS.get(glyph)) if self._colored(sys.stdout) else glyph

    def data(self, value: Any) -> None:
        echo(json.dumps(value))

    def confirm(self, question: str, yes: bool, *, whole_fleet: bool = False) -> None:
        """Go on, or don't: exit code 2 when there is nobody to ask. A key pressed by habit isn't
        enough for a whole fleet."""
        if yes:
            return
        if whole_fleet:
            raise click.UsageError(f"{question} That is the whole fleet: add --yes.")
        if not sys.stdin.isatty():
            raise click.UsageError(f"{question} Nobody can be asked here: add --yes.")
        click.confirm(question, abort=True, err=True)

    def _colored(self, stream: Any) -> bool:
        if self.color is not None:
            return self.color
        return "NO_COLOR" not in os.environ and bool(stream.isatty())

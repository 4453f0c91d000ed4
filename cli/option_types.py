"""What options take: a duration (`90`, `90s`, `5m`, `1.5h`), a floor (`collector=3`), a
rollout (`R42`), a command; and where they may stand."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import Any

import click
from click.core import ParameterSource

_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h)?", re.ASCII)
_ROLLOUT = re.compile(r"[Rr](\d{1,6})", re.ASCII)
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}


def refuse_before_further(context: click.Context) -> None:
    """UsageError for an option of a command in front of one below it, which would not see it:
    `rollout --plan abort R000042` must not abort."""
    further = context.invoked_subcommand
    for parameter in context.command.params if further else ():
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} isn't for {further!r} where it stands.")


class Duration(click.ParamType[float]):
    """Seconds, at most `most_s`."""

    name = "duration"

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        read = _DURATION.fullmatch(value)
        if not read:
            self.fail(f"{value!r} is no duration, such as 90s, 5m or 1h", param, ctx)
        seconds = float(read[1]) * _SECONDS[read[2]]
        if seconds > self._most_s:
            self.fail(f"{value} is longer than {self._most_s:.0f} s", param, ctx)
        return seconds


class Floor(click.ParamType[tuple[str, int]]):
    """ROLE=N."""

    name = "floor"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        role, _, count = value.partition("=")
        if not role or not count.isascii() or not count.isdigit() or len(count) > 6:
            self.fail(f"{value!r} must look like collector=3", param, ctx)
        return role, int(count)


def rollout_id(given: str) -> str:
    """R42 is R000042. What is none is an unknown rollout, and told as such."""
    read = _ROLLOUT.fullmatch(given)
    return f"R{int(read[1]):06d}" if read else given


class Words(click.ParamType[tuple[str, ...]]):
    """A command, cut into words as a shell does; no shell runs it."""

    name = "command"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not words:
            self.fail("it is empty", param, ctx)
        if shutil.which(words[0]) is None:  # found out after a wave, it would cost a rollback
            self.fail(f"there is no command {words[0]} here", param, ctx)
        return words

"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from artifacts.errors import EvctlError

State = Literal["fine", "doubtful", "wrong"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. mend: the command or the change that puts it right.
    exit_code: what the whole ends with, if this is the first thing that is wrong."""

    name: str
    state: State
    says: str
    mend: str = ""
    exit_code: int = 0


def fine(name: str, says: str) -> Check:
    return Check(name, "fine", says)


def doubtful(name: str, says: str, mend: str) -> Check:
    """Worth knowing; nothing depends on it today."""
    return Check(name, "doubtful", says, mend)


def wrong(name: str, says: str, mend: str, exit_code: int = 2) -> Check:
    return Check(name, "wrong", says, mend, exit_code)


def of_error(name: str, error: EvctlError) -> Check:
    says = f"{error.code} {error.what}" + (f": {error.why}" if error.why else "")
    return wrong(name, says, error.next_step or f"evctl explain {error.code}", error.exit_code)

"""One change of a fleet. Its digest covers all that it says, and the digest of the one before."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cli.moments import is_moment

Event = Literal["release", "channel", "rollout", "rollback", "mend", "lock", "key"]


@dataclass(frozen=True)
class Who:
    """user: whoever gave the command, also behind sudo. host: where it ran. came_from: the address
    of an ssh session, else `terminal`, or `script`."""

    user: str
    host: str
    came_from: str


@dataclass(frozen=True)
class Entry:
    """number: from 1, without gaps. at: Unix seconds. what: facts of the event, JSON. before: the
    digest of the entry before it, empty for the first."""

    number: int
    at: float
    event: str
    what: Mapping[str, Any]
    who: Who
    why: str
    before: str

    def digest(self) -> str:
        said = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True)
class Head:
    """How far a log reaches: the number and the digest of its last entry."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest[:16]}"


def encode(entry: Entry) -> bytes:
    return json.dumps(asdict(entry) | {"digest": entry.digest()}, indent=1, sort_keys=True).encode()


def decode(body: bytes) -> tuple[Entry, str]:
    """An entry, and the digest that it says it has. ValueError when it is none."""
    try:
        raw = json.loads(body)
        stated = str(raw.pop("digest"))
        entry = Entry(**raw | {"who": Who(**raw["who"])})
        if not _is_one(entry):
            raise TypeError("a number, a time, facts and texts are needed")
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} {error}") from error
    return entry, stated


def _is_one(entry: Entry) -> bool:
    texts = (entry.event, entry.why, entry.before, *vars(entry.who).values())
    return (
        isinstance(entry.number, int)
        and is_moment(entry.at)
        and isinstance(entry.what, dict)
        and all(isinstance(text, str) for text in texts)
    )


def who_is_here(environment: Mapping[str, str]) -> Who:
    session = environment.get("SSH_CONNECTION", "").split()
    came_from = session[0] if session else "terminal" if sys.stdin.isatty() else "script"
    return Who(user=user_of(environment), host=socket.gethostname(), came_from=came_from)


def user_of(environment: Mapping[str, str]) -> str:
    """Who gave the command, also behind sudo; a number where the system knows no name."""
    with suppress(KeyError):
        return environment.get("SUDO_USER") or getpass.getuser()
    return str(os.getuid())

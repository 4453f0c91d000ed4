"""One of several autoscalers decides: the one that writes the next term.

A term is a small object that is written once, `terms/00000042.json`: who decides, and what was
decided. Whoever wrote the last one may write the next. Anybody else may when it has stayed the last
for lease_s by their own clock, so clocks need not agree. Of two that try, the store lets one: a
decision that could not be written was none.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventstore.errors import EngineUnavailable
from eventstore.ports import Objects

PREFIX = "term-"
KEPT = 3


@dataclass(frozen=True)
class Term:
    """number 0: there was none yet. owner "": its last one has let go."""

    number: int
    owner: str
    decided: dict[str, Any]


class Terms:
    """owner: unlike that of any other process. clock: seconds that only grow."""

    def __init__(
        self, objects: Objects, owner: str, lease_s: float, clock: Callable[[], float]
    ) -> None:
        self._objects = objects
        self._owner = owner
        self._lease_s = lease_s
        self._clock = clock
        self._seen = (-1, 0.0)  # the last term's number, and since when it is that

    def last(self) -> Term:
        """Raises EngineUnavailable."""
        keys = self._objects.keys(PREFIX)
        body = self._objects.get(keys[-1]) if keys else None
        term = Term(0, "", {}) if body is None else _read(keys[-1], body)
        if self._seen[0] != term.number:
            self._seen = (term.number, self._clock())
        return term

    def mine(self, term: Term) -> bool:
        """Whether the next one is this process's to write."""
        stale = self._clock() - self._seen[1] >= self._lease_s
        return term.owner in ("", self._owner) or stale

    def write(self, after: Term, decided: dict[str, Any]) -> bool:
        """False: somebody else has, and decides. Raises EngineUnavailable."""
        return self._write(after, self._owner, decided)

    def let_go(self) -> None:
        """The next one is anybody's at once. Raises EngineUnavailable."""
        term = self.last()
        if term.owner == self._owner:
            self._write(term, "", term.decided)

    def close(self) -> None:
        self._objects.close()

    def _write(self, after: Term, owner: str, decided: dict[str, Any]) -> bool:
        body = json.dumps({"owner": owner, "decided": decided}).encode()
        if not self._objects.put_once(_key(after.number + 1), body):
            return False
        for old in self._objects.keys(PREFIX)[:-KEPT]:
            self._objects.delete(old)
        return True


def _key(number: int) -> str:
    return f"{PREFIX}{number:010d}.json"


def _read(key: str, body: bytes) -> Term:
    try:
        document = json.loads(body)
        number = int(key.removeprefix(PREFIX).removesuffix(".json"))
        return Term(number, str(document["owner"]), dict(document["decided"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EngineUnavailable(f"{key} is no term of an autoscaler: {error!r}") from error

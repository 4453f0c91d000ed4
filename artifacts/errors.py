"""What can go wrong, said so that the reader knows what to do next.

Codes: E1xxx node and service · E2xxx release, registry, trust · E3xxx fleet and Salt ·
E4xxx rollout · E5xxx usage and configuration · E6xxx AWS. They never change their meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

EXIT_CODES = frozenset((*"123456789", "130"))  # of failures and stops, as text


class EvctlError(Exception):
    """what happened, why, and the next step; `code` is stable, `evctl explain` expands it."""

    code: ClassVar[str] = "E0001"
    exit_code: ClassVar[int] = 1
    explanation: ClassVar[str] = "A fault of evctl's own."

    def __init__(self, what: str, *, why: str = "", next_step: str = "", where: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next_step = next_step
        self.where = where

    def __str__(self) -> str:
        said = f"{self.code} {self.where + ': ' if self.where else ''}{self.what}"
        if self.why:
            said += f": {self.why}"
        return f"{said} → next: {self.next_step}" if self.next_step else said

    def to_json(self) -> dict[str, str]:
        return {
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "next": self.next_step,
            "where": self.where,
            "exit": str(self.exit_code),
        }

    @staticmethod
    def from_json(said: Mapping[str, str]) -> RemoteError:
        return RemoteError(said)


class RemoteError(EvctlError):
    """An error as another machine told it, under that machine's own code."""

    explanation = "An error that a node reported; see its own code."

    def __init__(self, said: Mapping[str, str]) -> None:
        super().__init__(
            str(said.get("what", "")),
            why=str(said.get("why", "")),
            next_step=str(said.get("next", "")),
            where=str(said.get("where", "")),
        )
        self.code = str(said.get("code", "E0001"))  # type: ignore[misc]
        exit_code = str(said.get("exit"))
        self.exit_code = int(exit_code) if exit_code in EXIT_CODES else 1  # type: ignore[misc]


def error_catalogue() -> dict[str, type[EvctlError]]:
    """Every kind of error of the modules imported so far, by code."""

    def kinds(parent: type[EvctlError]) -> Iterator[type[EvctlError]]:
        for kind in parent.__subclasses__():
            yield kind
            yield from kinds(kind)

    return {kind.code: kind for kind in kinds(EvctlError) if kind is not RemoteError}

"""The port of a kind of thing: how it is looked at, made, changed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cli.aws.account import Account
from cli.aws.change import Present, Properties, Resource


class Kind(Protocol):
    """Each raises what Account.call does, but Absent only where it is said."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None: ...

    def names(self, prefix: str) -> list[str]:
        """Of all that are there and begin so, this environment's or not."""

    def look(self, name: str) -> Present | None:
        """As it is; None: there is none."""

    def create(self, wanted: Resource) -> None:
        """It is complete, or can be completed by change(), whenever this is cut short."""

    def change(self, wanted: Resource, differs: Properties) -> None:
        """differs: those of wanted's properties that are not so yet. CannotBecome."""

    def holds(self, name: str) -> str:
        """What would be lost with it, in words; empty: nothing."""

    def delete(self, name: str) -> None:
        """With all that it holds. Absent when it has gone meanwhile."""

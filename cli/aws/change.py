"""What there should be beside what there is: a pure comparison."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cli.aws.errors import CannotBecome, NotOurs

Properties = Mapping[str, Any]
Action = Literal["create", "change", "keep", "extra"]
SHOWN_CHARS_MAX = 60
MARKS: Mapping[Action, str] = {"create": "+", "change": "~", "keep": "=", "extra": "?"}


@dataclass(frozen=True)
class Resource:
    """One thing that there should be. kind: queue, table, …; name: AWS's own, with app and env.
    fixed: properties that AWS never changes. at_least: those of which there may be more."""

    kind: str
    name: str
    properties: Properties
    fixed: frozenset[str] = frozenset()
    at_least: frozenset[str] = frozenset()

    def differs(self, present: Properties) -> dict[str, Any]:
        """Those of its properties that are not so."""
        return {
            key: value
            for key, value in self.properties.items()
            if key in present
            and not (present[key] >= value if key in self.at_least else present[key] == value)
        }


@dataclass(frozen=True)
class Present:
    """One thing that is there. owned: it bears this environment's tags. A property that the
    service says nothing of is missing: it can't be compared."""

    owned: bool
    properties: Properties


@dataclass(frozen=True)
class Change:
    """before: as it is, after: as it should be; each with what differs only. extra: it is this
    environment's, and no longer in the file."""

    kind: str
    name: str
    action: Action
    before: Properties = field(default_factory=dict)
    after: Properties = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "before": dict(self.before),
            "after": dict(self.after),
        }


def compare(wanted: Resource, present: Present | None) -> Change:
    """What has to be done for one thing. NotOurs, CannotBecome."""
    if present is None:
        return Change(wanted.kind, wanted.name, "create", after=wanted.properties)
    if not present.owned:
        raise NotOurs(
            f"there is a {wanted.kind} {wanted.name} already, and it isn't this environment's",
            why="it doesn't bear the tags evctl-app and evctl-env",
            next_step="call yours something else; or tag it so, if it is yours",
        )
    after = wanted.differs(present.properties)
    before = {key: present.properties[key] for key in after}
    for key in sorted(wanted.fixed & after.keys()):
        raise CannotBecome(
            f"the {key} of {wanted.kind} {wanted.name} can't be changed",
            why=f"it is {shown(before[key])}; the file says {shown(after[key])}",
            next_step="mend the file, or call it something else",
        )
    return Change(wanted.kind, wanted.name, "change" if after else "keep", before, after)


def shown(value: Any) -> str:
    """A property's value in a line of a plan; a long one by its digest."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > SHOWN_CHARS_MAX or "\n" in text:
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return text


def change_lines(change: Change) -> list[str]:
    """As a plan shows it."""
    head = f"  {MARKS[change.action]} {change.kind:8} {change.name}"
    if change.action == "extra":
        return [f"{head}  not in the file; apply leaves it, destroy deletes it"]
    if change.action == "create":
        said = " · ".join(f"{key} {shown(value)}" for key, value in change.after.items())
        return [head, f"             {said}"]
    return [head] + [
        f"             {key} {shown(change.before[key])} → {shown(after)}"
        for key, after in change.after.items()
    ]

"""All kinds of things of an environment together: what would change, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cli.aws import alarms, buckets, groups, queues, tables, templates
from cli.aws.account import Absent, Account
from cli.aws.change import Change, Resource, compare
from cli.aws.environment import Environment
from cli.aws.errors import AwsRefused, StillHolds
from cli.aws.kind import Kind

Told = Callable[[Change], None]

# In the order in which they are made; they go the other way round.
WANTED: dict[str, tuple[Callable[[Environment], list[Resource]], type[Kind]]] = {
    queues.KIND: (queues.wanted, queues.Queues),
    tables.KIND: (tables.wanted, tables.Tables),
    buckets.KIND: (buckets.wanted, buckets.Buckets),
    templates.KIND: (templates.wanted, templates.Templates),
    groups.KIND: (groups.wanted, groups.Groups),
    alarms.KIND: (alarms.wanted, alarms.Alarms),
}


@dataclass(frozen=True)
class Doomed:
    """Something that is to be deleted. holds: what would be lost with it, in words."""

    kind: str
    name: str
    holds: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "holds": self.holds}


class Plan:
    """What there is in AWS, beside what the file says, at one moment."""

    def __init__(self, env: Environment, account: Account) -> None:
        """Raises what Account.call does, NotOurs, CannotBecome."""
        self.env = env
        self.account_id = account.id(env.account)
        self._kinds = {kind: make(account, env.tags) for kind, (_, make) in WANTED.items()}
        self._wanted = [one for wanted, _ in WANTED.values() for one in wanted(env)]
        self.changes = [compare(one, self._kinds[one.kind].look(one.name)) for one in self._wanted]
        self.changes += self._extras()

    def pending(self) -> list[Change]:
        """What apply would do."""
        return [one for one in self.changes if one.action in ("create", "change")]

    def apply(self, tell: Told) -> None:
        """Each thing once, in order; cut short, the next apply goes on from there."""
        wanted = {(one.kind, one.name): one for one in self._wanted}
        for change in self.pending():
            kind, resource = self._kinds[change.kind], wanted[change.kind, change.name]
            try:
                if change.action == "create":
                    kind.create(resource)
                else:
                    kind.change(resource, change.after)
            except Absent as error:
                raise AwsRefused(
                    f"{change.kind} {change.name} names what isn't there",
                    why=str(error),
                    next_step="mend the file, or make that; then evctl aws apply goes on",
                ) from error
            tell(change)

    def doomed(self, with_data: Collection[str]) -> list[Doomed]:
        """All of this environment, what nobody may miss first. StillHolds, unless it is named."""
        there = [one for one in self.changes if one.action != "create"]
        order = list(WANTED)
        there.sort(key=lambda one: order.index(one.kind))
        there.reverse()
        found = [Doomed(one.kind, one.name, self._held(one)) for one in there]
        for one in found:
            if one.holds and one.name not in with_data:
                raise StillHolds(
                    f"{one.kind} {one.name} holds {one.holds}",
                    why="they would be lost",
                    next_step=f"evctl aws destroy --with-data {one.name}, if nobody needs them",
                )
        return found

    def destroy(self, doomed: list[Doomed], tell: Callable[[Doomed], None]) -> None:
        for one in doomed:
            with suppress(Absent):
                self._kinds[one.kind].delete(one.name)
            tell(one)

    def _held(self, one: Change) -> str:
        try:
            return self._kinds[one.kind].holds(one.name)
        except Absent:  # it has gone meanwhile
            return ""

    def _extras(self) -> list[Change]:
        """What bears the environment's tags and isn't in the file any more."""
        known = {(one.kind, one.name) for one in self._wanted}
        extras = []
        for kind, at_hand in self._kinds.items():
            for name in sorted(at_hand.names(self.env.prefix)):
                if (kind, name) in known:
                    continue
                present = at_hand.look(name)
                if present is not None and present.owned:
                    extras.append(Change(kind, name, "extra", before=present.properties))
        return extras

"""From the parts of an expression to nodes, and to words about them.

A node of which a part can't tell whether it names it is `unsure`: it may yet be left out, or named
anyway, by another part. Whoever is still unsure at the end makes the whole expression fail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from cli.numbers import number_of
from cli.ranges.errors import NotTold, RangeError, malformed, shortened, unknown
from cli.ranges.grammar import (
    Combined,
    Compound,
    Everything,
    Keyed,
    NodeSet,
    Part,
    Sample,
    parse,
)
from cli.ranges.sets import COMBINES

if TYPE_CHECKING:
    from cli.fleet import NodeInfo
    from cli.rollout.plan import Share

NAMED_MAX = 100_000
STATES = ("serving", "idle", "silent", "failed")
SHOWN_MAX = 3
_BRACKETS = re.compile(r"\[([^\]]*)")
_SPAN = re.compile(r"(\d+)-(\d+)")


class Answers(Protocol):
    """What only the nodes can say, or their master. All raise what Salt's client raises."""

    def states(self) -> Mapping[str, tuple[str, str | None]]:
        """Node → one of STATES, and the release that it serves."""

    def matches(self, compound: str) -> Mapping[str, bool | None]:
        """Node → whether it says that it matches; None: it says nothing."""

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Node → its groups, by the pillar that the master gave it last; a node that has never
        asked for one isn't in it."""


@dataclass(frozen=True)
class Meaning:
    """A part of an expression: in words, and its nodes."""

    part: Part
    says: str
    named: frozenset[str]
    unsure: frozenset[str] = frozenset()
    below: tuple[Meaning, ...] = ()

    def tells(self, node: str) -> bool | None:
        """Whether it names this node; None: not known."""
        return None if node in self.unsure else node in self.named


def meaning_of(
    expression: str, nodes: Mapping[str, NodeInfo], answers: Answers | None = None
) -> Meaning:
    """What an expression means here, part by part. RangeError when it can't be understood or names
    what isn't there. answers: None where nodes can't be asked."""
    return _Reader(expression, nodes, answers).read(parse(expression))


def nodes_in(
    expression: str, nodes: Mapping[str, NodeInfo], answers: Answers | None = None
) -> list[str]:
    """Ids of the nodes that an expression names, sorted. RangeError also when it names none.
    NotTold when it depends on nodes that don't answer."""
    found = meaning_of(expression, nodes, answers)
    _require_sure(found)
    if not found.named:
        raise RangeError(
            f"the range {shortened(expression)!r} names no node",
            why="its parts exclude each other, or no node is such",
            next_step="evctl range --why NODE says why a node isn't in it; evctl fleet shows all",
        )
    return sorted(found.named)


def fold(nodes: Collection[str]) -> str:
    """The shortest way to write these ids: collector-[01-02],processor-01."""
    from ClusterShell.NodeSet import RESOLVER_NOGROUP
    from ClusterShell.NodeSet import NodeSet as Folded

    return str(Folded.fromlist(list(nodes), resolver=RESOLVER_NOGROUP))


def counted(nodes: Collection[str]) -> str:
    """What is shown of a set of nodes before anything is done with it."""
    return f"{fold(nodes)} ({number_of(len(nodes), 'node')})"


def is_whole_fleet(expression: str, named: Collection[str], fleet: Collection[str]) -> bool:
    """Whether it names every node there is, and by `all` (or its like) rather than by name."""
    return len(named) == len(fleet) and _is_wholesale(parse(expression))


def _is_wholesale(part: Part) -> bool:
    match part:
        case Combined():
            return _is_wholesale(part.left) or _is_wholesale(part.right)
        case Sample():
            return _is_wholesale(part.of)
        case _:
            return isinstance(part, Everything | Compound)


class _Reader:
    def __init__(
        self, expression: str, nodes: Mapping[str, NodeInfo], answers: Answers | None
    ) -> None:
        self._expression = expression
        self._nodes = nodes
        self._answers = answers

    def read(self, part: Part) -> Meaning:
        match part:
            case Everything():
                return Meaning(part, "every node of the fleet", frozenset(self._nodes))
            case NodeSet():
                return Meaning(part, *self._node_set(part))
            case Keyed():
                return Meaning(part, *self._keyed(part))
            case Compound():
                return self._compound(part)
            case Sample():
                return self._sample(part)
            case Combined():
                return _combined(part, self.read(part.left), self.read(part.right))

    def _node_set(self, part: NodeSet) -> tuple[str, frozenset[str]]:
        from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSetException
        from ClusterShell.NodeSet import NodeSet as Expanded

        if (most := _named_at_most(part.text)) > NAMED_MAX:
            raise malformed(self._expression, part.at, f"it names {most} nodes")
        try:
            names = list(Expanded(part.text, resolver=RESOLVER_NOGROUP))
        except NodeSetException as error:
            why = " ".join(str(error).split())
            raise malformed(self._expression, part.at, why) from error
        patterns = [name for name in names if "*" in name or "?" in name]
        found = set(names) - set(patterns)
        for missing in sorted(found - self._nodes.keys()):
            raise unknown(missing, self._nodes, self._expression, part.at)
        for pattern in patterns:
            matching = {node for node in self._nodes if fnmatchcase(node, pattern)}
            if not matching:
                raise unknown(pattern, self._nodes, self._expression, part.at)
            found |= matching
        one = "the node of this name" if len(names) == 1 else "the nodes of these names"
        return "by pattern" if patterns else one, frozenset(found)

    def _keyed(self, part: Keyed) -> tuple[str, frozenset[str], frozenset[str]]:
        facts = self._facts(part)
        named = frozenset(node for node, values in facts.items() if _fits(part.value, values))
        unsure = frozenset(self._nodes.keys() - facts.keys())
        known = {value for values in facts.values() for value in values if value}
        if part.key == "state":
            known = set(STATES)
        if not unsure and not _fits(part.value, known):
            prefix = "@" if part.key == "@" else f"{part.key}:"
            written = {f"{prefix}{value}" for value in known}
            raise unknown(f"{prefix}{part.value}", written, self._expression, part.at)
        return f"{_SAYS[part.key]} {part.value}", named, unsure

    def _facts(self, part: Keyed) -> dict[str, tuple[str | None, ...]]:
        """Node → what a key may find there; only of those nodes of which that can be told."""
        nodes = self._nodes
        match part.key:
            case "role":
                return {id_: (node.role,) for id_, node in nodes.items()}
            case "az":
                return {id_: (node.az,) for id_, node in nodes.items()}
            case "channel":
                return {id_: (node.channel,) for id_, node in nodes.items()}
            case "@":
                return self._groups(part)
        states = self._asked(part).states()
        if part.key == "state":
            return {id_: (states.get(id_, ("silent", None))[0],) for id_ in nodes}
        return {
            id_: (release, release.rpartition("-")[0]) if release else ()
            for id_, (state, release) in states.items()
            if id_ in nodes and state in ("serving", "idle")
        }

    def _groups(self, part: Keyed) -> dict[str, tuple[str | None, ...]]:
        """A role's name is no group's: then no pillar needs to be looked at."""
        by_map = {id_: (*node.groups, node.role) for id_, node in self._nodes.items()}
        if part.value in {node.role for node in self._nodes.values()}:
            return by_map
        by_pillar = self._asked(part).groups()
        return {
            id_: (*known, *by_pillar.get(id_, ()))
            for id_, known in by_map.items()
            if id_ in by_pillar or _fits(part.value, known)
        }

    def _compound(self, part: Compound) -> Meaning:
        told = self._asked(part).matches(part.expression)
        return Meaning(
            part,
            "nodes that say they match, by Salt's compound matcher",
            frozenset(node for node in self._nodes if told.get(node)),
            frozenset(node for node in self._nodes if told.get(node) is None),
        )

    def _asked(self, part: Part) -> Answers:
        if self._answers is None:
            raise malformed(self._expression, part.at, "no node can be asked here")
        return self._answers

    def _sample(self, part: Sample) -> Meaning:
        whole = self.read(part.of)
        _require_sure(whole)
        chosen = sample(whole.named, part.share)
        says = f"{part.share.number}{'%' if part.share.percent else ''} of them, always the same"
        return Meaning(part, says, chosen, below=(whole,))


def sample(nodes: Collection[str], share: Share) -> frozenset[str]:
    """So many of these nodes. Who is in it is settled by the nodes' ids alone: a smaller sample is
    part of a larger one, and a node that joins displaces at most one other."""
    ranked = sorted(nodes, key=lambda node: (hashlib.sha256(node.encode()).digest(), node))
    return frozenset(ranked[: share.of(len(ranked))])


def _combined(part: Combined, left: Meaning, right: Meaning) -> Meaning:
    says, combine = COMBINES[part.operator]
    named, unsure = combine((left.named, left.unsure), (right.named, right.unsure))
    return Meaning(part, says, named, unsure, below=(left, right))


_SAYS = {
    "role": "nodes of role",
    "az": "nodes in zone",
    "channel": "nodes that follow channel",
    "@": "nodes of the group, or role,",
    "state": "nodes that are, as they answer now,",
    "ver": "nodes that say they serve",
}


def _require_sure(found: Meaning) -> None:
    if not found.unsure:
        return
    nodes = sorted(found.unsure)
    more = f" and {len(nodes) - SHOWN_MAX} more" if len(nodes) > SHOWN_MAX else ""
    raise NotTold(
        f"it can't be told whether {shortened(found.part.text)!r} names "
        f"{', '.join(nodes[:SHOWN_MAX])}{more}",
        why="they don't answer, or have no pillar yet, and nobody else can say",
        next_step="evctl status; or leave out who is silent: '…!state:silent'",
    )


def _fits(pattern: str, values: Collection[str | None]) -> bool:
    return any(value and fnmatchcase(value, pattern) for value in values)


def _named_at_most(text: str) -> int:
    """How many names the brackets of a node set make at most."""
    named = 1
    for inside in _BRACKETS.findall(text):
        spans = [int(last) - int(first) for first, last in _SPAN.findall(inside)]
        named *= sum(max(0, span) for span in spans) + inside.count(",") + 1
    return named

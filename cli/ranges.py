"""Range expressions: which nodes. Node sets are ClusterShell's; roles and zones come from the map.

collector-01            a node            collector-[01-04]   several
role:collector, @collector                all of a role
az:a                    all of a zone     all                 every node; '*' is another word for it
A,B   either            A&B   both        A!B   A without B   A^B   one but not both
'*-01'                  by pattern
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from artifacts.errors import EvctlError

if TYPE_CHECKING:
    from cli.fleet import NodeInfo

ALL = "all"
EXPRESSION_BYTES_MAX = 4096
NAMED_MAX = 100_000
_OPERATOR = re.compile(r"[,!&^](?![^\[]*\])")  # outside of brackets
_BRACKETS = re.compile(r"\[([^\]]*)")
_SPAN = re.compile(r"(\d+)-(\d+)")
_GROUP = re.compile(r"(?<![\w@])(role|az):([\w.-]*)")
_ALL = re.compile(rf"(?<![^\s,!&^]){ALL}(?![^\s,!&^])")  # as a whole operand
_EVERY = "@*"
_WHOLESALE = (ALL, "*", _EVERY)


class RangeError(EvctlError):
    code = "E5401"
    exit_code = 2
    explanation = (
        "A range names nodes: collector-01, collector-[01-04], role:collector, @collector, az:a, "
        "'*-01', all; `,` is either, `&` both, `!` without, `^` one but not both. Quote it, so "
        "that the shell leaves it alone. `evctl range` shows what it names."
    )


def nodes_in(expression: str, nodes: Mapping[str, NodeInfo]) -> list[str]:
    """Ids of the nodes that an expression names, sorted. RangeError when it can't be understood,
    names what isn't there, or names nothing."""
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
    from ClusterShell.NodeUtils import GroupResolver, GroupResolverError, GroupSource

    if len(expression.encode()) > EXPRESSION_BYTES_MAX:
        raise _malformed(expression[:40] + "…", f"longer than {EXPRESSION_BYTES_MAX} bytes")
    if not expression.strip():
        raise _malformed(expression, "it is empty")
    if (most := max(map(_named_at_most, _OPERATOR.split(expression)))) > NAMED_MAX:
        raise _malformed(expression, f"a part of it names {most} nodes")  # before any is made
    groups = _groups(nodes)
    for kind, name in _GROUP.findall(expression):
        if name not in groups[kind]:
            raise _unknown(f"{kind}:{name}", [f"{kind}:{known}" for known in groups[kind]])
    every = ",".join(nodes)
    sources = [
        GroupSource(kind, groups=members, allgroups=every) for kind, members in groups.items()
    ]
    resolver = GroupResolver(sources[0])
    for source in sources[1:]:
        resolver.add_source(source)
    try:
        meant = _ALL.sub(_EVERY, _GROUP.sub(r"@\1:\2", expression))
        chosen = NodeSet(meant, resolver=resolver)
        if len(chosen) > NAMED_MAX:
            raise _malformed(expression, f"it names {len(chosen)} nodes")
        found = sorted(NodeSet(str(chosen), resolver=RESOLVER_NOGROUP))
    except (NodeSetException, GroupResolverError) as error:
        raise _malformed(expression, str(error)) from error
    for node in found:
        if node not in nodes:
            raise _unknown(node, list(nodes))
    if not found:
        raise RangeError(
            f"the range {expression!r} names no node",
            why="its parts exclude each other, or no node has the role",
            next_step="evctl fleet shows all nodes and their roles",
        )
    return found


def fold(nodes: Collection[str]) -> str:
    """The shortest way to write these ids: collector-[01-02],processor-01."""
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

    return str(NodeSet.fromlist(list(nodes), resolver=RESOLVER_NOGROUP))


def counted(nodes: Collection[str]) -> str:
    """What is shown of a set of nodes before anything is done with it."""
    return f"{fold(nodes)} ({len(nodes)} {'node' if len(nodes) == 1 else 'nodes'})"


def is_whole_fleet(expression: str, named: Collection[str], fleet: Collection[str]) -> bool:
    """Whether it names every node there is, and by `all` (or its like) rather than by name."""
    by_all = any(operand.strip() in _WHOLESALE for operand in _OPERATOR.split(expression))
    return by_all and len(named) == len(fleet)


def _named_at_most(part: str) -> int:
    """How many names the brackets of one operand make at most."""
    named = 1
    for inside in _BRACKETS.findall(part):
        spans = [int(last) - int(first) for first, last in _SPAN.findall(inside)]
        named *= sum(max(0, span) for span in spans) + inside.count(",") + 1
    return named


def _groups(nodes: Mapping[str, NodeInfo]) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {"role": {}, "az": {}}
    for node in nodes.values():
        for kind, name in (("role", node.role), ("az", node.az)):
            if name:
                known = groups[kind].get(name)
                groups[kind][name] = f"{known},{node.id}" if known else node.id
    return groups


def _malformed(expression: str, why: str) -> RangeError:
    return RangeError(
        f"the range {expression!r} can't be understood",
        why=why,
        next_step="for example: 'role:collector', 'collector-[01-02]', 'az:a!collector-01'",
    )


def _unknown(name: str, known: list[str]) -> RangeError:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    return RangeError(
        f"no {name} in this fleet",
        why=f"near it: {', '.join(near)}"
        if near
        else f"it has {', '.join(known[:8]) or 'nothing'}",
        next_step="evctl fleet shows all nodes and their roles",
    )

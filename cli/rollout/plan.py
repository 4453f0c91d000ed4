"""From nodes and releases to waves. See docs/decisions/0002, 0004 and 0008."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cli.rollout.document import Capacity, NodeRecord
from cli.rollout.errors import FloorNotKept, WrongWaves

Waves = tuple[tuple[str, ...], ...]

CANARIES = 1  # of each role, unless something else is said
SHARES_MAX = 20
_SHARE = re.compile(r"([1-9]\d{0,5})(%?)")


@dataclass(frozen=True)
class Share:
    """How many of a role's nodes: a count, or a percentage, rounded up."""

    number: int
    percent: bool = False

    def of(self, nodes: int) -> int:
        return min(nodes, -(-nodes * self.number // 100) if self.percent else self.number)


EVERY = Share(100, percent=True)


def parse_shares(text: str) -> tuple[Share, ...]:
    """`1,25%,100%`: how far each wave brings every role. WrongWaves."""
    shares = tuple(map(_share, text.split(",")))
    if len(shares) > SHARES_MAX:
        raise _wrong(text, f"at most {SHARES_MAX} waves can be named")
    for percent in (False, True):
        numbers = [share.number for share in shares if share.percent is percent]
        if numbers != sorted(set(numbers)):
            raise _wrong(text, "each wave must reach further than the one before it")
    return shares


def _share(text: str) -> Share:
    read = _SHARE.fullmatch(text.strip())
    if not read or (read[2] and int(read[1]) > 100):
        raise _wrong(text, "a count from 1, or a percentage from 1% to 100%")
    return Share(int(read[1]), percent=bool(read[2]))


def _wrong(text: str, why: str) -> WrongWaves:
    return WrongWaves(
        f"the waves {text[:60]!r} can't be understood",
        why=why,
        next_step="for example: --waves 1,25%,50%,100%",
    )


def capacities(
    fleet: Mapping[str, int],
    nodes: Mapping[str, NodeRecord],
    floors: Mapping[str, int],
    *,
    back: bool = False,
) -> dict[str, Capacity]:
    """Of each role of these nodes: half of those that serve stay in service, or as many as its
    floor says. FloorNotKept when nobody could be taken then.

    fleet: role → how many nodes the fleet has of it. floors: role → what was asked for.
    """
    found = {}
    for role in sorted({record.role for record in nodes.values()}):
        idle = sum(r.role == role and not r.served() for r in nodes.values())
        serving = max(0, fleet[role] - idle)
        half = max(0, serving - max(1, serving // 2))
        floor = max(half, floors.get(role, 0))
        if floor >= serving > 0 and back:
            floor = serving - 1  # the fleet has shrunk since: going back comes first
        if floor >= serving > 0:
            raise FloorNotKept(
                f"{floor} of {serving} {role} must serve: none could be changed",
                why="a node that swaps isn't counted as serving until it has passed its gate",
                next_step=f"add nodes of the role, or: --floor {role}={serving - 1}",
            )
        found[role] = Capacity(serving, floor)
    return found


def waves(
    roles: Mapping[str, str],
    fleet: Mapping[str, int],
    *,
    canaries: int = CANARIES,
    shares: tuple[Share, ...] = (),
    zones: Mapping[str, str | None] | None = None,
    capacity: Mapping[str, Capacity] | None = None,
    stages: Sequence[Collection[str]] = (),
) -> Waves:
    """Canaries first, so many of each role, one role after the other. Then a wave for each share:
    after it, that share of every role's nodes has changed, canaries included. Then the others.
    What would change more than half of a role's nodes at once, or break its floor, is split until
    it doesn't. Each wave takes from all zones alike.

    roles: node → role, of the nodes to change. fleet: role → how many nodes the fleet has of it.
    zones: node → availability zone. stages: roles, where some must be through before others begin.
    """
    by_role = _by_role(roles, zones or {})
    at_once = {
        role: max(1, min(fleet.get(role, len(nodes)) // 2, _room(role, capacity or {})))
        for role, nodes in by_role.items()
    }
    planned: list[tuple[str, ...]] = []
    for stage in stages or (by_role,):
        staged = {role: nodes for role, nodes in by_role.items() if role in stage}
        planned += _staged(staged, at_once, canaries, shares)
    return tuple(planned)


def _staged(
    by_role: Mapping[str, list[str]],
    at_once: Mapping[str, int],
    canaries: int,
    shares: tuple[Share, ...],
) -> list[tuple[str, ...]]:
    reached = {role: min(canaries, len(nodes)) for role, nodes in by_role.items()}
    planned: list[tuple[str, ...]] = []
    for role, nodes in by_role.items():
        planned += _split({role: nodes[: reached[role]]}, at_once)
    for share in (*shares, EVERY):
        wave: dict[str, list[str]] = {}
        for role, nodes in by_role.items():
            until = max(reached[role], share.of(len(nodes)))
            wave[role] = nodes[reached[role] : until]
            reached[role] = until
        planned += _split(wave, at_once)
    return planned


def _room(role: str, capacity: Mapping[str, Capacity]) -> int:
    """A role of which nothing serves yet has no floor to keep."""
    known = capacity.get(role)
    return known.serving - known.floor if known and known.serving else sys.maxsize


def _by_role(roles: Mapping[str, str], zones: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Of each role the first node of every zone, then the second of every zone, …"""
    by_role: dict[str, list[str]] = {}
    for node in sorted(roles):
        by_role.setdefault(roles[node], []).append(node)
    for nodes in by_role.values():
        seen: dict[str | None, int] = {}
        place = {}
        for node in nodes:
            zone = zones.get(node)
            seen[zone] = seen.get(zone, 0) + 1
            place[node] = (seen[zone], zone is None, zone or "", node)
        nodes.sort(key=place.__getitem__)
    return dict(sorted(by_role.items()))


def _split(wave: Mapping[str, list[str]], at_once: Mapping[str, int]) -> list[tuple[str, ...]]:
    """In as few waves as it takes to change no more of each role at once than this."""
    steps = max((-(-len(nodes) // at_once[role]) for role, nodes in wave.items()), default=0)
    return [
        tuple(
            node
            for role, nodes in wave.items()
            for node in nodes[step * at_once[role] : (step + 1) * at_once[role]]
        )
        for step in range(steps)
    ]

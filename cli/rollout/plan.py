"""From nodes and releases to waves. See docs/decisions/0002 and 0004."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cli.rollout.errors import WrongWaves

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


def waves(
    roles: Mapping[str, str],
    fleet: Mapping[str, int],
    *,
    canaries: int = CANARIES,
    shares: tuple[Share, ...] = (),
) -> Waves:
    """Canaries first, so many of each role, one role after the other. Then a wave for each share:
    after it, that share of every role's nodes has changed, canaries included. Then the others.
    What would change more than half of a role's nodes at once is split until it doesn't.

    roles: node → role, of the nodes to change. fleet: role → how many nodes the fleet has of it.
    """
    by_role = _by_role(roles)
    reached = {role: min(canaries, len(nodes)) for role, nodes in by_role.items()}
    planned: list[tuple[str, ...]] = []
    for role, nodes in by_role.items():
        planned += _halved({role: nodes[: reached[role]]}, fleet)
    for share in (*shares, EVERY):
        wave: dict[str, list[str]] = {}
        for role, nodes in by_role.items():
            until = max(reached[role], share.of(len(nodes)))
            wave[role] = nodes[reached[role] : until]
            reached[role] = until
        planned += _halved(wave, fleet)
    return tuple(planned)


def waves_back(roles: Mapping[str, str], fleet: Mapping[str, int]) -> Waves:
    """For a rollback: no canaries, and still never more than half of a role at once."""
    return waves(roles, fleet, canaries=0)


def _by_role(roles: Mapping[str, str]) -> dict[str, list[str]]:
    by_role: dict[str, list[str]] = {}
    for node in sorted(roles):
        by_role.setdefault(roles[node], []).append(node)
    return dict(sorted(by_role.items()))


def _halved(wave: Mapping[str, list[str]], fleet: Mapping[str, int]) -> list[tuple[str, ...]]:
    """In as few waves as it takes to never change more than half of a role's nodes at once."""
    size = {role: max(1, fleet.get(role, len(nodes)) // 2) for role, nodes in wave.items()}
    steps = max((-(-len(nodes) // size[role]) for role, nodes in wave.items()), default=0)
    return [
        tuple(
            node
            for role, nodes in wave.items()
            for node in nodes[step * size[role] : (step + 1) * size[role]]
        )
        for step in range(steps)
    ]

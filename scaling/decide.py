"""How many nodes each role should have. Pure: (targets, state, signals, now) → a decision.

Every signal becomes a load in the same words: so much work, and so much of it fills one node.

    requests    requests a second, and what a node shall take
    cpu         cores used, and what a node's process can use
    arriving    what arrives in the queue, and what a node drains: measured, not configured
    waiting     what waits, and what a node drains in the time that the oldest may wait

The role that needs most nodes by any of them has them. It grows when its nodes are fuller than
FULL, to where they are COMFORTABLE, and waits up_s for what it asked for. It shrinks to what would
keep them under SPARE, when nothing has asked for more in down_s. What lies between the three
is what keeps steady load with noise from moving anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

FULL, COMFORTABLE, SPARE = 0.85, 0.75, 0.65
BACKLOG_S = 5.0  # nodes that leave more than they drain in this have all that they can do
LEARN = 0.3  # the newest measurement's weight
# Of less than these nothing can be learned: cores a node, and what was drained in an interval, as
# nodes store some at a time.
CPU_MIN, DRAINED_MIN = 0.02, 20


@dataclass(frozen=True)
class Target:
    """What is wanted of a role. 0: this signal is not looked at.

    requests_per_s: what a node shall take. cpu_cores: what its process can use, until it was seen
    with more work than it could do. oldest_s: how long the oldest in its queue may wait.
    """

    floor: int = 1
    ceiling: int = 10
    requests_per_s: float = 0
    cpu_cores: float = 1
    oldest_s: float = 0
    up_s: float = 60
    down_s: float = 300


@dataclass(frozen=True)
class Signals:
    """What a role's nodes showed over an interval. None: could not be measured.

    nodes: those that answered at both of its ends. silent: those that did not. seconds: how long
    it was. cpu_cores: of all together. arrived_per_s, drained_per_s, waiting, oldest_s: of the
    queue before the role.
    """

    nodes: int
    silent: int = 0
    seconds: float = 15
    requests_per_s: float | None = None
    cpu_cores: float | None = None
    arrived_per_s: float | None = None
    drained_per_s: float | None = None
    waiting: float | None = None
    was_waiting: float | None = None
    oldest_s: float | None = None


@dataclass(frozen=True)
class RoleState:
    """desired: the last decision. drains_per_s, full_cores: of one node that has all it can do,
    as measured. since_s: when a need was looked at first after the last change. needs: (when,
    nodes that would keep it under SPARE) of the last down_s, but none that a later one exceeds."""

    desired: int
    changed_at_s: float | None = None
    drains_per_s: float | None = None
    full_cores: float | None = None
    since_s: float | None = None
    needs: tuple[tuple[float, int], ...] = ()

    def changed(self, desired: int, now_s: float) -> RoleState:
        return replace(self, desired=desired, changed_at_s=now_s, since_s=None, needs=())


@dataclass(frozen=True)
class Load:
    """work: in whatever unit; node: how much of it fills one node."""

    work: float
    node: float
    says: str

    def nodes(self, fullness: float) -> int:
        return math.ceil(round(self.work / (self.node * fullness), 9))


@dataclass(frozen=True)
class Decision:
    """desired and reasons: by role; changed: those that differ from before."""

    desired: Mapping[str, int]
    reasons: Mapping[str, str]
    state: Mapping[str, RoleState]
    changed: frozenset[str]


def decide(
    targets: Mapping[str, Target],
    state: Mapping[str, RoleState],
    signals: Mapping[str, Signals],
    now_s: float,
) -> Decision:
    """A role without state begins with what was seen of it; one of which neither is known is left
    out; one without signals keeps what it has."""
    after: dict[str, RoleState] = {}
    reasons: dict[str, str] = {}
    for role, target in targets.items():
        if role not in state and role not in signals:
            continue
        seen = signals.get(role, Signals(nodes=0))
        was = state.get(role) or RoleState(_within(target, seen.nodes + seen.silent))
        after[role], reasons[role] = decide_role(target, was, seen, now_s)
    desired = {role: one.desired for role, one in after.items()}
    changed = {role for role, was in state.items() if desired.get(role, was.desired) != was.desired}
    return Decision(desired, reasons, after, frozenset(changed))


def decide_role(
    target: Target, was: RoleState, seen: Signals, now_s: float
) -> tuple[RoleState, str]:
    """One role's next state, and why."""
    if _within(target, was.desired) != was.desired:
        bounds = f"{target.floor} to {target.ceiling} are allowed"
        return was.changed(_within(target, was.desired), now_s), bounds
    if not seen.nodes:
        return was, "no node could be measured: nothing is known, nothing is changed"
    held = _learned(target, was, seen)
    loads = list(_loads(target, held, seen))
    if not loads:
        return held, "nothing was measured yet"
    most = max(loads, key=lambda load: load.work / load.node)
    held = _noted(target, held, _within(target, most.nodes(SPARE)), now_s)
    if most.nodes(FULL) > held.desired:
        return _grown(target, held, most, now_s)
    return _shrunk(target, held, most, seen.silent, now_s)


def _grown(target: Target, held: RoleState, most: Load, now_s: float) -> tuple[RoleState, str]:
    wanted = _within(target, most.nodes(COMFORTABLE))
    if wanted == held.desired:
        return held, f"{most.says}; {target.ceiling} are the ceiling"
    waited_s = math.inf if held.changed_at_s is None else now_s - held.changed_at_s
    if waited_s < target.up_s:
        return held, f"{most.says}; the last change was {waited_s:.0f} s ago, and needs its time"
    return held.changed(wanted, now_s), most.says


def _shrunk(
    target: Target, held: RoleState, most: Load, silent: int, now_s: float
) -> tuple[RoleState, str]:
    enough = held.needs[0][1]
    if enough >= held.desired:
        return held, most.says
    if silent:
        return held, f"{most.says}; {silent} silent, so none is taken away"
    if held.since_s is not None and now_s - held.since_s < target.down_s:
        return held, f"{most.says}; {enough} are enough if that lasts {target.down_s:.0f} s"
    return held.changed(enough, now_s), most.says


def _within(target: Target, nodes: int) -> int:
    return min(max(nodes, target.floor), target.ceiling)


def _learned(target: Target, was: RoleState, seen: Signals) -> RoleState:
    """What one node drains when it has all that it can do, and what of a processor that takes.

    With less to do, what it drains is held against the cores that this took: the same work is
    more packs when they are small.
    """
    if not seen.drained_per_s or seen.waiting is None or seen.was_waiting is None:
        return was
    if seen.drained_per_s * seen.seconds < DRAINED_MIN * seen.nodes:
        return was
    each = seen.drained_per_s / seen.nodes
    cores = None if seen.cpu_cores is None else seen.cpu_cores / seen.nodes
    left = min(seen.waiting, seen.was_waiting)
    if left > seen.drained_per_s * BACKLOG_S:
        full = was.full_cores if cores is None else _blend(was.full_cores, cores)
        known = was.drains_per_s if was.full_cores is not None else None  # until now a guess
        return replace(was, drains_per_s=_blend(known, each), full_cores=full)
    if cores is None or cores < CPU_MIN:
        return was
    at_full = each * (was.full_cores or target.cpu_cores) / cores
    return replace(was, drains_per_s=_blend(was.drains_per_s, max(at_full, each)))


def _blend(was: float | None, measured: float) -> float:
    return measured if was is None else was + LEARN * (measured - was)


def _loads(target: Target, state: RoleState, seen: Signals) -> Iterator[Load]:
    if target.requests_per_s and seen.requests_per_s is not None:
        each = target.requests_per_s
        said = f"{seen.requests_per_s:.0f} requests/s, {each:.0f}/s a node"
        yield Load(seen.requests_per_s, each, said)
    if target.oldest_s and state.drains_per_s is not None and seen.waiting is not None:
        yield from _queued(target, state, state.drains_per_s, seen)
        return  # its cores are full whenever something waits, whether or not that grows less
    cores = target.cpu_cores
    if cores and seen.cpu_cores is not None:
        said = f"{seen.cpu_cores:.2f} cores used, a node is full at {cores:g}"
        yield Load(seen.cpu_cores, cores, said)
    if target.oldest_s and seen.oldest_s is not None and seen.oldest_s > target.oldest_s:
        said = f"the oldest waits {seen.oldest_s:.0f} s, what a node drains is not known yet"
        yield Load(seen.nodes + 1, 1 / COMFORTABLE, said)


def _queued(target: Target, state: RoleState, drains: float, seen: Signals) -> Iterator[Load]:
    """Of what waits, only what those that there are won't have drained before a new one serves."""
    arrived, waiting = seen.arrived_per_s or 0.0, seen.waiting or 0.0
    yield Load(arrived, drains, f"{arrived:.1f}/s arrive, a node drains {drains:.1f}/s")
    spare = max(state.desired * drains - arrived, 0)
    left = max(waiting - spare * target.up_s, 0)
    said = (
        f"{waiting:.0f} wait, {left:.0f} would still in {target.up_s:.0f} s,"
        f" a node drains {drains:.1f}/s"
    )
    yield Load(left / target.oldest_s, drains, said)


def _noted(target: Target, state: RoleState, need: int, now_s: float) -> RoleState:
    """needs[0] is then the most that was needed in the last down_s."""
    recent = [(at, one) for at, one in state.needs if now_s - at < target.down_s and one > need]
    since_s = now_s if state.since_s is None else state.since_s
    return replace(state, since_s=since_s, needs=(*recent, (now_s, need)))

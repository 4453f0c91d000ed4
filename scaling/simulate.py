"""A traffic trace against the autoscaler's own decisions: nodes, backlog and cost over time.

A world without a clock: a tick at a time, senders offer, collectors take what they can, the queue
holds it, processors drain it as far as their cores and AWS let them. Nothing is random: what
traffic does is the trace's, and the same trace gives the same ticks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from scaling import limits
from scaling.capacity import Limit, limits_of
from scaling.consumption import Consumption, Placement, Stream, consumed
from scaling.decide import Decision, RoleState, Signals, Target
from scaling.decide import decide as decide_by_signals
from scaling.figures import Figures
from scaling.machines import disk_usd_per_hour
from scaling.prices import Prices
from scaling.trace import Trace

ROLES = ("collector", "processor", "postprocessor")
Decide = Callable[
    [Mapping[str, Target], Mapping[str, RoleState], Mapping[str, Signals], float], Decision
]


@dataclass(frozen=True)
class World:
    """What traffic meets. boot_s: from a decision to a node that serves. warm_writes: what the
    table was made for; it grows to twice its peak, half an hour later. queues: as many."""

    figures: Figures
    prices: Prices
    instance: str
    event_bytes: float
    pack_events: float
    targets: Mapping[str, Target]
    placement: Placement = "auto"
    tick_s: float = 15
    boot_s: float = 90
    queues: int = 1
    warm_writes: float = limits.DYNAMODB_NEW_TABLE_WRITES

    def node_takes(self, role: str) -> float:
        """Events a second of one node."""
        return self.figures.events_per_core_s[role] * self.prices.instances[self.instance].vcpus


@dataclass(frozen=True)
class Tick:
    """offered, taken, stored: events a second; refused: those that senders keep, in events.
    limited: which of AWS's bounds held the processors up, or ""."""

    at_s: float
    offered: float
    taken: float
    refused: float
    stored: float
    backlog: float
    oldest_s: float
    nodes: Mapping[str, int]
    desired: Mapping[str, int]
    reasons: Mapping[str, str]
    usd_per_hour: float
    limited: str


@dataclass
class _Role:
    """serving, and when each of those that boot will serve."""

    serving: int
    boots: list[float] = field(default_factory=list)

    def want(self, desired: int, ready_at_s: float) -> None:
        missing = desired - self.serving - len(self.boots)
        self.boots += [ready_at_s] * missing
        if missing < 0:
            gone = min(-missing, len(self.boots))  # those that don't serve yet go first
            del self.boots[len(self.boots) - gone :]
            self.serving -= -missing - gone

    def come(self, now_s: float) -> None:
        self.serving += sum(at <= now_s for at in self.boots)
        self.boots = [at for at in self.boots if at > now_s]


@dataclass
class _Queue:
    """Events in their order: (arrived at, how many)."""

    waiting: deque[tuple[float, float]] = field(default_factory=deque)
    events: float = 0

    def put(self, at_s: float, events: float) -> None:
        self.waiting.append((at_s, events))
        self.events += events

    def take(self, events: float) -> float:
        left = taken = min(events, self.events)
        while left > 0 and self.waiting:
            at_s, first = self.waiting.popleft()
            if first > left:
                self.waiting.appendleft((at_s, first - left))
            left -= min(first, left)
        self.events = self.events - taken if self.waiting else 0.0
        return taken

    def oldest_s(self, now_s: float) -> float:
        return now_s - self.waiting[0][0] if self.waiting else 0.0


@dataclass
class _Table:
    """How many write units a second the table lets pass: by what it was made for, and its past."""

    warm: float
    peaks: deque[tuple[float, float]] = field(default_factory=deque)

    def wrote(self, at_s: float, writes: float) -> None:
        self.peaks.append((at_s, writes))
        while self.peaks[0][0] <= at_s - limits.DYNAMODB_PEAK_S:
            self.warm = max(self.warm, 2 * self.peaks.popleft()[1])
        self.warm = min(self.warm, limits.DYNAMODB_TABLE_WRITES)


def simulate(
    trace: Trace, world: World, *, decide: Decide = decide_by_signals, drain_s: float = 0
) -> Iterator[Tick]:
    """Ticks of the trace, and of drain_s more at its last rate."""
    roles = {role: _Role(world.targets[role].floor) for role in ROLES}
    state: Mapping[str, RoleState] = {role: RoleState(roles[role].serving) for role in ROLES}
    queue, table, refused, was_waiting = _Queue(), _Table(world.warm_writes), 0.0, 0.0
    for number in range(int((trace.seconds + drain_s) / world.tick_s)):
        at_s = number * world.tick_s
        for one in roles.values():
            one.come(at_s)
        offered = trace.rate(at_s)
        wanted = offered + refused / world.tick_s
        taken = min(wanted, roles["collector"].serving * world.node_takes("collector"))
        refused = (wanted - taken) * world.tick_s
        queue.put(at_s, taken * world.tick_s)
        passes, limited, used = _passes(world, table, roles["processor"].serving, taken)
        wants = queue.events / world.tick_s
        stored = queue.take(min(wants, passes) * world.tick_s) / world.tick_s
        table.wrote(at_s, used.writes * stored / max(taken, 1))
        end_s = at_s + world.tick_s
        signals = _signals(
            world,
            roles,
            queue,
            taken=taken,
            stored=stored,
            was_waiting=was_waiting,
            now_s=end_s,
        )
        was_waiting = queue.events / world.pack_events
        decision = decide(world.targets, state, signals, end_s)
        state = decision.state
        yield Tick(
            at_s=at_s,
            offered=offered,
            taken=taken,
            refused=refused,
            stored=stored,
            backlog=queue.events,
            oldest_s=queue.oldest_s(end_s),
            nodes={role: one.serving for role, one in roles.items()},
            desired=decision.desired,
            reasons=decision.reasons,
            usd_per_hour=_usd_per_hour(world, roles, stored),
            limited=limited if wants > passes else "",
        )
        for role, one in roles.items():
            one.want(decision.desired[role], end_s + world.boot_s)


def _passes(
    world: World, table: _Table, processors: int, taken: float
) -> tuple[float, str, Consumption]:
    """Events a second that can be stored now, what bounds them, and what `taken` would use."""
    rate = max(taken, 1.0)
    used = _consumed(world, rate, processors)
    bounds = [Limit("cores", rate, processors * world.node_takes("processor"))]
    bounds += [
        replace(one, limit=min(table.warm, one.limit)) if one.name.endswith("of a table") else one
        for one in limits_of(used, world.queues)
        if not one.name.endswith(("of a new table", "of a message"))
    ]
    least = max(bounds, key=lambda one: one.used / max(one.limit, 1e-9))
    return rate * least.limit / max(least.used, 1e-9), least.name, used


def _consumed(world: World, rate: float, processors: int) -> Consumption:
    stream = Stream(rate, world.event_bytes, world.pack_events, processors, world.placement)
    return consumed(stream, world.figures, world.prices)


def _signals(
    world: World,
    roles: Mapping[str, _Role],
    queue: _Queue,
    *,
    taken: float,
    stored: float,
    was_waiting: float,
    now_s: float,
) -> dict[str, Signals]:
    packs = world.pack_events
    cores = {"collector": taken, "processor": stored, "postprocessor": stored}
    seen = {
        role: Signals(
            nodes=roles[role].serving,
            seconds=world.tick_s,
            cpu_cores=events / world.node_takes(role),
        )
        for role, events in cores.items()
    }
    return seen | {
        "processor": replace(
            seen["processor"],
            arrived_per_s=taken / packs,
            drained_per_s=stored / packs,
            waiting=queue.events / packs,
            was_waiting=was_waiting,
            oldest_s=queue.oldest_s(now_s),
        )
    }


def _usd_per_hour(world: World, roles: Mapping[str, _Role], stored: float) -> float:
    paid = sum(one.serving + len(one.boots) for one in roles.values())
    each = world.prices.instances[world.instance].usd_per_hour + disk_usd_per_hour(world.prices)
    if stored < 1:
        return paid * each
    used = _consumed(world, stored, roles["processor"].serving)
    return paid * each + sum(used.usd_per_hour(world.prices).values())

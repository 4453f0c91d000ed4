"""Random traffic against the decisions: bounds, steadiness, and backlogs that drain.

Each promise is shown to be one by a planted bug that breaks it.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling import figures, prices
from scaling.decide import Decision, Target, decide
from scaling.simulate import ROLES, Tick, World, simulate
from scaling.trace import Trace

PROCESSOR_EVENTS_S = figures.load().events_per_core_s["processor"]
TARGETS = {
    "collector": Target(floor=1, ceiling=8, up_s=90, down_s=300),
    "processor": Target(floor=1, ceiling=12, oldest_s=30, up_s=90, down_s=300),
    "postprocessor": Target(floor=1, ceiling=3, up_s=90, down_s=300),
}
WORLD = World(
    figures=figures.load(),
    prices=prices.load(),
    instance="c7g.medium",
    event_bytes=250,
    pack_events=2000,
    targets=TARGETS,
)
rates = st.floats(0, 6 * PROCESSOR_EVENTS_S)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    times = [0.0]
    for ticks in lengths:
        times.append(times[-1] + 15 * ticks)
    return Trace(tuple(times), tuple(draw(rates) for _ in times))


def noisy(rate: float, noise: list[float]) -> Trace:
    times = tuple(15.0 * tick for tick in range(len(noise) + 1))
    return Trace(times, tuple(rate * (1 + one) for one in [*noise, 0.0]))


def out_of_bounds(ticks: Iterator[Tick]) -> list[str]:
    return [
        f"{tick.at_s:.0f} s: {role}: {count}"
        for tick in ticks
        for role in ROLES
        for count in (tick.desired[role], tick.nodes[role])
        if count > TARGETS[role].ceiling or tick.desired[role] < TARGETS[role].floor
    ]


def moves(ticks: Iterator[Tick], role: str, after_s: float) -> list[int]:
    """The numbers wanted, one after the other, once what begins has settled."""
    wanted = [tick.desired[role] for tick in ticks if tick.at_s >= after_s]
    return [wanted[0], *(b for a, b in pairwise(wanted) if a != b)]


@settings(max_examples=25, deadline=None)
@given(traces())
def test_never_above_the_ceiling_nor_below_the_floor(trace: Trace):
    assert out_of_bounds(simulate(trace, WORLD)) == []


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.1, 5) | st.sampled_from([0.65, 0.75, 0.85, 1.3, 1.5, 1.7, 2.55]),
    st.lists(st.floats(-0.1, 0.1), min_size=120, max_size=120),
)
def test_steady_load_with_noise_moves_nothing_back_and_forth(load: float, noise: list[float]):
    ticks = list(simulate(noisy(load * PROCESSOR_EVENTS_S, noise), WORLD))
    assert len(moves(iter(ticks), "processor", 900)) <= 2  # one late step, and it stays there
    assert len(moves(iter(ticks), "collector", 900)) <= 2


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 1.5), st.integers(20, 80))
def test_after_a_fourfold_rise_the_backlog_drains_and_all_is_stored(load: float, ticks: int):
    base = load * PROCESSOR_EVENTS_S
    trace = Trace((0, 15.0 * ticks, 15.0 * ticks + 2400), (base, 4 * base, 4 * base))
    seen = list(simulate(trace, WORLD))
    assert seen[-1].backlog < 4 * base * WORLD.tick_s
    assert seen[-1].refused < 1
    assert seen[-1].oldest_s <= TARGETS["processor"].oldest_s
    offered = sum(tick.offered for tick in seen) * WORLD.tick_s
    stored = sum(tick.stored for tick in seen) * WORLD.tick_s
    assert stored + seen[-1].backlog + seen[-1].refused == pytest.approx(offered)


def test_four_times_the_load_takes_three_processors_and_then_one_again():
    base = 0.5 * PROCESSOR_EVENTS_S
    trace = Trace((0, 600, 2400, 4800), (base, 4 * base, base, base))
    assert moves(simulate(trace, WORLD), "processor", 0) == [1, 3, 1]


def _blind(targets, state, signals, now_s) -> Decision:
    """Planted: the backlog is not looked at, and a core that is full says no more than that."""
    unseen = {
        role: replace(one, waiting=None, oldest_s=None, cpu_cores=min(one.cpu_cores, 0.8))
        for role, one in signals.items()
    }
    return decide(targets, state, unseen, now_s)


def _boundless(targets, state, signals, now_s) -> Decision:
    """Planted: the ceiling is forgotten."""
    return decide(
        {role: replace(one, ceiling=1000) for role, one in targets.items()}, state, signals, now_s
    )


def test_a_planted_bug_that_ignores_the_backlog_is_caught():
    base = 0.5 * PROCESSOR_EVENTS_S
    trace = Trace((0, 600, 3000), (base, 4 * base, 4 * base))
    assert list(simulate(trace, WORLD, decide=_blind))[-1].backlog > 100 * base


def test_a_planted_bug_that_waits_for_nothing_is_caught(monkeypatch: pytest.MonkeyPatch):
    """Nothing between growing and shrinking, and no time for either."""
    for name in ("FULL", "COMFORTABLE", "SPARE"):
        monkeypatch.setattr(f"scaling.decide.{name}", 0.75)
    hasty = {role: replace(one, up_s=0, down_s=0) for role, one in TARGETS.items()}
    noise = [0.1 * (-1) ** tick for tick in range(200)]
    ticks = simulate(noisy(1.5 * PROCESSOR_EVENTS_S, noise), replace(WORLD, targets=hasty))
    assert len(moves(ticks, "processor", 900)) > 10


def test_a_planted_bug_that_forgets_the_ceiling_is_caught():
    trace = Trace((0, 3000), (30 * PROCESSOR_EVENTS_S, 0))
    assert out_of_bounds(simulate(trace, WORLD, decide=_boundless))


def test_aws_bounds_hold_processors_up_and_are_named():
    """A fresh table takes 4,000 write units a second; items of 500 events at 200,000/s take more,
    however many processors there are. After half an hour it has grown to twice its peak."""
    trace = Trace((0, 7200), (200_000, 200_000))
    fresh = replace(WORLD, placement="items", pack_events=500)
    seen = list(simulate(trace, fresh))
    assert {tick.limited for tick in seen if tick.at_s > 600} >= {
        "DynamoDB: write units/s of a table"
    }
    warm = replace(fresh, warm_writes=40_000)
    assert {tick.limited for tick in simulate(trace, warm) if tick.at_s > 600} == {""}


def test_the_same_trace_gives_the_same_ticks():
    trace = Trace((0, 600, 1200), (50_000, 500_000, 0))
    assert list(simulate(trace, WORLD)) == list(simulate(trace, WORLD))

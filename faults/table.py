"""All faults, in the order in which they are played."""

from __future__ import annotations

from collections.abc import Iterator

from demo.source import DIES_AT_START, NEVER_READY
from faults import clock, cuts, drivers, nodes, registry, releases
from faults.cuts import Way
from faults.fault import Fault

CONVERGED = ("converged",)
ROLLED_BACK = ("rolled_back",)
PARTIAL = ("partial",)
WAYS: tuple[Way, ...] = ("one-way", "both-ways", "flapping")


def _drivers() -> Iterator[Fault]:
    yield Fault(
        "driver-killed-at-every-step",
        "each driver is killed at the first step that none before it was killed at",
        CONVERGED,
        drivers.killed_at_every_step,
    )
    yield Fault(
        "driver-killed-in-a-swap",
        "and resumed when its lease of a minute is over",
        CONVERGED,
        drivers.killed_in_a_swap,
    )
    yield Fault(
        "driver-killed-going-back",
        "after an abort; another one takes the rest back",
        ("aborted",),
        drivers.killed_on_the_way_back,
    )
    yield Fault(
        "two-operators",
        "one wins; the other gets exit code 8 and the name of the rollout",
        CONVERGED,
        drivers.two_operators,
    )
    yield Fault(
        "master-restarted",
        "the Salt master is killed while nodes swap, and started again",
        (*CONVERGED, *ROLLED_BACK),
        drivers.master_restarted,
    )


def _cuts() -> Iterator[Fault]:
    for way in WAYS:
        # One that flaps may be heard at the right moment, or not.
        before = (*PARTIAL, *CONVERGED) if way == "flapping" else PARTIAL
        during = (*before, *ROLLED_BACK) if way == "flapping" else PARTIAL
        yield Fault(
            f"cut-{way}-before",
            f"{cuts.LAST} is cut off from its master from before the rollout to its end",
            before,
            cuts.before_its_swap(way),
            machines=True,
            missing=cuts.missing,
        )
        yield Fault(
            f"cut-{way}-during",
            f"{cuts.LAST} is cut off when it was asked to swap, until the rollout has ended",
            during,
            cuts.during_its_swap(way),
            machines=True,
            missing=cuts.missing,
        )
        yield Fault(
            f"cut-{way}-after",
            f"{cuts.CANARY} is cut off once it has passed its gate, until the rollout has ended",
            CONVERGED,
            cuts.after_its_swap(way),
            machines=True,
            missing=cuts.missing,
        )


def _nodes() -> Iterator[Fault]:
    yield Fault(
        "off-back-after-rollback",
        f"{nodes.PROCESSOR} is off during the rollout and comes back after the rollback",
        PARTIAL,
        nodes.off_and_back_after_the_rollback,
    )
    yield Fault(
        "off-back-after-rollout",
        f"{nodes.PROCESSOR} is off during the rollout and comes back after it",
        PARTIAL,
        nodes.off_and_back_after_the_rollout,
    )
    yield Fault(
        "power-cut-processor",
        f"{nodes.PROCESSOR} loses its power in the middle of its swap",
        PARTIAL,
        nodes.power_cut_of_a_processor,
    )
    yield Fault(
        "power-cut-collector",
        f"{nodes.COLLECTOR} loses its power in the middle of its swap",
        PARTIAL,
        nodes.power_cut_of_a_collector,
    )
    yield Fault(
        "disk-full",
        f"{nodes.PROCESSOR} has no room for the release",
        ROLLED_BACK,
        nodes.disk_full,
        machines=True,
    )


def _clocks() -> Iterator[Fault]:
    for name, off_s in (("fast", 3600), ("slow", -3600)):
        yield Fault(
            f"clock-{name}",
            f"{clock.NODE} has a clock that is wrong by an hour, there and back",
            CONVERGED,
            clock.wrong(off_s),
            machines=True,
            missing=clock.missing,
        )


def _registry() -> Iterator[Fault]:
    yield Fault(
        "registry-gone-while-fetching",
        "before the nodes could fetch the release",
        ROLLED_BACK,
        registry.gone_while_nodes_fetch,
    )
    yield Fault(
        "registry-gone-after-fetching",
        "from when the nodes have the release; also during the rollback",
        CONVERGED,
        registry.gone_once_they_have_it,
    )
    yield Fault(
        "registry-slow",
        f"{registry.SLOW_NODE} gets {registry.BYTES_A_SECOND:,} bytes of it a second",
        CONVERGED,
        registry.slow,
        machines=True,
    )
    yield Fault(
        "registry-corrupt",
        "a bit of the tarball has flipped",
        ROLLED_BACK,
        registry.corrupt,
    )


def _releases() -> Iterator[Fault]:
    for name, says, play in (
        ("crashes", "ends at its start", releases.bad(DIES_AT_START)),
        ("hangs", "starts, and never becomes ready", releases.bad(NEVER_READY)),
        (
            "turns-unready",
            "becomes ready, and says three seconds later that it isn't",
            releases.bad(releases.TURNS_UNREADY, *releases.BAKED),
        ),
        (
            "dies-later",
            "becomes ready, and its processor ends three seconds later",
            releases.bad(releases.DIES_LATER, *releases.BAKED),
        ),
        (
            "is-slow",
            "answers 0.6 s later; the gate p99 compares",
            releases.bad(releases.SLOW, *releases.BAKED, "--gate", "p99"),
        ),
        (
            "leaks",
            "takes 50 MB more of memory a second; the gate memory compares",
            releases.bad(releases.LEAKS, *releases.BAKED, "--gate", "memory"),
        ),
        (
            "loses-events",
            "its collector acknowledges and stores nothing; the probe is the gate",
            releases.loses_events,
        ),
    ):
        yield Fault(f"release-{name}", says, ROLLED_BACK, play)


def _last() -> Iterator[Fault]:
    """Whoever has joined stays."""
    yield Fault(
        "node-joins",
        f"{nodes.NEW} boots for the first time in the middle of a rollout",
        CONVERGED,
        nodes.joins_in_the_middle,
    )


FAULTS = (*_drivers(), *_cuts(), *_nodes(), *_registry(), *_releases(), *_clocks(), *_last())

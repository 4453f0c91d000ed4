"""What the autoscaler decides, signal by signal."""

from dataclasses import replace

import pytest

from scaling.decide import RoleState, Signals, Target, decide, decide_role

TARGET = Target(floor=1, ceiling=8, oldest_s=30, up_s=60, down_s=300)
# Full: more waits at both ends than is drained in five seconds.
FULL = Signals(
    nodes=1,
    cpu_cores=0.9,
    arrived_per_s=200,
    drained_per_s=100,
    waiting=1000,
    was_waiting=900,
    oldest_s=5,
)


def lasting(
    target: Target, state: RoleState, seen: Signals, seconds: int, every_s: int = 15
) -> RoleState:
    for now_s in range(1000, 1000 + seconds, every_s):
        state, _ = decide_role(target, state, seen, now_s)
    return state


def test_what_a_node_drains_is_measured_when_it_has_all_that_it_can_do():
    state, why = decide_role(TARGET, RoleState(1), FULL, 0)
    assert state.drains_per_s == 100
    assert state.full_cores == 0.9
    assert state.desired == 3  # 200 of 100 a node, at three quarters
    assert why == "200.0/s arrive, a node drains 100.0/s"


def test_the_first_time_it_is_full_counts_more_than_all_that_was_guessed_before():
    guessed = RoleState(1, drains_per_s=900)
    assert decide_role(TARGET, guessed, FULL, 0)[0].drains_per_s == 100
    measured = RoleState(1, drains_per_s=200, full_cores=0.9)
    assert decide_role(TARGET, measured, FULL, 0)[0].drains_per_s == pytest.approx(170)


def test_a_handful_says_nothing_since_nodes_store_some_at_a_time():
    few = replace(FULL, drained_per_s=1.2, arrived_per_s=5, seconds=15)
    state, _ = decide_role(TARGET, RoleState(1, drains_per_s=100), few, 0)
    assert (state.drains_per_s, state.desired) == (100, 1)


def test_with_less_to_do_it_is_held_against_the_cores_that_it_took():
    """The same work is more packs when they are small: 50 with a tenth of a core are 450."""
    idle = Signals(nodes=1, cpu_cores=0.1, arrived_per_s=50, drained_per_s=50, waiting=0)
    was = RoleState(1, drains_per_s=100, full_cores=0.9)
    state, _ = decide_role(TARGET, was, replace(idle, was_waiting=0), 0)
    assert state.drains_per_s == pytest.approx(100 + 0.3 * 350)


def test_a_backlog_needs_as_many_as_drain_it_in_the_time_that_the_oldest_may_wait():
    waits = replace(FULL, arrived_per_s=100, waiting=15_000, was_waiting=15_000)
    state, why = decide_role(TARGET, RoleState(1), waits, 0)
    assert state.desired == 7  # 500 a second of 100 a node, at three quarters
    assert why == "15000 wait, 15000 would still in 60 s, a node drains 100.0/s"


def test_a_backlog_that_is_gone_before_a_new_node_serves_needs_none():
    waits = replace(FULL, nodes=3, drained_per_s=300, waiting=6000, was_waiting=9000)
    state, why = decide_role(TARGET, RoleState(3, drains_per_s=100), waits, 0)
    assert state.desired == 3
    assert why == "200.0/s arrive, a node drains 100.0/s"


def test_what_is_full_of_work_and_draining_it_is_not_made_more():
    busy = Signals(3, 0, 15, None, 3.0, 200, 300, 2000, 3000, 10)
    state, _ = decide_role(TARGET, RoleState(3, drains_per_s=100), busy, 0)
    assert state.desired == 3


def test_the_age_alone_adds_one_while_nothing_else_is_known():
    old = Signals(nodes=2, waiting=5, oldest_s=40)
    state, why = decide_role(TARGET, RoleState(2), old, 0)
    assert state.desired == 3
    assert "not known yet" in why


def test_collectors_by_requests_and_by_cores_whichever_needs_more():
    target = Target(ceiling=8, requests_per_s=1000)
    by_requests = Signals(nodes=1, requests_per_s=3000, cpu_cores=0.2)
    by_cores = Signals(nodes=1, requests_per_s=100, cpu_cores=0.9)
    assert decide_role(target, RoleState(1), by_requests, 0)[0].desired == 4
    assert decide_role(target, RoleState(1), by_cores, 0)[0].desired == 2


def test_what_was_asked_for_gets_its_time():
    state, _ = decide_role(TARGET, RoleState(1), FULL, 0)
    worse = replace(FULL, arrived_per_s=500)
    waits, why = decide_role(TARGET, state, worse, 45)
    assert waits.desired == 3
    assert "the last change was 45 s ago" in why
    assert decide_role(TARGET, waits, worse, 60)[0].desired == 7


def test_fewer_only_when_nothing_needed_more_for_down_s():
    idle = Signals(nodes=3, cpu_cores=0.1, arrived_per_s=10, drained_per_s=10, waiting=0)
    was = RoleState(3, drains_per_s=100)
    assert lasting(TARGET, was, idle, 300).desired == 3
    assert lasting(TARGET, was, idle, 330).desired == 1


def test_one_moment_that_needs_more_begins_the_time_anew():
    idle = Signals(nodes=3, arrived_per_s=10, drained_per_s=10, waiting=0, was_waiting=0)
    state = lasting(TARGET, RoleState(3, drains_per_s=100), idle, 200)
    state, _ = decide_role(TARGET, state, replace(idle, arrived_per_s=140), 1210)
    for now_s in range(1220, 1500, 10):
        state, why = decide_role(TARGET, state, idle, now_s)
        assert state.desired == 3, why
    assert decide_role(TARGET, state, idle, 1520)[0].desired == 1


def test_a_silent_node_may_be_at_work_so_none_is_taken_away():
    idle = Signals(nodes=2, silent=1, cpu_cores=0.1)
    state = lasting(TARGET, RoleState(3), idle, 900)
    assert state.desired == 3
    assert "1 silent" in decide_role(TARGET, state, idle, 2000)[1]


def test_when_no_node_answers_nothing_is_known_and_nothing_changed():
    state, why = decide_role(TARGET, RoleState(4), Signals(nodes=0, silent=4), 0)
    assert state == RoleState(4)
    assert "nothing is known" in why


def test_bounds_that_were_changed_are_kept_at_once():
    state, why = decide_role(replace(TARGET, floor=2), RoleState(1), Signals(nodes=1), 5)
    assert (state.desired, state.changed_at_s) == (2, 5)
    assert why == "2 to 8 are allowed"


def test_the_ceiling_is_said():
    most = replace(FULL, arrived_per_s=5000)
    state, _ = decide_role(TARGET, RoleState(8), replace(most, nodes=8), 0)
    assert state.desired == 8
    assert "8 are the ceiling" in decide_role(TARGET, RoleState(8), most, 0)[1]


def test_a_role_that_was_never_decided_on_has_what_was_seen():
    decision = decide({"processor": TARGET}, {}, {"processor": Signals(nodes=2, silent=1)}, 0)
    assert decision.desired == {"processor": 3}
    assert decision.changed == frozenset()


def test_of_a_role_of_which_nothing_is_known_nothing_is_decided():
    targets = {"processor": TARGET, "collector": Target(floor=2)}
    decision = decide(targets, {}, {"collector": Signals(nodes=0)}, 0)
    assert decision.desired == {"collector": 2}, "it is known that there is none"


def test_changes_are_named():
    state = {"processor": RoleState(1), "collector": RoleState(2)}
    targets = {"processor": TARGET, "collector": Target()}
    decision = decide(targets, state, {"processor": FULL}, 0)
    assert decision.changed == {"processor"}
    assert decision.desired == {"processor": 3, "collector": 2}

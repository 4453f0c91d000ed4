"""Waves: whatever the range, every node once, canaries first, never more than half of a role."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.rollout.document import Capacity, NodeRecord
from cli.rollout.errors import FloorNotKept, WrongWaves
from cli.rollout.plan import CANARIES, Share, capacities, parse_shares, waves

ranges = st.dictionaries(
    st.integers(0, 40).map(lambda n: f"node-{n:02}"), st.sampled_from(["a", "b", "c"]), max_size=30
)
# Nodes of a role that the fleet has beside those of the range.
others = st.fixed_dictionaries(dict.fromkeys("abc", st.integers(0, 20)))
shares = st.lists(
    st.builds(Share, st.integers(1, 100), st.booleans()), max_size=5
).map(tuple)  # fmt: skip
counts = st.integers(0, 12)


def _fleet(roles, more):
    sizes = Counter(roles.values())
    return {role: sizes[role] + more[role] for role in more}


@given(ranges, others)
def test_every_node_is_in_exactly_one_wave(roles, more):
    for canaries in (CANARIES, 0):
        steps = waves(roles, _fleet(roles, more), canaries=canaries)
        planned = [node for wave in steps for node in wave]
        assert sorted(planned) == sorted(roles)


@given(ranges, others)
def test_no_wave_is_empty_or_has_more_than_half_of_a_role(roles, more):
    fleet = _fleet(roles, more)
    for canaries in (CANARIES, 0):
        for wave in waves(roles, fleet, canaries=canaries):
            assert wave
            for role, count in Counter(roles[node] for node in wave).items():
                assert count <= max(1, fleet[role] // 2)


@given(ranges, others)
def test_the_first_waves_are_one_canary_of_each_role(roles, more):
    every = sorted(set(roles.values()))
    canaries = waves(roles, _fleet(roles, more))[: len(every)]
    assert [len(canary) for canary in canaries] == [1] * len(every)
    assert [roles[canary[0]] for canary in canaries] == every


def test_the_usual_five_nodes():
    roles = {
        "collector-01": "collector",
        "collector-02": "collector",
        "postprocessor-01": "postprocessor",
        "processor-01": "processor",
        "processor-02": "processor",
    }
    fleet = {"collector": 2, "processor": 2, "postprocessor": 1}
    assert waves(roles, fleet) == (
        ("collector-01",),
        ("postprocessor-01",),
        ("processor-01",),
        ("collector-02", "processor-02"),
    )
    assert waves(roles, fleet, canaries=0) == (
        ("collector-01", "postprocessor-01", "processor-01"),
        ("collector-02", "processor-02"),
    )


@given(ranges, others, counts, shares)
def test_whatever_is_asked_for_every_node_once_and_never_more_than_half(
    roles, more, canaries, asked
):
    fleet = _fleet(roles, more)
    planned = waves(roles, fleet, canaries=canaries, shares=asked)
    assert sorted(node for wave in planned for node in wave) == sorted(roles)
    for wave in planned:
        assert wave
        for role, count in Counter(roles[node] for node in wave).items():
            assert count <= max(1, fleet[role] // 2)


@given(ranges, others, counts)
def test_so_many_canaries_of_each_role_and_one_role_after_the_other(roles, more, canaries):
    sizes = Counter(roles.values())
    first = {role: min(canaries, sizes[role]) for role in sorted(sizes)}
    planned = iter(waves(roles, _fleet(roles, more), canaries=canaries))
    for role, count in first.items():
        seen = 0
        while seen < count:
            wave = next(planned)
            assert {roles[node] for node in wave} == {role}
            seen += len(wave)
        assert seen == count


@given(ranges, shares)
def test_after_its_wave_a_share_of_each_role_has_changed(roles, asked):
    """In a fleet so large that no wave is split."""
    planned = waves(roles, dict.fromkeys("abc", 1000), canaries=0, shares=asked)
    sizes, changed, ends = Counter(roles.values()), Counter(), [Counter()]
    for wave in planned:
        changed += Counter(roles[node] for node in wave)
        ends.append(changed.copy())
    reached = Counter()
    for share in asked:
        reached |= Counter({role: share.of(size) for role, size in sizes.items()})
        assert reached in ends


def _sizes(roles, fleet=None, **asked):
    named = {f"{role}-{n:02}": role for role, count in roles.items() for n in range(count)}
    return [len(wave) for wave in waves(named, fleet or roles, **asked)]


@pytest.mark.parametrize(
    ("roles", "asked", "sizes"),
    [
        ({"web": 12}, {}, [1, 6, 5]),
        ({"web": 12}, {"canaries": 0}, [6, 6]),
        ({"web": 12}, {"canaries": 3}, [3, 6, 3]),
        ({"web": 12}, {"canaries": 8}, [6, 2, 4]),
        ({"web": 12}, {"shares": parse_shares("1,25%,50%,100%")}, [1, 2, 3, 6]),
        ({"web": 12}, {"shares": parse_shares("25%"), "canaries": 0}, [3, 6, 3]),
        ({"web": 12}, {"shares": parse_shares("100%"), "canaries": 0}, [6, 6]),
        ({"web": 12}, {"shares": parse_shares("1,4,12")}, [1, 3, 6, 2]),
        ({"db": 3, "web": 9}, {"shares": parse_shares("30%")}, [1, 1, 2, 5, 3]),
        ({"db": 1, "web": 1}, {"shares": parse_shares("1,50%")}, [1, 1]),
        ({"db": 1, "web": 1}, {"canaries": 0}, [2]),
    ],
)  # fmt: skip
def test_waves_that_are_asked_for(roles, asked, sizes):
    assert _sizes(roles, **asked) == sizes


def test_each_wave_takes_from_all_zones_alike():
    roles = {f"web-{n:02}": "web" for n in range(1, 13)}
    zones = {node: "abc"[n // 4] for n, node in enumerate(roles)}
    planned = waves(roles, {"web": 12}, canaries=0, shares=parse_shares("3,6,9"), zones=zones)
    assert [Counter(zones[node] for node in wave) for wave in planned] == [Counter("abc")] * 4


def test_nodes_without_a_zone_are_a_zone_of_their_own():
    roles = dict.fromkeys(["n1", "n2", "n3"], "web")
    planned = waves(roles, {"web": 6}, canaries=0, zones={"n1": None, "n2": "a", "n3": None})
    assert planned == (("n2", "n1", "n3"),)


@given(ranges, others, st.integers(0, 30))
def test_no_wave_breaks_a_floor(roles, more, floor):
    fleet = _fleet(roles, more)
    nodes = {node: NodeRecord(role, "old", "new") for node, role in roles.items()}
    try:
        capacity = capacities(fleet, nodes, dict.fromkeys("abc", floor))
    except FloorNotKept as refused:
        assert refused.exit_code == 2
        assert any(fleet[role] <= floor for role in roles.values())
        return
    for wave in waves(roles, fleet, capacity=capacity):
        for role, count in Counter(roles[node] for node in wave).items():
            assert fleet[role] - count >= floor or fleet[role] == 1


def test_a_rollback_is_never_refused_for_a_floor_that_the_fleet_is_too_small_for():
    nodes = {f"n{n}": NodeRecord("web", "old", "new") for n in range(3)}
    assert capacities({"web": 3}, nodes, {"web": 9}, back=True) == {"web": Capacity(3, 2)}
    with pytest.raises(FloorNotKept, match="9 of 3 web"):
        capacities({"web": 3}, nodes, {"web": 9})


def test_nodes_that_serve_nothing_yet_are_no_capacity():
    nodes = {"n1": NodeRecord("web", None, "new"), "n2": NodeRecord("web", "old", "new")}
    assert capacities({"web": 2}, nodes, {}) == {"web": Capacity(1, 0)}
    away = nodes | {"n3": NodeRecord("web", "old", "new", away=True)}
    assert capacities({"web": 3}, away, {}) == {"web": Capacity(1, 0)}, "nor do those that are away"
    new = {"n1": NodeRecord("web", None, "new")}
    assert capacities({"web": 1}, new, {"web": 1}) == {"web": Capacity(0, 1)}


def test_stages_are_one_after_the_other():
    roles = {"a-1": "a", "a-2": "a", "b-1": "b", "b-2": "b"}
    planned = waves(roles, {"a": 2, "b": 2}, stages=(["b"], ["a"]))
    assert planned == (("b-1",), ("b-2",), ("a-1",), ("a-2",))


def test_shares():
    assert parse_shares("1, 25%,100%") == (Share(1), Share(25, True), Share(100, True))
    assert [Share(25, percent=True).of(nodes) for nodes in (0, 1, 4, 5, 8)] == [0, 1, 1, 2, 2]
    assert [Share(3).of(nodes) for nodes in (0, 2, 3, 9)] == [0, 2, 3, 3]


@pytest.mark.parametrize(
    "text",
    ["", ",", "0", "0%", "101%", "-1", "1.5", "x", "1,", "1,1", "3,1", "50%,25%", "25%,25%", "1/3",
     "1%%", "%", "9999999", "１", ",".join(str(n) for n in range(1, 30))],
)  # fmt: skip
def test_waves_that_are_none_say_why(text):
    with pytest.raises(WrongWaves) as caught:
        parse_shares(text)
    assert caught.value.exit_code == 2
    assert caught.value.why
    assert "--waves" in caught.value.next_step


def test_nothing_to_change_is_no_wave():
    assert waves({}, {"a": 3}) == waves({}, {}) == ()

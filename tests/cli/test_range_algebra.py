"""Ranges as an algebra: whatever is combined, samples, what nodes answer and what they don't."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.fleet import NodeInfo
from cli.ranges import NotTold, RangeError, is_whole_fleet, meaning_of, nodes_in
from cli.ranges.grammar import DEPTH_MAX
from cli.ranges.meaning import sample
from cli.rollout.plan import Share

NODES = {
    node.id: node
    for node in (
        *(NodeInfo(f"web-{n:02}", "web", az="ab"[n % 2]) for n in range(1, 9)),
        NodeInfo("db-01", "db", az="a", channel="canary", groups=("eu", "gold")),
        NodeInfo("db-02", "db", groups=("eu",)),
        NodeInfo("spare", None),
    )
}
WEB = [f"web-{n:02}" for n in range(1, 9)]
OPERATORS = {
    ",": frozenset.union,
    "&": frozenset.intersection,
    "!": frozenset.difference,
    "^": frozenset.symmetric_difference,
}


@dataclass
class Told:
    """What nodes answered, as cli.asked.Asked has it."""

    serves: Mapping[str, str | None] = field(default_factory=dict)
    compounds: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    pillars: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(NODES, ()))

    def states(self):
        said = {n: ("serving" if r else "idle", r) for n, r in self.serves.items()}
        return dict.fromkeys(NODES, ("silent", None)) | said

    def matches(self, compound):
        return dict.fromkeys(NODES, None) | dict(self.compounds[compound])

    def groups(self):
        return self.pillars


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("(role:web,role:db)&az:a", ["db-01", "web-02", "web-04", "web-06", "web-08"]),
        ("role:web,(role:db&az:a)", ["db-01", *WEB]),
        ("role:web,role:db&az:a", ["db-01", "web-02", "web-04", "web-06", "web-08"]),
        ("all!(role:web!web-03)", ["db-01", "db-02", "spare", "web-03"]),
        ("((web-01))", ["web-01"]),
        (" ( web-01 , web-02 ) ! web-02 ", ["web-01"]),
        ("@eu", ["db-01", "db-02"]),
        ("@eu&@gold", ["db-01"]),
        ("@web!@az:a&web-0[1-4]", ["web-01", "web-03"]),
        ("channel:canary", ["db-01"]),
        ("all!channel:stable", ["db-01"]),
        ("role:*&az:b", ["web-01", "web-03", "web-05", "web-07"]),
        ("@g*", ["db-01"]),
        ("web-[01-08/3]", ["web-01", "web-04", "web-07"]),
        ("web-0[1-2]*", ["web-01", "web-02"]),
        ("db-0?", ["db-01", "db-02"]),
        ("(db-01,db-02)/100%", ["db-01", "db-02"]),
        ("db-01/1/1", ["db-01"]),
        ("role:db/9", ["db-01", "db-02"]),
    ],
)
def test_what_is_named(expression, named):
    assert nodes_in(expression, NODES, Told()) == named


@pytest.mark.parametrize(
    ("expression", "at", "why"),
    [
        ("(web-01", 1, "never closed"),
        ("web-01,(web-02,(web-03)", 8, "never closed"),
        ("web-01)", 7, "never opened"),
        ("()", 2, "is missing here"),
        ("web-01,,web-02", 8, "is missing here"),
        ("!web-01", 1, "is missing here"),
        ("web-01 web-02", 8, "between two parts"),
        ("(web-01 web-02)", 9, "between two parts"),
        ("web-01(web-02)", 7, "between two parts"),
        ("web-[01,02", 5, "never closed"),
        ("rol:web", 1, "did you mean role:web?"),
        ("web-01,@zone:a", 8, "did you mean"),
        ("role:web/0", 9, "from 1"),
        ("role:web/101%", 9, "from 1% to 100%"),
        ("role:web/", 9, "/3, /10%"),
        ("role:web/x", 9, "/3, /10%"),
        ("/3", 1, "is missing here"),
        ("web-01&role:", 8, "a name"),
        ("web-01,salt{G@os:Debian", 12, "never closed"),
        ("salt{Q@os:Debian}", 1, "'Q@os:Debian' isn't known"),
        ("salt{N@nodegroup}", 1, "isn't known"),
        ("salt{G@os:Debian and}", 1, "don't fit together"),
        ("salt{web1 web2}", 1, "don't fit together"),
        ("salt{( web1}", 1, "don't fit together"),
        ("salt{}", 1, "don't fit together"),
        ("web-01,role:wob", 8, "role:web"),
        ("web-01&wob-01", 8, "web-01"),
        ("state:up", None, "state:idle"),
        ("(" * (DEPTH_MAX + 1) + "web-01" + ")" * (DEPTH_MAX + 1), DEPTH_MAX + 1, "parentheses"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(expression, at, why):
    with pytest.raises(RangeError) as caught:
        nodes_in(expression, NODES, Told())
    said = str(caught.value)
    assert why in said
    assert "\n" not in said
    assert caught.value.next_step
    if at is not None:
        assert f"at character {at}" in said


# The algebra, against Python's own sets

operands = st.sampled_from(
    ["all", "role:web", "role:db", "az:a", "az:b", "@eu", "@gold", "channel:canary", "*-01",
     "web-[02-05]", "spare", "web-01", "state:idle", "state:silent", "ver:1.0.0", "ver:2.*",
     "salt{G@os:Debian}"]
)  # fmt: skip
trees = st.recursive(
    operands, lambda below: st.tuples(below, st.sampled_from(list(OPERATORS)), below), max_leaves=8
)
answers = st.dictionaries(
    st.sampled_from(sorted(NODES)),
    st.sampled_from([None, "1.0.0-aaaaaaaaaaaa", "2.0.0-bbbbbbbbbbbb", "2.1.0-cccccccccccc"]),
)
matching = st.dictionaries(st.sampled_from(sorted(NODES)), st.booleans())
EVERYONE_SERVES = dict.fromkeys(NODES, "1.0.0-aaaaaaaaaaaa") | {"spare": None}


def _written(tree) -> str:
    return tree if isinstance(tree, str) else f"({_written(tree[0])}){tree[1]}({_written(tree[2])})"


def _sets(tree, told):
    if isinstance(tree, str):
        try:
            return meaning_of(tree, NODES, told).named
        except RangeError:
            return frozenset()
    return OPERATORS[tree[1]](_sets(tree[0], told), _sets(tree[2], told))


def _named(expression, told):
    try:
        return meaning_of(expression, NODES, told)
    except RangeError:
        return None  # a part of it names what isn't there


@settings(max_examples=120, deadline=None)
@given(trees, st.dictionaries(st.sampled_from(sorted(NODES)), st.booleans()))
def test_operators_are_those_of_sets(tree, matches):
    told = Told(EVERYONE_SERVES, {"G@os:Debian": dict.fromkeys(NODES, False) | matches})
    found = _named(_written(tree), told)
    if found:
        assert found.named == _sets(tree, told)
        assert not found.unsure


@settings(max_examples=120, deadline=None)
@given(trees, answers, matching, answers, matching)
def test_whoever_is_sure_stays_so_whatever_the_silent_would_have_said(
    tree, serves, matches, serves_too, matches_too
):
    """Sure of a node means: the same, had every node answered. `state:` is about the answer."""
    expression = _written(tree)
    if "state:" in expression:
        return
    found = _named(expression, Told(serves, {"G@os:Debian": matches}))
    everything = Told(
        EVERYONE_SERVES | dict(serves_too) | dict(serves),
        {"G@os:Debian": dict.fromkeys(NODES, False) | dict(matches_too) | dict(matches)},
    )
    complete = _named(expression, everything)
    if found and complete:
        assert found.named <= complete.named <= found.named | found.unsure


@settings(max_examples=60, deadline=None)
@given(trees, trees, trees)
def test_laws(a, b, c):
    told = Told(EVERYONE_SERVES, {"G@os:Debian": dict.fromkeys(NODES, True)})
    a, b, c = (f"({_written(tree)})" for tree in (a, b, c))

    def same(one: str, other: str) -> None:
        left, right = _named(one, told), _named(other, told)
        if left and right:
            assert left.named == right.named, (one, other)

    same(f"{a},{b}", f"{b},{a}")
    same(f"{a}&{b}", f"{b}&{a}")
    same(f"{a}^{b}", f"({a},{b})!({a}&{b})")
    same(f"{a}!({b},{c})", f"{a}!{b}!{c}")
    same(f"{a}&({b},{c})", f"({a}&{b}),({a}&{c})")
    same(f"all!({a},{b})", f"(all!{a})&(all!{b})")
    same(f"{a},{b}&{c}", f"({a},{b})&{c}")


# Samples

ids = st.sets(st.from_regex(r"[a-z]{1,4}-[0-9]{1,3}", fullmatch=True), max_size=40)


@settings(max_examples=100, deadline=None)
@given(ids, st.integers(1, 100), st.integers(1, 100))
def test_a_smaller_sample_is_part_of_a_larger_one(nodes, one, other):
    small, large = sorted((one, other))
    for percent in (False, True):
        inner, outer = (sample(nodes, Share(n, percent)) for n in (small, large))
        assert inner <= outer <= nodes
        assert len(outer) == Share(large, percent).of(len(nodes))
    assert sample(nodes, Share(100, percent=True)) == nodes


@settings(max_examples=100, deadline=None)
@given(ids, st.integers(1, 20), st.from_regex(r"[a-z]{1,4}-[0-9]{1,3}", fullmatch=True))
def test_a_node_that_joins_displaces_at_most_one_other(nodes, count, joins):
    before, after = (sample(some, Share(count)) for some in (nodes, nodes | {joins}))
    assert len(before - after) <= 1
    assert after - before <= {joins}


def test_samples_are_spread_and_never_change():
    """The same on every machine and in every version: a canary stays one."""
    assert nodes_in("role:web/3", NODES) == ["web-01", "web-02", "web-04"]
    many = {f"web-{n:04}": NodeInfo(f"web-{n:04}", "web") for n in range(1000)}
    low = [node for node in nodes_in("role:web/10%", many) if node < "web-0500"]
    assert 25 < len(low) < 75


# What only nodes can say


def test_by_what_nodes_answer():
    told = Told(dict.fromkeys(WEB[:4], "1.2.0-aaaaaaaaaaaa") | dict.fromkeys(WEB[4:], None))
    assert nodes_in("ver:1.2.0&role:web", NODES, told) == WEB[:4]
    assert nodes_in("ver:1.*&role:web", NODES, told) == WEB[:4]
    assert nodes_in("ver:1.2.0-aaaaaaaaaaaa&role:web", NODES, told) == WEB[:4]
    assert nodes_in("state:idle", NODES, told) == WEB[4:]
    assert nodes_in("all!state:silent", NODES, told) == WEB
    with pytest.raises(RangeError, match=r"no ver:9\.9"):
        nodes_in("ver:9.9", NODES, Told(EVERYONE_SERVES))


def test_who_does_not_answer_is_neither_named_nor_left_out():
    told = Told(dict.fromkeys(WEB, "1.2.0-aaaaaaaaaaaa"))
    for expression in ("ver:1.2.0", "all!ver:1.2.0", "ver:1.2.0^all", "ver:1.2.0/1"):
        with pytest.raises(NotTold) as caught:
            nodes_in(expression, NODES, told)
        assert caught.value.exit_code == 7
        assert "db-01" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert nodes_in("ver:1.2.0!state:silent", NODES, told) == WEB
    assert nodes_in("ver:1.2.0&role:web", NODES, told) == WEB


def test_salts_own_matcher():
    compound = "G@os:Debian and not web-03"
    told = Told(compounds={compound: {node: node == "web-01" for node in NODES}})
    assert nodes_in(f"salt{{ {compound} }}", NODES, told) == ["web-01"]
    assert nodes_in(f"web-02,salt{{{compound}}}", NODES, told) == ["web-01", "web-02"]
    with pytest.raises(NotTold):
        nodes_in(f"salt{{{compound}}}", NODES, Told(compounds={compound: {"web-01": True}}))


def test_nobody_is_asked_unless_the_expression_wants_it():
    class Nobody:
        def states(self):
            raise AssertionError

        matches = groups = states

    assert nodes_in("role:web/2!web-01", NODES, Nobody())
    assert nodes_in("@web", NODES, Nobody()) == WEB
    with pytest.raises(RangeError, match="no node can be asked here"):
        nodes_in("ver:1.0.0", NODES)


def test_the_whole_fleet_in_parentheses_and_samples():
    every = sorted(NODES)
    assert is_whole_fleet("(all)", every, NODES)
    assert is_whole_fleet("role:web,(all/100%)", every, NODES)
    assert not is_whole_fleet("(role:web,role:db),spare", every, NODES)
    told = functools.reduce(lambda a, b: f"{a},{b}", every)
    assert not is_whole_fleet(told, every, NODES)

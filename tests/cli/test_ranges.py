"""Range expressions: what they name, and what malformed ones get."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.fleet import NodeInfo
from cli.ranges import (
    EXPRESSION_BYTES_MAX,
    RangeError,
    counted,
    fold,
    is_whole_fleet,
    nodes_in,
)

NODES = {
    node.id: node
    for node in (
        NodeInfo("collector-01", "collector", az="a"),
        NodeInfo("collector-02", "collector", az="b"),
        NodeInfo("processor-01", "processor", az="a"),
        NodeInfo("processor-02", "processor", az="b"),
        NodeInfo("postprocessor-01", "postprocessor", az="a"),
        NodeInfo("spare-01", None),
    )
}
COLLECTORS, PROCESSORS = ["collector-01", "collector-02"], ["processor-01", "processor-02"]


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("collector-01", ["collector-01"]),
        (" collector-01 ", ["collector-01"]),
        ("collector-[01-02]", COLLECTORS),
        ("collector-[01,02]", COLLECTORS),
        ("role:collector", COLLECTORS),
        ("role:collector,role:processor", COLLECTORS + PROCESSORS),
        ("az:a", ["collector-01", "postprocessor-01", "processor-01"]),
        ("role:collector&az:b", ["collector-02"]),
        ("role:collector!collector-01", ["collector-02"]),
        ("az:a!role:collector", ["postprocessor-01", "processor-01"]),
        ("role:collector^az:a", ["collector-02", "postprocessor-01", "processor-01"]),
        ("*-02", ["collector-02", "processor-02"]),
        ("processor-*", PROCESSORS),
        ("*", sorted(NODES)),
        ("@*", sorted(NODES)),
        ("all", sorted(NODES)),
        (" all ", sorted(NODES)),
        ("all!role:collector&az:a", ["postprocessor-01", "processor-01"]),
        ("az:a&all", ["collector-01", "postprocessor-01", "processor-01"]),
        ("@collector", COLLECTORS),
        ("@collector!@az:a", ["collector-02"]),
        ("@processor^@az:a", ["collector-01", "postprocessor-01", "processor-02"]),
        ("spare-01", ["spare-01"]),
        ("collector-01,collector-01", ["collector-01"]),
    ],
)
def test_what_is_named(expression, named):
    assert nodes_in(expression, NODES) == named


@pytest.mark.parametrize(
    "expression",
    [
        "", " ", ",", "[", "]", "collector-[", "collector-[01", "collector-[02-01]", "[]",
        "collector-[a-b]", "@", "@nothing", "@role", "role:", "az:", "role:nothing", "az:z",
        "!", "&", "^", "collector-01!", "collector-01&processor-01", "az:a!az:a",
        "nothing-*", "all!all", "all-01", "role:all", "@all", "al", "all]",
        "x" * EXPRESSION_BYTES_MAX + "x", "collector-01\x00", "é",
        "collector-[01-99]",
        "collector-[0-999999999]", "a[1-99999]b[1-99999]c[1-99999]", "role:role:collector",
        "%s", "{}", "$(id)", "../x", "-", "--", "\n", "1-", "[1-2]-[1-2]", "@role:",
        "collector-[0-900000000]",
        "collector-[0-900000000]&collector-01", "x[1-9999]y[1-9999,7]z[1-9]!x[2-3]y[4-5]z1",
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_what_names_nothing_or_is_malformed_says_so(expression):
    with pytest.raises(RangeError) as caught:
        nodes_in(expression, NODES)
    assert caught.value.exit_code == 2
    assert caught.value.next_step
    assert "\n" not in str(caught.value)


def test_a_near_miss_is_named():
    with pytest.raises(RangeError) as caught:
        nodes_in("colector-01", NODES)
    assert "collector-01" in caught.value.why


def test_no_nodes_at_all():
    with pytest.raises(RangeError):
        nodes_in("*", {})
    with pytest.raises(RangeError):
        nodes_in("role:collector", {})


parts = st.sampled_from(
    ["all", "@collector", "collector-01", "collector-[01-02]", "role:collector",
     "role:processor", "az:a", "az:b", "*",
     "*-01", "processor-*", "spare-01"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(alphabet="colectr-[]0123,!&^*@:raz \n\\\"'%{}$", max_size=30),
        st.text(max_size=30),
        st.lists(st.tuples(st.sampled_from(",!&^"), parts), min_size=1, max_size=5).map(
            lambda pairs: "".join(sign + part for sign, part in pairs)[1:]
        ),
    )
)
def test_whatever_is_given_only_nodes_of_the_fleet_come_out(expression):
    try:
        named = nodes_in(expression, NODES)
    except RangeError:
        return
    assert named == sorted(set(named))
    assert named
    assert set(named) <= set(NODES)


def test_all_is_a_word_of_its_own():
    """Nodes and roles may have it in their names."""
    nodes = {n: NodeInfo(n, "wall") for n in ("all-01", "wall-01", "x.all", "fall")}
    for expression in ("all-01", "wall-01", "x.all", "fall", "*all", "all-[01]"):
        assert len(nodes_in(expression, nodes)) <= 2, expression
    assert len(nodes_in("role:wall", nodes)) == len(nodes_in("all", nodes)) == 4


@pytest.mark.parametrize(
    ("nodes", "folded"),
    [
        (["collector-01"], "collector-01"),
        ([*COLLECTORS, "processor-01"], "collector-[01-02],processor-01"),
        (["web-9", "web-10", "web-12"], "web-[9-10,12]"),
        (["b.x-1", "a_y"], "a_y,b.x-1"),
    ],
)
def test_folded(nodes, folded):
    assert fold(nodes) == folded
    assert fold(reversed(nodes)) == folded


@given(st.sets(st.from_regex(r"[a-z]{1,3}-?[0-9]{0,3}(-[0-9]{1,2})?", fullmatch=True), min_size=1))
@settings(max_examples=50, deadline=None)
def test_what_is_folded_names_the_same_nodes(ids):
    ids -= {"all"}
    if ids:
        assert nodes_in(fold(ids), {node: NodeInfo(node, None) for node in ids}) == sorted(ids)


def test_counted():
    assert counted(COLLECTORS) == "collector-[01-02] (2 nodes)"
    assert counted(["collector-01"]) == "collector-01 (1 node)"


@pytest.mark.parametrize(
    ("expression", "whole"),
    [
        ("all", True),
        ("*", True),
        ("@*", True),
        ("collector-01,all", True),
        ("all!spare-01,spare-01", True),
        ("all!spare-01", False),
        ("all&role:collector", False),
        ("role:collector,role:processor,role:postprocessor,spare-01", False),
        ("*-01,*-02", False),
    ],
)
def test_the_whole_fleet_by_all(expression, whole):
    assert is_whole_fleet(expression, nodes_in(expression, NODES), NODES) is whole


@pytest.mark.timeout(10)
def test_a_large_fleet():
    nodes = {f"web-{n:05}": NodeInfo(f"web-{n:05}", "web") for n in range(10_000)}
    assert len(nodes_in("role:web!web-[00000-00009]", nodes)) == 9_990

"""@groups by the pillar that a Salt master gave its nodes: read where the master keeps it."""

from __future__ import annotations

import pytest
import yaml

from cli.asked import groups_of
from cli.fleet import NodeInfo
from cli.ranges import NotTold, nodes_in

NODES = {
    "web-01": NodeInfo("web-01", "web", groups=("gold",)),
    "web-02": NodeInfo("web-02", "web"),
    "db-01": NodeInfo("db-01", "db"),
}


class Pillars:
    """What the master gave: web-01 has never asked."""

    def groups(self):
        return {"web-02": ("eu",), "db-01": ("eu", "gold")}


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("@gold", ["db-01", "web-01"]),  # web-01 by the map, whatever its pillar would say
        ("@gold!@eu,web-01", ["web-01"]),
        ("@eu!web-01", ["db-01", "web-02"]),
        ("@eu!@web", ["db-01"]),
        ("@e?!web-01", ["db-01", "web-02"]),
    ],
)
def test_groups_of_the_map_and_of_the_pillar(expression, named):
    assert nodes_in(expression, NODES, Pillars()) == named


def test_a_node_without_a_pillar_is_neither_named_nor_left_out():
    with pytest.raises(NotTold, match="web-01"):
        nodes_in("@eu", NODES, Pillars())


@pytest.mark.parametrize(
    ("pillar", "groups"),
    [
        ({"evctl": {"groups": ["eu", "gold"]}}, ("eu", "gold")),
        ({"evctl": {"groups": "eu"}}, ("eu",)),
        ({"evctl": {"groups": None}}, ()),
        ({"evctl": {}}, ()),
        ({}, ()),
    ],
)
def test_what_a_pillar_names(pillar, groups):
    assert groups_of(pillar) == groups


@pytest.fixture
def given(world):
    """Give a node its pillar, as the master's own cache has it afterwards."""
    settings = {"root_dir": str(world.root), "cachedir": str(world.root / "master/cache")}
    (world.root / "master/master").write_text(yaml.safe_dump(settings))

    def give(node: str, pillar: dict) -> None:
        from salt.cache import factory
        from salt.config import master_config

        cache = factory(master_config(str(world.root / "master/master")))
        cache.store("pillar", node, pillar)

    return give


def test_a_range_reads_what_the_master_gave(given, evctl):
    for node in ("web-01", "web-02", "db-01"):
        given(node, {"evctl": {"groups": ["eu"] if node != "web-02" else []}})
    assert evctl("range", "@eu", "--json").lines()[0]["nodes"] == ["db-01", "web-01"]
    why = evctl("range", "@eu&role:web", "--why", "web-02")
    assert "is not in it" in why.out
    assert evctl("range", "@silver").code == 2


def test_a_node_that_has_none_is_told(given, evctl):
    given("web-01", {"evctl": {"groups": ["eu"]}})
    ran = evctl("range", "@eu")
    assert ran.code == 7
    assert "E5402" in ran.err
    assert "db-01" in ran.err


def test_a_master_that_cannot_be_read_is_told_and_a_role_needs_none(evctl):
    assert evctl("range", "@eu").code == 7
    assert evctl("range", "@web").code == 0

"""What the master tells a node about itself, with a real registry and real documents."""

from __future__ import annotations

import shutil
import time

import pytest
import yaml

from cli import tokens
from cli.fleet import Fleet
from cli.node_pillar import node_pillar
from tests.rollout.documents_of import NEW, OLD, document_of


@pytest.fixture
def tokens_of(world):
    folder = world.root / "tokens"
    return {node: tokens.issue(folder, node) for node in ("web-01", "db-01", "spare-01", "gone-01")}


def _pillar(world, tokens_of, node: str) -> dict:
    grains = {tokens.GRAIN: tokens_of[node]}
    return node_pillar(node, grains, str(world.fleet), str(world.root / "tokens"))


def _publish(world) -> str:
    ran = world.evctl("-q", "release", "--channel", "stable", "--json")
    assert ran.code == 0, ran.err
    return str(ran.json()["release"])


def test_a_node_gets_its_role_its_release_and_the_releases_bounds(world, tokens_of):
    release = _publish(world)
    pillar = _pillar(world, tokens_of, "web-01")
    assert pillar["id"] == "web-01"
    assert pillar["role"] == "web"
    assert pillar["release"] == release
    assert (pillar["port"], pillar["ready_s"], pillar["drain_s"]) == (8090, 20, 3)
    assert pillar["trust"] == world.settings["trust"]
    assert pillar["rollout"] is None
    assert "problem" not in pillar


@pytest.mark.parametrize("grains", [{}, {tokens.GRAIN: "wrong"}, {tokens.GRAIN: None}])
def test_a_wrong_token_gets_nothing(world, tokens_of, grains):
    _publish(world)
    assert node_pillar("web-01", grains, str(world.fleet), str(world.root / "tokens")) == {}


def test_another_ones_token_gets_nothing(world, tokens_of):
    grains = {tokens.GRAIN: tokens_of["db-01"]}
    assert node_pillar("web-01", grains, str(world.fleet), str(world.root / "tokens")) == {}


def test_a_node_that_is_not_on_the_map_gets_nothing(world, tokens_of):
    assert _pillar(world, tokens_of, "gone-01") == {}


def test_what_a_rollout_wants_comes_before_the_channel(world, tokens_of):
    _publish(world)
    Fleet.load(world.fleet).documents().want({"web-01": "9.9.9-000000000000"})
    pillar = _pillar(world, tokens_of, "web-01")
    assert pillar["release"] is None
    assert "9.9.9-000000000000" in pillar["problem"]
    Fleet.load(world.fleet).documents().want({"web-01": None})
    assert "problem" not in _pillar(world, tokens_of, "web-01")


def test_a_rollout_at_work_on_the_node_is_named(world, tokens_of):
    _publish(world)
    documents = Fleet.load(world.fleet).documents()
    documents.lock(["web-01"], "R000007", time.time(), 60)
    assert _pillar(world, tokens_of, "web-01")["rollout"] == "R000007"
    documents.unlock("R000007")
    assert _pillar(world, tokens_of, "web-01")["rollout"] is None


def test_a_node_that_joins_in_the_middle_of_a_rollout_starts_with_what_its_channel_names(
    world, tokens_of
):
    """As the autoscaler brings one: the rollout's nodes were frozen when it was planned."""
    release = _publish(world)
    documents = Fleet.load(world.fleet).documents()
    documents.create(lambda rollout_id: document_of({"web-01": "web"}, rollout_id=rollout_id))
    documents.lock(["web-01"], "R000001", time.time(), 60)
    nodes = yaml.safe_load((world.root / "nodes.yaml").read_text())
    (world.root / "nodes.yaml").write_text(yaml.safe_dump({**nodes, "web-09": {"role": "web"}}))
    tokens_of["web-09"] = tokens.issue(world.root / "tokens", "web-09")
    pillar = _pillar(world, tokens_of, "web-09")
    assert (pillar["role"], pillar["release"], pillar["rollout"]) == ("web", release, None)
    assert _pillar(world, tokens_of, "web-01")["rollout"] == "R000001"


def test_what_may_not_be_pruned_is_what_is_wanted_and_what_a_rollout_at_work_names(
    world, tokens_of
):
    _publish(world)
    documents = Fleet.load(world.fleet).documents()
    assert _pillar(world, tokens_of, "web-01")["pinned"] == []
    documents.want({"web-01": "9.9.9-000000000000"})
    assert _pillar(world, tokens_of, "web-01")["pinned"] == ["9.9.9-000000000000"]
    documents.create(lambda rollout_id: document_of({"web-01": "web"}, rollout_id=rollout_id))
    documents.lock(["web-01"], "R000001", time.time(), 60)
    assert _pillar(world, tokens_of, "web-01")["pinned"] == [OLD, NEW, "9.9.9-000000000000"]
    documents.unlock("R000001")
    assert _pillar(world, tokens_of, "web-01")["pinned"] == ["9.9.9-000000000000"]


@pytest.mark.parametrize("body", [None, "{"])
def test_of_a_rollout_that_cannot_be_read_nobody_knows_what_it_needs(world, tokens_of, body):
    release = _publish(world)
    Fleet.load(world.fleet).documents().lock(["web-01"], "R000007", time.time(), 60)
    if body:
        (world.root / "documents/rollouts").mkdir()
        (world.root / "documents/rollouts/R000007.json").write_text(body)
    pillar = _pillar(world, tokens_of, "web-01")
    assert pillar["pinned"] is None
    assert pillar["release"] == release


def test_without_a_registry_what_was_seen_is_still_told(world, tokens_of):
    release = _publish(world)
    assert _pillar(world, tokens_of, "web-01")["release"] == release
    shutil.rmtree(world.root / "registry")
    assert _pillar(world, tokens_of, "web-01")["release"] == release


def test_without_a_registry_and_a_cache_the_problem_is_told(world, tokens_of):
    _publish(world)
    shutil.rmtree(world.root / "registry")
    shutil.rmtree(world.root / "cache")
    pillar = _pillar(world, tokens_of, "web-01")
    assert pillar["role"] == "web"
    assert pillar["release"] is None
    assert "registry" in pillar["problem"]


def test_a_release_without_the_nodes_role_is_a_problem(world, tokens_of):
    release = _publish(world)
    Fleet.load(world.fleet).documents().want({"db-01": release})
    pillar = _pillar(world, tokens_of, "db-01")
    assert pillar["release"] is None
    assert "has no role db" in pillar["problem"]


def test_no_release_yet(world, tokens_of):
    pillar = _pillar(world, tokens_of, "web-01")
    assert pillar["release"] is None
    assert "stable" in pillar["problem"]


def test_a_node_without_a_role(world, tokens_of):
    (world.root / "nodes.yaml").write_text("spare-01: {address: 10.0.0.9}")
    pillar = _pillar(world, tokens_of, "spare-01")
    assert pillar["release"] is None
    assert "no role" in pillar["problem"]
    assert pillar["address"] == "10.0.0.9"


def test_a_broken_fleet_is_told_and_not_raised(world, tokens_of):
    world.fleet.write_text("name: [")
    assert "problem" in _pillar(world, tokens_of, "web-01")


def test_broken_documents_are_told_and_not_raised(world, tokens_of):
    _publish(world)
    (world.root / "documents" / "locks.json").write_text("{")
    (world.root / "documents" / "desired.json").write_text("[]")
    assert "problem" in _pillar(world, tokens_of, "web-01")


def test_the_masters_files_are_parsed_once_for_all_polls_until_they_change(
    world, tokens_of, monkeypatch
):
    _pillar(world, tokens_of, "web-01")
    _pillar(world, tokens_of, "db-01")
    parsed = []
    load = yaml.load
    monkeypatch.setattr(yaml, "load", lambda text, kind: parsed.append(text) or load(text, kind))
    assert _pillar(world, tokens_of, "web-01")["role"] == "web"
    assert parsed == []
    nodes = Fleet.load(world.fleet).config.nodes
    text = nodes.read_text()
    nodes.write_text(text.replace("role: web", "role: site"))
    assert _pillar(world, tokens_of, "web-01")["role"] == "site"
    assert len(parsed) == 1

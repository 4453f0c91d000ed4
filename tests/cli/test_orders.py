"""The master's side of orders: what they say, that they follow each change, and hold nothing up."""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest
import yaml

import cli.asked
import cli.orders
from artifacts.objects import open_objects
from artifacts.orders import Orders, read
from artifacts.trust import load_signing_key, new_signing_key, public_key
from cli.fleet import Fleet
from cli.main import run
from cli.node_pillar import node_pillar
from cli.orders import orders_of, publish_orders
from cli.tokens import GRAIN, issue
from tests.cli.conftest import World
from tests.rollout.fake_fleet import DIED, FakeFleet

WEB = {"web-01": {"role": "web"}, "web-02": {"role": "web"}}


@pytest.fixture
def nodes(monkeypatch) -> FakeFleet:
    fake = FakeFleet.of(WEB)
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: fake)
    return fake


@pytest.fixture
def evctl(world: World, nodes, capsys, monkeypatch):
    (world.root / "nodes.yaml").write_text(yaml.safe_dump(WEB))
    new_signing_key(world.root / "orders.key")
    world.set(orders_key="orders.key")
    monkeypatch.chdir(world.app)

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["--fleet", str(world.fleet), *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


def _lying(world: World) -> Orders | None:
    public = public_key(load_signing_key(world.root / "orders.key"))
    return read(open_objects(f"file://{world.root}/registry"), "test", public)


def _release(evctl) -> str:
    code, out = evctl("-q", "release", "--channel", "stable", "--json")
    assert code == 0
    return str(json.loads(out.splitlines()[-1])["release"])


def _roll_out(evctl, release: str) -> tuple[int, str]:
    where = ("--range", "role:web", "--to", release, "--bake", "0", "--yes")
    return evctl("rollout", *where)


def test_they_follow_a_channel_a_rollout_and_a_rollback(world, nodes, evctl):
    release = _release(evctl)
    assert _lying(world).nodes == {"web-01": release, "web-02": release}
    old = dict(nodes.serving)
    Fleet.load(world.fleet).documents().want(old)
    assert _roll_out(evctl, release)[0] == 0
    assert _lying(world).nodes == {"web-01": release, "web-02": release}
    assert evctl("rollback", "--yes")[0] == 0
    assert _lying(world).nodes == old
    nodes.fails = {("web-02", "evrelease.converge"): DIED}
    assert _roll_out(evctl, release)[0] == 5
    assert _lying(world).nodes == old, "what was rolled back is ordered nowhere"


def test_their_time_is_not_later_than_what_they_say(world, nodes, evctl):
    release = _release(evctl)
    before = time.time()
    Fleet.load(world.fleet).documents().want({"web-01": "9.9.9-000000000000"})
    assert publish_orders(Fleet.load(world.fleet), world.root / "orders.key")
    lying = _lying(world)
    assert before - 0.001 <= lying.at <= time.time()
    assert lying.nodes == {"web-01": "9.9.9-000000000000", "web-02": release}
    assert not publish_orders(Fleet.load(world.fleet), world.root / "orders.key"), "the same"


def test_they_say_what_the_pillar_says(world, nodes, evctl):
    _release(evctl)
    fleet = Fleet.load(world.fleet)
    fleet.documents().want({"web-01": "9.9.9-000000000000"})
    ordered = orders_of(fleet, 1.0).nodes
    for node in WEB:
        token = issue(world.root / "tokens", node)
        pillar = node_pillar(node, {GRAIN: token}, str(world.fleet), str(world.root / "tokens"))
        public = public_key(load_signing_key(world.root / "orders.key"))
        assert pillar["orders"] == {"fleet": "test", "trust": public}
        assert abs(pillar["at"] - time.time()) < 60
        if pillar["release"]:
            assert ordered[node] == pillar["release"]


def test_without_their_key_nodes_still_have_their_pillar(world, nodes, evctl):
    release = _release(evctl)
    (world.root / "orders.key").unlink()
    token = issue(world.root / "tokens", "web-01")
    pillar = node_pillar("web-01", {GRAIN: token}, str(world.fleet), str(world.root / "tokens"))
    assert (pillar["release"], pillar["orders"]) == (release, None)


def test_a_registry_that_is_gone_holds_no_rollback_up(world, nodes, evctl):
    release = _release(evctl)
    assert _roll_out(evctl, release)[0] == 0
    shutil.rmtree(world.root / "registry")
    code, shown = evctl("rollback", "--yes")
    assert code == 0
    assert "? orders: E2003" in shown


def test_a_registry_that_hangs_holds_no_rollout_up(world, nodes, evctl, monkeypatch):
    release = _release(evctl)
    over = threading.Event()
    monkeypatch.setattr(cli.orders, "CLOSE_S", 0.2)
    monkeypatch.setattr(cli.orders, "publish", lambda *_: over.wait(30))
    code, shown = _roll_out(evctl, release)
    over.set()
    assert code == 0
    assert "? orders: the registry took them not within 0.2 s" in shown


def test_a_fleet_without_a_key_for_them_publishes_none(world, nodes, evctl):
    world.set(orders_key=None)
    release = _release(evctl)
    assert _roll_out(evctl, release)[0] == 0
    assert not (world.root / "registry/orders").exists()

"""Channels in their order: what is proven before a release goes on, and whom it changes."""

from __future__ import annotations

import json

import pytest
import yaml

import cli.asked
from cli.fleet import Fleet, FleetError, NodeInfo
from cli.main import run
from cli.promotion import to_hold
from cli.rollout.documents import Desired
from cli.salt_client import SILENT
from cli.wanted import wanted_release
from tests.cli.conftest import World, commit
from tests.rollout.fake_fleet import FakeFleet

NODES = {
    "web-01": {"role": "web", "channel": "canary"},
    "web-02": {"role": "web"},
    "web-03": {"role": "web"},
}


@pytest.fixture
def nodes(monkeypatch) -> FakeFleet:
    fake = FakeFleet.of(NODES)
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: fake)
    return fake


@pytest.fixture
def evctl(world: World, nodes, capsys, monkeypatch):
    (world.root / "nodes.yaml").write_text(yaml.safe_dump(NODES))
    monkeypatch.chdir(world.app)

    def call(*arguments: str) -> tuple[int, dict]:
        capsys.readouterr()
        code = run(["--fleet", str(world.fleet), *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


@pytest.fixture
def releases(world: World, evctl) -> tuple[str, str]:
    """Two: the first one on stable."""
    code, first = evctl("release", "--channel", "stable")
    assert code == 0
    (world.app / "more.txt").write_text("more")
    file = world.app / "evctl.yaml"
    file.write_text(file.read_text().replace("1.0.0", "1.1.0"))
    commit(world.app, "another")
    return first["release"], world.release()


def _channel(world: World, name: str) -> dict[str, str]:
    return Fleet.load(world.fleet).registry().channel(name)


def _wanted(world: World) -> dict[str, str | None]:
    fleet = Fleet.load(world.fleet)
    return {node.id: wanted_release(fleet, node) for node in fleet.nodes().values()}


def test_from_canary_to_stable(world, nodes, evctl, releases):
    first, second = releases
    nodes.serving = dict.fromkeys(NODES, first)
    code, said = evctl("promote", second, "canary", "--yes")
    assert (code, said["done"], said["held"]) == (0, True, {})
    assert _channel(world, "canary")["web"] == second
    assert _wanted(world) == {"web-01": second, "web-02": first, "web-03": first}

    code, said = evctl("promote", second, "stable", "--yes")
    assert (code, said["error"]["code"]) == (4, "E4302"), "no canary serves it yet"
    assert "web-01" in said["error"]["what"]
    where = ("--range", "channel:canary", "--to", second, "--bake", "0", "--yes")
    assert evctl("rollout", *where)[0] == 0
    code, said = evctl("promote", second, "stable", "--reason", "a day", "--yes")
    assert code == 0
    assert said["before"]["web"] == first
    assert said["held"] == {"web-02": first, "web-03": first}
    assert _channel(world, "stable")["web"] == second
    assert _wanted(world) == {"web-01": second, "web-02": first, "web-03": first}, "as they are"
    code, said = evctl("promote", second, "stable", "--yes")
    assert (code, said["done"]) == (0, False), "nothing to do"

    code, listed = evctl("releases")
    assert {name: roles["web"] for name, roles in listed["channels"].items()} == {
        "canary": second, "stable": second}  # fmt: skip
    told = [e for e in evctl("history")[1]["entries"] if e["event"] == "channel"]
    assert [(e["what"]["channel"], e["why"]) for e in told] == [
        ("stable", "a day"), ("canary", ""), ("stable", "")]  # fmt: skip


def test_the_order_is_kept(world, nodes, evctl, releases):
    first, second = releases
    assert evctl("promote", first, "canary", "--yes")[0] == 0
    code, said = evctl("promote", second, "stable", "--yes")
    assert (code, said["error"]["code"]) == (4, "E4301")
    assert first in said["error"]["why"]
    assert f"evctl promote {second} canary" in said["error"]["next"]
    code, said = evctl("release", "--channel", "stable")
    assert (code, said["error"]["code"]) == (4, "E4301"), "nor past it with a release"
    assert _channel(world, "stable")["web"] == first


def test_a_fleet_without_canaries_promotes_at_once(world, nodes, evctl, releases):
    _, second = releases
    (world.root / "nodes.yaml").write_text("web-02: {role: web}")
    assert evctl("promote", second, "stable", "--yes")[0] == 0
    assert _channel(world, "stable")["web"] == second
    assert not nodes.asked


def test_a_canary_that_is_silent_proves_nothing(world, nodes, evctl, releases):
    _, second = releases
    assert evctl("promote", second, "canary", "--yes")[0] == 0
    nodes.fails = {("web-01", "evrelease.status"): SILENT}
    code, said = evctl("promote", second, "stable", "--yes")
    assert (code, said["error"]["code"]) == (7, "E4005")


def test_a_plan_and_a_question_change_nothing(world, nodes, evctl, releases):
    first, second = releases
    nodes.serving["web-01"] = second
    code, said = evctl("promote", second, "stable", "--plan")
    assert (code, said["done"], said["after"]["web"]) == (0, False, second)
    assert evctl("promote", second, "stable")[0] == 2, "nobody to ask"
    assert _channel(world, "stable")["web"] == first
    assert _wanted(world)["web-02"] == first
    assert Fleet.load(world.fleet).documents().desired().nodes == {}


@pytest.mark.parametrize(
    ("release", "channel", "code"),
    [("9.9.9-000000000000", "stable", "E2102"), (None, "stabel", "E5201"), (None, "", "E5201")],
)
def test_what_is_not_there(evctl, releases, release, channel, code):
    exit_code, said = evctl("promote", release or releases[1], channel, "--yes")
    assert (exit_code, said["error"]["code"]) == (2, code)
    assert said["error"]["next"]


def test_a_release_to_a_channel_that_is_in_use_changes_no_node_by_itself(world, evctl, releases):
    first, _ = releases
    (world.app / "more.txt").write_text("still more")
    commit(world.app, "a third")
    code, third = evctl("release", "--channel", "stable")
    assert code == 0
    assert _channel(world, "stable")["web"] == third["release"]
    assert _wanted(world)["web-02"] == first


def test_whom_a_change_would_change():
    nodes = {
        "told": NodeInfo("told", "web"),
        "free": NodeInfo("free", "web"),
        "same": NodeInfo("same", "api"),
        "new": NodeInfo("new", "job"),
        "spare": NodeInfo("spare", None),
    }
    before, after = {"web": "1", "api": "1"}, {"web": "2", "api": "1", "job": "2"}
    assert to_hold(nodes, Desired({"told": "0"}, {}), before, after) == {"free": "1"}
    assert to_hold(nodes, Desired({}, {"web": "0"}), before, after) == {}


def test_channels_of_ones_own(world):
    world.set(channels=["dev", "staging", "production"])
    (world.root / "nodes.yaml").write_text("{a: {role: web, channel: dev}, b: {role: web}}")
    nodes = Fleet.load(world.fleet).nodes()
    assert (nodes["a"].channel, nodes["b"].channel) == ("dev", "production")
    (world.root / "nodes.yaml").write_text("a: {channel: stable}")
    with pytest.raises(FleetError, match="'stable' isn't a channel"):
        Fleet.load(world.fleet).nodes()


@pytest.mark.parametrize("channels", ["stable", ["a", "a"], [3], ["a b"], {"a": 1}])
def test_channels_that_are_none(world, channels):
    world.set(channels=channels)
    with pytest.raises(FleetError, match="`channels`"):
        Fleet.load(world.fleet)

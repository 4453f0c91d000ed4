"""`evctl drift`: what nodes say was changed, in words, and mending it one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

import cli.asked
from artifacts.trust import new_signing_key
from cli.commands.drift import drift_of
from cli.fleet import Fleet
from cli.main import run
from cli.salt_client import Return
from tests.cli.conftest import World

R1, R2 = "1.0.0-aaaaaaaaaaaa", "1.1.0-bbbbbbbbbbbb"
NODES = ("web-01", "web-02", "web-03")


@dataclass
class Changed:
    """Nodes that were changed by hand, until they are mended. stuck: that can't be."""

    files: dict[str, list[str]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    mended: list[str] = field(default_factory=list)
    locked: list[dict[str, str]] = field(default_factory=list)
    world: World | None = None

    def call(self, nodes, function, kwargs, timeout_s) -> Iterator[Return]:
        for node in nodes:
            if node in self.silent:
                yield Return(node, error="unreachable")
            elif function == "evrelease.drift":
                said = {"release": R1, "current": R1, "more": [], "states": []}
                said["files"] = self.files.get(node, [])
                yield Return(node, data={"ok": True, "result": said})
            elif node in self.stuck:
                error = {"code": "E1205", "what": "nothing to stand on", "next": "evctl rollout"}
                yield Return(node, data={"ok": False, "error": error})
            else:
                assert function == "evrelease.mend"
                assert self.world
                documents = Fleet.load(self.world.fleet).documents()
                self.locked.append(documents.holders(time.time()))
                self.files.pop(node, None)
                self.mended.append(node)
                yield Return(node, data={"ok": True, "result": {"mended": R1}})


@pytest.fixture
def nodes(world: World, monkeypatch) -> Changed:
    (world.root / "nodes.yaml").write_text(yaml.safe_dump({n: {"role": "web"} for n in NODES}))
    Fleet.load(world.fleet).documents().want(dict.fromkeys(NODES, R1))
    made = Changed(world=world)
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: made)
    return made


@pytest.fixture
def evctl(world: World, nodes, capsys):
    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["--fleet", str(world.fleet), *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


def _json(shown: str) -> Any:
    return json.loads(next(line for line in shown.splitlines() if line.startswith("{")))


def test_nothing_was_changed(evctl):
    code, shown = evctl("drift")
    assert code == 0
    assert shown.count("right") == 3


def test_what_was_changed_is_told_node_by_node(evctl, nodes):
    nodes.files = {"web-02": ["app/x.py was changed", "app/y.py was added"]}
    code, shown = evctl("drift")
    assert code == 3
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        f"✔ web-01 right {R1}",
        f"✗ web-02 drifted {R1}: app/x.py was changed",
        f"{R1}: app/y.py was added",
        f"✔ web-03 right {R1}",
    ]
    code, shown = evctl("drift", "--range", "web-01", "--json")
    right = {"state": "right", "serves": R1, "should": R1, "rollout": None, "drift": []}
    assert (code, _json(shown)) == (0, {"nodes": {"web-01": right}})
    assert not nodes.mended


def test_who_is_silent_is_not_fine(evctl, nodes):
    nodes.silent = {"web-03"}
    code, shown = evctl("drift")
    assert code == 7
    assert "? web-03" in shown


def test_it_is_mended_when_told_and_only_there(evctl, nodes, world):
    nodes.files = {"web-01": ["app/x.py was changed"], "web-03": ["app/x.py was changed"]}
    code, _ = evctl("drift", "--mend")
    assert code == 2, "nobody to ask"
    assert not nodes.mended
    code, _ = evctl("drift", "--mend", "--reason", "a hotfix", "--yes")
    assert code == 0
    assert nodes.mended == ["web-01", "web-03"]
    assert all(set(held) == {"web-01", "web-03"} for held in nodes.locked)
    assert Fleet.load(world.fleet).documents().holders(time.time()) == {}
    entry = _json(evctl("history", "--json")[1])["entries"][0]
    assert (entry["event"], entry["why"]) == ("mend", "a hotfix")
    assert evctl("drift")[0] == 0


def test_one_that_can_not_be_mended_ends_it(evctl, nodes, world):
    nodes.files = {node: ["app/x.py was changed"] for node in NODES}
    nodes.stuck = {"web-02"}
    code, shown = evctl("drift", "--mend", "--yes")
    assert code == 6
    assert "E4401 web-02 was not mended" in shown
    assert "E1205 nothing to stand on" in shown
    assert nodes.mended == ["web-01"]
    assert Fleet.load(world.fleet).documents().holders(time.time()) == {}


def test_what_a_rollout_is_at_work_on_is_left_alone(evctl, nodes, world):
    nodes.files = {"web-01": ["app/x.py was changed"]}
    Fleet.load(world.fleet).documents().lock(["web-01"], "R000001", time.time(), 60.0)
    code, shown = evctl("drift", "--mend", "--yes")
    assert code == 0
    assert "R000001 is at work on it" in shown
    assert not nodes.mended


def test_mending_publishes_what_nodes_should_run(evctl, nodes, world):
    new_signing_key(world.root / "orders.key")
    world.set(orders_key="orders.key")
    assert evctl("drift", "--mend", "--yes")[0] == 0
    assert (world.root / "registry/orders/test.json").exists()


@pytest.mark.parametrize(
    ("changes", "wanted", "drifted"),
    [
        ({}, R1, []),
        ({}, None, [f"serves {R1}, should nothing"]),
        ({}, R2, [f"serves {R1}, should {R2}"]),
        ({"release": None}, R1, [f"serves nothing, should {R1}"]),
        ({"release": None}, None, []),
        ({"current": R2}, R1, [f"its link `current` names {R2}, not what serves"]),
        ({"current": None}, R1, ["its link `current` names nothing, not what serves"]),
        ({"more": [R2]}, R1, [f"{R2} runs beside it"]),
        ({"states": ["/etc/x: would change"]}, R1, ["/etc/x: would change"]),
    ],
)
def test_in_words(changes, wanted, drifted):
    said = {"release": R1, "current": R1, "more": [], "files": [], "states": []}
    assert drift_of(said | changes, wanted) == drifted

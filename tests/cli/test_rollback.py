"""`evctl rollback` over a fleet of eight: no canaries, floors that hold, and the whole way back."""

from __future__ import annotations

import json

import pytest
import yaml

from cli.fleet import Fleet
from cli.salt_client import SILENT
from tests.rollout.documents_of import OLD

WEB = [f"web-{n:02}" for n in range(1, 9)]
CONVERGE, STATUS = "evrelease.converge", "evrelease.status"


@pytest.fixture
def rolled_out(world, nodes, evctl, new):
    """Eight nodes that a rollout has changed, with canaries and a floor of six."""
    (world.root / "nodes.yaml").write_text(yaml.safe_dump({node: {"role": "web"} for node in WEB}))
    nodes.serving.update(dict.fromkeys(WEB, OLD))
    options = ["--canary", "1", "--floor", "web=6", "--bake", "0", "--yes"]
    ran = evctl("rollout", "--range", "role:web", "--to", new, *options)
    assert ran.code == 0, ran.err
    assert [len(wave) for wave in _document(world, "R000001").waves] == [1, 2, 2, 2, 1]
    nodes.asked.clear()
    return new


def _document(world, rollout_id: str):
    return Fleet.load(world.fleet).documents().load(rollout_id).document


def test_it_has_no_canaries_and_keeps_the_floor_of_what_it_takes_back(
    rolled_out, world, nodes, evctl
):
    assert evctl("rollback", "--yes").code == 0
    back = _document(world, "R000002")
    assert [len(wave) for wave in back.waves] == [2, 2, 2, 2]
    assert (back.capacity["web"].serving, back.capacity["web"].floor) == (8, 6)
    assert {nodes.serving[node] for node in WEB} == {OLD}
    assert most_at_once(nodes.asked) == 2
    assert (back.gates, back.gate_command, back.probe) == ({}, (), None), "it is the way back"
    assert back.limits.bake_s == 0
    assert "evrelease.prefetch" not in {function for _, function, _ in nodes.asked}
    again = evctl("rollback", "--yes", "--json")
    assert json.loads(again.out)["state"] == "unchanged", "it goes no further back"


def most_at_once(asked: list[tuple[str, str, str | None]]) -> int:
    """How many swapped before any of them was looked at."""
    most = at_once = 0
    for _, function, _ in asked:
        at_once = at_once + 1 if function == CONVERGE else 0
        most = max(most, at_once)
    return most


def test_a_node_that_is_off_counts_against_the_floor_and_keeps_nobody_from_going_back(
    rolled_out, world, nodes, evctl
):
    nodes.fails = {("web-03", function): SILENT for function in (STATUS, CONVERGE)}
    back = evctl("rollback", "--yes")
    assert back.code == 7
    assert "not all nodes came along: web-03" in back.err
    assert most_at_once([one for one in nodes.asked if one[0] != "web-03"]) == 1
    assert {nodes.serving[node] for node in WEB if node != "web-03"} == {OLD}
    assert Fleet.load(world.fleet).documents().desired().nodes["web-03"] == OLD


@pytest.mark.parametrize("is_back", [True, False])
def test_a_node_that_came_along_by_itself_goes_back_too(rolled_out, world, nodes, evctl, is_back):
    """It was off when it was rolled out, so it was never asked to swap."""
    assert evctl("rollback", "--yes").code == 0
    nodes.fails = {("web-08", STATUS): SILENT, ("web-08", CONVERGE): SILENT}
    options = ["--canary", "0", "--max-unreachable", "1", "--yes"]
    assert evctl("rollout", "--range", "role:web", "--to", rolled_out, *options).code == 7
    assert Fleet.load(world.fleet).documents().desired().nodes["web-08"] == rolled_out
    if is_back:
        nodes.serving["web-08"] = rolled_out
        nodes.fails = {}
    assert evctl("rollback", "--yes").code == (0 if is_back else 7)
    assert Fleet.load(world.fleet).documents().desired().nodes == dict.fromkeys(WEB, OLD)
    assert not is_back or nodes.serving["web-08"] == OLD


def test_of_some_nodes_the_others_stay(rolled_out, nodes, evctl):
    assert evctl("rollback", "--range", "web-[01-03]", "--yes").code == 0
    assert [nodes.serving[node] == OLD for node in WEB] == [True] * 3 + [False] * 5


def test_two_operators_the_second_is_told_who_has_it(rolled_out, world, nodes, evctl, monkeypatch):
    told = []

    def second(_node: str, function: str, _release: str | None) -> None:
        if function == CONVERGE and not told:
            told.append(None)
            told[0] = evctl("rollback", "--range", "web-08", "--yes")

    nodes.before_each = second
    monkeypatch.setenv("SUDO_USER", "ada")
    evctl("rollback", "--yes")
    (refused,) = told
    assert refused.code == 8
    assert "is locked by R000002" in refused.err
    assert "it is of ada; " in refused.err
    assert "evctl rollouts R000002" in refused.err


def test_a_driver_that_died_is_told_and_another_goes_on(rolled_out, world, nodes, evctl):
    """It is gone in the middle, without a word; another one goes on where it was."""

    class Gone(BaseException):
        pass

    def die(node: str, function: str, _release: str | None) -> None:
        if (node, function) == ("web-03", CONVERGE):
            nodes.before_each = lambda *_: None
            raise Gone

    nodes.before_each = die
    with pytest.raises(Gone):
        evctl("rollback", "--yes")
    assert "R000002: running, and nobody drives it" in evctl().out
    assert "next: evctl rollout resume R000002" in evctl().out
    shown = evctl("rollouts", "R000002").out
    assert "nobody drives it · next: evctl rollout resume R000002\n" in shown, "it is the way back"
    refused = evctl("rollout", "--range", "web-01", "--to", rolled_out, "--yes")
    assert refused.code == 8
    assert "it is running and nobody drives it" in refused.err
    asked = len(nodes.asked)
    assert evctl("rollout", "resume", "R000002").code == 0
    again = [node for node, function, _ in nodes.asked[asked:] if function == CONVERGE]
    assert not {"web-01", "web-02"} & set(again), "what was done is not done again"
    assert {nodes.serving[node] for node in WEB} == {OLD}

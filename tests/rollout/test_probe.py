"""The app's own probe in a rollout: who is asked, with what, and what its answer does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from artifacts.manifest import Manifest
from artifacts.objects import open_objects
from cli.fleet import NodeInfo
from cli.rollout import control
from cli.rollout.chosen_gates import ADDRESSES_MAX, gates_of, probe_of
from cli.rollout.document import Probe, decode, encode
from cli.rollout.documents import Documents
from cli.rollout.drive import drive, start
from cli.rollout.errors import NoSuchGate
from cli.rollout.probe import ask_probe
from cli.salt_client import SILENT
from tests.rollout.documents_of import NEW, document_of
from tests.rollout.fake_fleet import DIED, FakeFleet

ROLES = {"web-1": "web", "web-2": "web"}
TOOL = "evrelease.tool"
PROBE = Probe("events", ("probe", "http://10.0.0.1:80/"), ("db-1", "db-2"))
GOOD = {"exit": 0, "out": "9 sent, 0 lost, 0 duplicated\n", "err": ""}
LOST = {"exit": 1, "out": "9 sent, 2 lost, 0 duplicated\n", "err": ""}
LATE = {"exit": 75, "out": "9 sent, 0 lost, 0 duplicated, 3 still waiting\n", "err": ""}


def _manifest(**roles: dict[str, Any]) -> Manifest:
    return Manifest(
        *(NEW, "shop", "1.1.0", "3.11", "c0ffee", "2026-01-01T00:00:00Z", "b" * 64, 1, {}, {}),
        roles={name: {"listen": 80, **facts} for name, facts in roles.items()},
    )


TOOLS = {"events": {"command": ["x"], "says": "x", "probe": ["probe", "http://{web}/"]}}
SHOP = _manifest(
    web={"gates": {"errors": {"bad": "b", "all": "a", "at_most": 0.1}}},
    db={"gates": {"age": {"gauge": "g", "at_most": 60}}, "tools": TOOLS},
)
FLEET = {
    node.id: node
    for node in (
        NodeInfo("web-1", "web", address="10.0.0.1"),
        NodeInfo("web-2", "web", address="fd00::2"),
        NodeInfo("web-3", "web"),
        NodeInfo("db-1", "db", address="10.0.0.9"),
        NodeInfo("spare", None),
    )
}


def test_a_rollout_has_every_gate_unless_some_are_chosen():
    def names(*chosen: str) -> list[str]:
        return [gate.name for gates in gates_of(SHOP, chosen).values() for gate in gates]

    assert names() == names("all") == ["errors", "age"]
    assert names("age") == ["age"]
    assert names("none") == names("probe") == []
    with pytest.raises(NoSuchGate, match="no gate speed"):
        names("speed")
    with pytest.raises(NoSuchGate, match="no gate probe"):
        gates_of(_manifest(web={}), ["probe"])


def test_a_word_with_a_role_in_it_stands_for_each_of_its_nodes_those_that_change_first():
    probe = probe_of(SHOP, (), FLEET, ["web-2"])
    assert probe == Probe(
        "events", ("probe", "http://[fd00::2]:80/", "http://10.0.0.1:80/"), ("db-1",)
    )
    assert probe_of(SHOP, ["probe"], FLEET, ["web-2"]) == probe
    assert probe_of(SHOP, ["errors"], FLEET, []) is None
    assert probe_of(SHOP, ["none"], FLEET, []) is None
    assert probe_of(_manifest(web={}), (), FLEET, []) is None
    many = FLEET | {f"web-{n}": NodeInfo(f"web-{n}", "web", address="10.1.1.1") for n in range(99)}
    assert len(probe_of(SHOP, (), many, []).arguments) == 1 + ADDRESSES_MAX


def test_a_fleet_in_which_it_cannot_run_says_so():
    no_db = {name: node for name, node in FLEET.items() if node.role != "db"}
    assert "no node of role db" in probe_of(SHOP, (), no_db, []).missing
    no_address = {name: node for name, node in FLEET.items() if not node.address} | {
        "db-1": FLEET["db-1"]
    }
    missing = probe_of(SHOP, (), no_address, [])
    assert "is a http://{web}/" in missing.missing
    assert ask_probe(FakeFleet({}), missing) is None


def test_a_document_keeps_it_and_so_does_its_digest():
    document = document_of(ROLES)
    with_probe = document_of(ROLES, probe=PROBE)
    assert decode(encode(with_probe)) == with_probe
    assert with_probe.plan != document.plan


@pytest.mark.parametrize(("said", "state"), [(GOOD, "passed"), (LOST, "failed"), (LATE, "held")])
def test_its_exit_code_is_its_verdict_and_its_last_line_is_told(said, state):
    fleet = FakeFleet.of(["db-1", "db-2"], tool=lambda *_: said)
    verdict = ask_probe(fleet, PROBE)
    assert (verdict.state, verdict.says) == (state, f"probe: {said['out'].strip()}")
    assert [node for node, *_ in fleet.asked] == ["db-1"]


@pytest.mark.parametrize("wrong", [SILENT, DIED], ids=["silent", "refuses"])
def test_another_node_is_asked_when_one_cannot_and_without_any_nothing_is_known(wrong):
    fleet = FakeFleet.of(["db-1", "db-2"], tool=lambda *_: GOOD, fails={("db-1", TOOL): wrong})
    assert ask_probe(fleet, PROBE).state == "passed"
    fleet.fails[("db-2", TOOL)] = wrong
    verdict = ask_probe(fleet, PROBE)
    assert verdict.state == "held"
    assert "nothing is known: db-2: " in verdict.says


def _roll_out(tmp_path: Path, fleet: FakeFleet):
    (tmp_path / "documents").mkdir()
    documents = Documents(open_objects(f"file://{tmp_path}/documents"))
    start(documents, lambda id_: document_of(ROLES, rollout_id=id_, probe=PROBE), time.time)
    told: list[str] = []

    def progress(_document, event, facts):
        if event == "answer" and facts["action"] == "check":
            told.extend((facts.get("result") or {}).get("gates", []))

    return documents, drive(documents, fleet, "R000001", progress), told


def test_every_wave_is_probed_and_its_figures_are_told(tmp_path):
    fleet = FakeFleet.of([*ROLES, "db-1"], tool=lambda *_: GOOD)
    _, ended, told = _roll_out(tmp_path, fleet)
    assert ended.state == "converged"
    assert [node for node, function, _ in fleet.asked if function == TOOL] == ["db-1", "db-1"]
    assert told == ["probe: 9 sent, 0 lost, 0 duplicated"] * 2


def test_a_release_that_loses_events_goes_back_at_its_canary(tmp_path):
    fleet = FakeFleet.of([*ROLES, "db-1"], tool=lambda *_: LOST)
    _, ended, _ = _roll_out(tmp_path, fleet)
    assert ended.state == "rolled_back"
    assert ended.nodes["web-1"].error["why"] == "probe: 9 sent, 2 lost, 0 duplicated"
    assert fleet.swapped() == ["web-1"]


def test_events_that_still_wait_hold_it_and_it_goes_on_when_they_are_through(tmp_path):
    fleet = FakeFleet.of([*ROLES, "db-1"], tool=lambda *_: LATE)
    documents, held, _ = _roll_out(tmp_path, fleet)
    assert held.state == "paused"
    assert "3 still waiting" in held.note
    fleet.tool = lambda *_: GOOD
    documents.change(documents.load("R000001"), control.resume)
    assert drive(documents, fleet, "R000001", lambda *_: None).state == "converged"

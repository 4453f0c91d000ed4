"""`rollout`, `rollback` and `status` as commands, over a fake fleet at Salt's place.

Registry, documents, plan, locks and decisions are real.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from cli.fleet import Fleet
from cli.salt_client import SILENT
from tests.cli.conftest import REPOSITORY, RanHere
from tests.rollout.documents_of import OLD
from tests.rollout.fake_fleet import DIED

CONVERGE, STATUS = "evrelease.converge", "evrelease.status"
WEB = ["web-01", "web-02"]


def _rollout(evctl, new: str, *more: str) -> RanHere:
    return evctl("rollout", "--range", "role:web", "--to", new, "--bake", "0", *more)


def test_a_plan_changes_nothing_and_has_an_exit_code_of_its_own(evctl, nodes, new):
    ran = _rollout(evctl, new, "--plan")
    assert ran.code == 0
    assert f"{OLD} → {new}   2 nodes" in ran.err
    assert "waves 1 / 1" in ran.err
    assert "wave 2/2  web-02 (1 node)" in ran.err
    assert _rollout(evctl, new, "--plan", "--exit-code").code == 3
    planned = _rollout(evctl, new, "--plan", "--json")
    said = json.loads(planned.out)
    assert said.pop("plan") in ran.err, "the digest of what would be carried out"
    assert said == {
        "silent": [],
        "state": "planned",
        "folded": "web-[01-02]",
        "count": 2,
        "nodes": {node: {"role": "web", "from": OLD, "to": new} for node in WEB},
        "waves": [["web-01"], ["web-02"]],
        "limits": {
            "prefetch_s": 300.0, "swap_s": 120.0, "status_s": 15.0, "bake_s": 0.0, "max_fail": 0,
            "max_unreachable": 0, "hold_s": 60.0,
        },
        "capacity": {"web": {"serving": 2, "floor": 1}},
        "closed": [],
        "gates": {},
        "gate_command": [],
        "probe": None,
        "checks": [f"{OLD}: its schemas are not known here"],
        "estimate_s": 14.0,
        "swaps": 2,
    }  # fmt: skip
    assert {function for _, function, _ in nodes.asked} == {STATUS}
    assert json.loads(evctl("rollouts", "--json").out) == {"rollouts": []}


def test_canaries_and_waves_are_planned_as_asked(evctl, world, nodes, new):
    every = {f"web-{n:02}": {"role": "web"} for n in range(1, 9)}
    (world.root / "nodes.yaml").write_text(yaml.safe_dump(every))
    nodes.serving.update(dict.fromkeys(every, OLD))

    def sizes(*more: str) -> list[int]:
        planned = json.loads(_rollout(evctl, new, "--plan", "--json", *more).out)
        return [len(wave) for wave in planned["waves"]]

    assert sizes() == [1, 4, 3]
    assert sizes("--canary", "2") == [2, 4, 2]
    assert sizes("--canary", "0") == [4, 4]
    assert sizes("--waves", "1,25%,50%") == [1, 1, 2, 4]
    assert sizes("--waves", "100%", "--canary", "0") == [4, 4], "never more than half"
    done = _rollout(evctl, new, "--yes", "--json", "--canary", "0", "--waves", "1,3").lines()[-1]
    assert [len(wave) for wave in done["waves"]] == [1, 2, 4, 1]
    assert {nodes.serving[node] for node in every} == {new}


@pytest.mark.parametrize("waves", ["", "0", "50%,25%", "1/3/8", "x"])
def test_waves_that_are_none(evctl, nodes, new, waves):
    ran = _rollout(evctl, new, "--waves", waves, "--yes")
    assert ran.code == 2
    assert "E4007" in ran.err
    assert "next: for example: --waves 1,25%,50%,100%" in ran.err
    assert not nodes.asked


@pytest.mark.parametrize("command", ["rollout", "rollback"])
@pytest.mark.parametrize("more", [["--plan"], ["--yes"], ["--yes", "--json"], ["--plan", "--json"]])
def test_what_a_range_names_is_shown_before_anything_else(evctl, nodes, new, command, more):
    _rollout(evctl, new, "--yes")
    nodes.serving.update(dict.fromkeys(WEB, OLD if command == "rollout" else new))
    where = ["--range", "web-0[1-2]"]
    ran = _rollout(evctl, new, *more) if command == "rollout" else evctl(command, *where, *more)
    assert ran.code == 0
    assert ran.err.splitlines()[0] == "Range web-[01-02] (2 nodes)"
    nodes.fails = {("web-01", STATUS): SILENT}
    nodes.serving.update(dict.fromkeys(WEB, OLD if command == "rollout" else new))
    ran = _rollout(evctl, new, *more) if command == "rollout" else evctl(command, *where, *more)
    assert ran.code == (0 if command == "rollback" else 7), "it should serve that already"
    assert ran.err.splitlines()[0] == "Range web-[01-02] (2 nodes)", "also when nodes are silent"


def _only_web(world) -> None:
    (world.root / "nodes.yaml").write_text(yaml.safe_dump({node: {"role": "web"} for node in WEB}))


@pytest.mark.parametrize("where", ["all", "*", "@*", "web-01,all"])
def test_the_whole_fleet_wants_yes_even_on_a_terminal(evctl, world, nodes, terminal, where):
    _only_web(world)
    new = world.release()
    terminal("y\n" * 3)
    arguments = ["rollout", "--range", where, "--to", new, "--bake", "0"]
    ran = evctl(*arguments)
    assert ran.code == 2
    assert "whole fleet: add --yes" in ran.err
    assert ran.err.index("Range web-[01-02] (2 nodes)") < ran.err.index("Plan ")
    assert not nodes.swapped()
    assert evctl(*arguments, "--plan").code == 0
    assert evctl(*arguments, "--yes").code == 0
    back = evctl("rollback", "--range", where)
    assert back.code == 2
    assert "whole fleet: add --yes" in back.err
    assert evctl("rollback", "--range", where, "--yes").code == 0


@pytest.mark.parametrize("where", ["role:web", "web-[01-02]", "all!web-02"])
def test_nodes_that_are_named_are_asked_for_on_a_terminal(evctl, world, nodes, terminal, where):
    _only_web(world)
    new = world.release()
    arguments = ["rollout", "--range", where, "--to", new, "--bake", "0"]
    terminal("n\n")
    assert evctl(*arguments).code == 130
    assert not nodes.swapped()
    terminal("y\n")
    ran = evctl(*arguments)
    assert ran.code == 0
    assert "Bring web-" in ran.err


@pytest.mark.parametrize("command", ["rollout", "rollback"])
def test_without_a_terminal_and_without_yes_nothing_is_done(evctl, nodes, new, command):
    _rollout(evctl, new, "--yes")
    nodes.serving.update(dict.fromkeys(WEB, OLD if command == "rollout" else new))
    before = dict(nodes.serving)
    ran = _rollout(evctl, new) if command == "rollout" else evctl("rollback")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert nodes.serving == before


def test_a_rollout_and_its_rollback(evctl, nodes, new):
    ran = _rollout(evctl, new, "--yes", "--reason", "because")
    assert ran.code == 0
    assert "✔ R000001 converged · 2 swaps" in ran.out
    assert "undo: evctl rollback R000001" in ran.out
    assert [nodes.serving[node] for node in WEB] == [new, new]
    assert nodes.serving["db-01"] == OLD
    back = evctl("rollback", "R000001", "--yes")
    assert back.code == 0
    assert [nodes.serving[node] for node in WEB] == [OLD, OLD]
    listed = json.loads(evctl("rollouts", "--json").out)["rollouts"]
    assert [(each["kind"], each["state"]) for each in listed] == [
        ("rollout", "converged"),
        ("rollback", "converged"),
    ]
    assert listed[0]["reason"] == "because"


def test_a_second_time_there_is_nothing_to_do(evctl, new):
    _rollout(evctl, new, "--yes")
    again = _rollout(evctl, new, "--yes")
    assert again.code == 0
    assert "nothing to do, 2 nodes" in again.err
    assert _rollout(evctl, new, "--plan", "--exit-code").code == 0
    assert json.loads(_rollout(evctl, new, "--json").out)["state"] == "unchanged"


def test_json_is_one_object_a_line_and_the_last_is_the_summary(evctl, new):
    lines = _rollout(evctl, new, "--yes", "--json").lines()
    assert lines[0]["event"] == "planned"
    assert lines[-1]["state"] == "converged"
    assert lines[-1]["swaps"] == 2
    assert [line["node"] for line in lines if line.get("event") == "answer"].count("web-01") >= 3


def test_a_bad_release_is_exit_code_5_with_evidence(evctl, nodes, new):
    nodes.fails = {("web-01", CONVERGE): DIED}
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == 5
    assert "E4101 R000001 failed and was rolled back" in ran.err
    assert "web-01: E1101 the new generation died at start" in ran.err
    assert "evctl rollouts R000001" in ran.err
    assert nodes.swapped() == ["web-01"]
    assert evctl("rollback", "--yes").code == 2, "there is nothing to take back"


def test_a_node_that_goes_silent_is_exit_code_7(evctl, nodes, new):
    nodes.fails = {("web-01", CONVERGE): SILENT, ("web-01", "evrelease.activate"): SILENT}
    assert _rollout(evctl, new, "--yes").code == 7


def test_a_node_that_cannot_go_back_is_exit_code_6(evctl, nodes, new):
    nodes.fails = {("web-01", "evrelease.activate"): DIED, ("web-02", CONVERGE): DIED}
    ran = _rollout(evctl, new, "--yes", "--json")
    assert ran.code == 6
    assert ran.lines()[-1]["error"]["code"] == "E4102"


def test_silent_nodes_stop_it_before_it_begins(evctl, nodes, new):
    nodes.fails = {("web-02", STATUS): SILENT}
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == 7
    assert "E4005" in ran.err
    assert "web-02" in ran.err
    assert json.loads(evctl("rollouts", "--json").out) == {"rollouts": []}


def test_locked_nodes_are_exit_code_8_and_who_holds_them(evctl, world, nodes, new):
    Fleet.load(world.fleet).documents().lock(["web-02"], "R000042", time.time(), 60)
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == 8
    assert "web-02 is locked by R000042" in ran.err
    assert not nodes.swapped()


def test_a_rollback_of_some_nodes(evctl, nodes, new):
    _rollout(evctl, new, "--yes")
    assert evctl("rollback", "--range", "web-02", "--yes").code == 0
    assert [nodes.serving[node] for node in WEB] == [new, OLD]


def test_a_node_that_is_off_keeps_the_others_from_nothing(evctl, world, nodes, new):
    _rollout(evctl, new, "--yes")
    nodes.fails = {("web-02", function): SILENT for function in (STATUS, CONVERGE)}
    back = evctl("rollback", "--yes")
    assert back.code == 7
    assert "not all nodes came along: web-02" in back.err
    assert nodes.serving["web-01"] == OLD
    assert Fleet.load(world.fleet).documents().desired().nodes["web-02"] == OLD


@pytest.mark.parametrize("returns", ["later", "and has not heard yet", "and came along"])
def test_what_a_node_missed_that_was_off_is_taken_back_too(evctl, world, nodes, new, returns):
    documents = Fleet.load(world.fleet).documents()
    documents.want({"web-02": OLD})
    off = {("web-02", function): SILENT for function in (STATUS, CONVERGE)}
    nodes.fails = dict(off)
    assert _rollout(evctl, new, "--max-unreachable", "1", "--yes").code == 7
    assert documents.desired().nodes == dict.fromkeys(WEB, new), "it is to come along"
    nodes.fails = off if returns == "later" else {}
    if returns == "and came along":
        nodes.serving["web-02"] = new
    assert evctl("rollback", "--yes").code == (7 if returns == "later" else 0)
    assert documents.desired().nodes == dict.fromkeys(WEB, OLD)
    assert nodes.serving == dict.fromkeys(nodes.serving, OLD)


def test_a_rollback_needs_no_registry(evctl, world, nodes, new):
    _rollout(evctl, new, "--yes")
    shutil.rmtree(world.root / "registry")
    assert evctl("rollback", "--yes").code == 0
    assert nodes.serving["web-01"] == OLD


@pytest.mark.parametrize(
    ("sent", "code", "state"), [("SIGHUP", 0, "converged"), ("SIGTERM", 130, "running")]
)
def test_a_closed_terminal_stops_nothing_and_being_terminated_is_told(
    world, new, sent, code, state
):
    """In a process of its own, which gets the signal when its first node is asked to swap."""
    driver = (
        "import os, signal, sys\n"
        "import cli.asked\n"
        "from cli.main import run\n"
        "from tests.rollout.fake_fleet import FakeFleet\n"
        "def get(node, function, release):\n"
        "    if (node, function) == ('web-01', 'evrelease.converge'):\n"
        f"        os.kill(os.getpid(), signal.{sent})\n"
        "fake = FakeFleet.of(['web-01', 'web-02'], before_each=get)\n"
        "cli.asked.SaltClient = lambda *_: fake\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    options = ["rollout", "--range", "role:web", "--to", new, "--bake", "0", "--yes"]
    ended = subprocess.run(
        [sys.executable, "-c", driver, "--fleet", world.fleet, *options],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    documents = Fleet.load(world.fleet).documents()
    assert documents.load("R000001").document.state == state
    assert documents.holder("web-01", time.time()) is None


def test_status(evctl, nodes):
    ran = evctl("status")
    assert ran.code == 0
    assert f"✔ web-01               web              {OLD}" in ran.out
    nodes.fails = {("web-02", STATUS): SILENT, ("db-01", STATUS): DIED}
    nodes.sick = {"web-01"}
    ran = evctl("status")
    assert ran.code == 7
    for words in ("? web-01", "serves nothing", "? web-02", "no answer", "✗ db-01", "died"):
        assert words in ran.out
    assert ran.err == "next: evctl doctor --range db-01,web-02\n"
    found = json.loads(evctl("status", "--json", "--range", "role:web").out)["nodes"]
    assert {node: said["state"] for node, said in found.items()} == {
        "web-01": "idle",
        "web-02": "silent",
    }

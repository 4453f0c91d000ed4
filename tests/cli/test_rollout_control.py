"""`rollout` with limits, floors and windows; `status`, `watch`, `pause`, `resume`, `abort`, …"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partialmethod

import pytest

import cli.commands.carrying
import cli.commands.rollout_control
from cli.fleet import Fleet
from cli.rollout import control
from cli.rollout.document import Limits
from cli.salt_client import SILENT
from tests.cli.conftest import RanHere
from tests.rollout.documents_of import OLD
from tests.rollout.fake_fleet import DIED

CONVERGE, STATUS, PREFETCH = "evrelease.converge", "evrelease.status", "evrelease.prefetch"
WEB = ["web-01", "web-02"]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where these tests were started in the background: then SIGINT is ignored from birth."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _rollout(evctl, new: str, *more: str) -> RanHere:
    return evctl("rollout", "--range", "role:web", "--to", new, "--bake", "0", *more)


def _at(nodes, wanted: tuple[str, str], do) -> None:
    """Do this once, just before a node does what it was asked."""

    def before_each(node: str, function: str, _release: str | None) -> None:
        if (node, function) == wanted:
            nodes.before_each = lambda *_: None
            do()

    nodes.before_each = before_each


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _state(world, rollout_id: str = "R000001") -> str:
    return Fleet.load(world.fleet).documents().load(rollout_id).document.state


def test_a_node_may_be_silent_when_that_was_said(evctl, world, nodes, new):
    Fleet.load(world.fleet).documents().want(dict.fromkeys(WEB, OLD))
    nodes.fails = {("web-02", function): SILENT for function in (STATUS, PREFETCH)}
    assert _rollout(evctl, new, "--yes").code == 7
    ran = _rollout(evctl, new, "--yes", "--max-unreachable", "1")
    assert ran.code == 7
    assert "silent now: web-02; comes along by itself when it returns" in ran.err
    assert "E4103 R000001: not all nodes came along: web-02" in ran.err
    assert nodes.serving["web-01"] == new
    assert ("web-02", PREFETCH, new) not in nodes.asked, "nobody waits for it"
    assert Fleet.load(world.fleet).documents().desired().nodes["web-02"] == new
    nodes.fails = {}
    again = evctl("rollout", "retry", "R000001", "--yes")
    assert again.code == 0
    assert nodes.serving["web-02"] == new
    assert evctl("rollout", "retry", "R000002", "--yes").code == 2


def test_a_node_may_fail_when_that_was_said(evctl, nodes, new):
    nodes.fails = {("web-01", CONVERGE): DIED}
    ran = _rollout(evctl, new, "--yes", "--max-fail", "1")
    assert ran.code == 7
    assert "web-01" in ran.err
    assert [nodes.serving[node] for node in WEB] == [OLD, new]


def test_a_floor_that_cannot_be_kept_is_refused_before_anything(evctl, nodes, new):
    ran = _rollout(evctl, new, "--yes", "--floor", "web=2")
    assert ran.code == 2
    assert "E4008 2 of 2 web must serve" in ran.err
    assert "--floor web=1" in ran.err
    assert {function for _, function, _ in nodes.asked} == {STATUS}
    assert json.loads(evctl("rollouts", "--json").out) == {"rollouts": []}


def test_a_floor_of_a_role_that_is_not_there_is_refused(evctl, nodes, new):
    ran = _rollout(evctl, new, "--yes", "--floor", "webb=1")
    assert ran.code == 2
    assert "has no role webb; it has web" in ran.err
    assert not nodes.asked


@pytest.mark.parametrize("floor", ["web", "web=", "=2", "web=x", "web=-1", "web=２"])
def test_what_is_no_floor(evctl, new, floor):
    assert _rollout(evctl, new, "--plan", "--floor", floor).code == 2


@pytest.mark.parametrize(
    ("bake", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)]
)
def test_durations(evctl, new, bake, seconds):
    planned = _rollout(evctl, new, "--plan", "--json", "--bake", bake)
    assert json.loads(planned.out)["limits"]["bake_s"] == seconds


@pytest.mark.parametrize("bake", ["", "5 m", "-1", "5d", "nan", "25h", "1e3", "５m"])
def test_what_is_no_duration(evctl, new, bake):
    assert _rollout(evctl, new, "--plan", "--bake", bake).code == 2


def test_in_a_closed_window_nothing_is_begun_unless_told(evctl, world, nodes, monkeypatch):
    app = world.app / "evctl.yaml"
    app.write_text(app.read_text() + 'closed: ["Mon 00:00 - Sun 23:59", "Sun 23:59 - Mon 00:00"]\n')
    monkeypatch.chdir(world.app)
    ran = evctl("-q", "release", "--allow-dirty", "--json")
    new = json.loads(ran.out)["release"]
    assert _rollout(evctl, new, "--plan").code == 0
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == 4
    assert "E4009 the window is closed" in ran.err
    closed = [line.strip() for line in ran.err.splitlines() if line.startswith("  closed ")]
    assert len(closed) == 2
    assert [line.endswith(", which is now") for line in closed].count(True) == 1
    assert not nodes.swapped()
    done = _rollout(evctl, new, "--yes", "--in-closed-window")
    assert done.code == 0, "and it is kept that it was told"
    assert Fleet.load(world.fleet).documents().load("R000001").document.in_closed_window
    assert evctl("rollback", "--yes").code == 0, "always"


def test_back_past_a_one_way_change_only_when_told(evctl, world, nodes, monkeypatch):
    monkeypatch.chdir(world.app)
    app = world.app / "evctl.yaml"
    releases = []
    for schemas in (
        "{reads: {cart: [1]}, writes: {cart: 1}}",
        "{reads: {cart: [1, 2]}, writes: {cart: 2}}",
    ):
        app.write_text(app.read_text().replace("{reads: {}, writes: {}}", schemas))
        releases.append(
            json.loads(evctl("-q", "release", "--allow-dirty", "--json").out)["release"]
        )
        app.write_text(app.read_text().replace(schemas, "{reads: {}, writes: {}}") + "\n")
        assert _rollout(evctl, releases[-1], "--yes").code == 0
    planned = json.loads(evctl("rollback", "--plan", "--past-one-way", "--json").out)
    assert "cart 2: web no longer reads it, as was told" in planned["checks"]
    back = evctl("rollback", "--yes")
    assert back.code == 2
    assert "E4013 web would no longer read cart 2, which web writes now" in back.err
    assert {nodes.serving[node] for node in WEB} == {releases[1]}
    assert evctl("rollback", "--yes", "--past-one-way").code == 0
    assert {nodes.serving[node] for node in WEB} == {releases[0]}


def test_gates_of_the_release(evctl, world, nodes, monkeypatch):
    """A canary that too little comes to is held, and the traffic that comes then lets it pass."""
    monkeypatch.chdir(world.app)
    app = world.app / "evctl.yaml"
    gates = "    gates: {errors: {bad: bad, all: every, worse_by: 0.01}}\n    tools:"
    probe = "called., probe: [all, '{web}']}"
    app.write_text(app.read_text().replace("    tools:", gates).replace("called.}", probe))
    new = json.loads(evctl("-q", "release", "--allow-dirty", "--json").out)["release"]
    unknown = _rollout(evctl, new, "--gate", "speed", "--yes")
    assert unknown.code == 2
    assert "has no gate speed\n  why: it has errors, probe" in unknown.err
    assert _rollout(evctl, new, "--gate", "none", "--gate", "errors", "--yes").code == 2
    came = [0]

    def pages(_node: str, release: str) -> dict[str, str]:
        came[0] += 1000
        return {release: f"every {came[0] if came[0] > 10_000 else 3}\nbad 0\n"}

    nodes.pages = pages
    monkeypatch.setattr(Limits, "__init__", partialmethod(Limits.__init__, hold_s=0.0))
    plan = _rollout(evctl, new, "--plan").err
    assert "gates: errors (worse by 0.01 at most)" in plan
    assert "probe            ask: not run: no node with an address in the map is a {web}" in plan
    assert "errors (" not in _rollout(evctl, new, "--gate", "probe", "--plan").err
    assert "ask" not in _rollout(evctl, new, "--gate", "none", "--plan").err
    held = _rollout(evctl, new, "--yes")
    assert held.code == 9
    assert "web-01: errors: 0 of 50: too few to judge" in held.err
    came[0] = 20_000
    resumed = evctl("rollout", "resume", "R000001")
    assert resumed.code == 0
    assert "web-01: healthy · errors: 0, the old 0" in resumed.err


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("false", 5),
        ("sh -c 'exit 75'", 9),
        ("'", 2),
        ("", 2),
        ("./no-such-command now", 2),
    ],
)
def test_a_command_as_a_gate(*, evctl, nodes, new, monkeypatch, command, code):
    monkeypatch.setattr(Limits, "__init__", partialmethod(Limits.__init__, hold_s=0.0))
    ran = _rollout(evctl, new, "--yes", "--gate-command", command)
    assert ran.code == code
    if code == 2:
        assert not nodes.asked, "refused before anything"


def test_a_plan_that_was_looked_at_is_the_one_that_runs(evctl, nodes, new):
    plan = json.loads(_rollout(evctl, new, "--plan", "--json").out)["plan"]
    stale = _rollout(evctl, new, "--yes", "--as-planned", plan, "--canary", "0", "--max-fail", "1")
    assert stale.code == 8
    assert "E4010" in stale.err
    assert not nodes.swapped()
    ran = _rollout(evctl, new, "--yes", "--as-planned", plan, "--json")
    assert ran.code == 0
    assert ran.lines()[-1]["plan"] == plan


def test_pause_and_resume_from_another_terminal(evctl, world, nodes, new):
    def pause() -> None:
        documents = Fleet.load(world.fleet).documents()
        documents.change(documents.load("R000001"), lambda found: control.pause(found, "bob"))

    _at(nodes, ("web-01", CONVERGE), pause)
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == 9
    assert "E4105 R000001 is paused\n  why: by bob" in ran.err
    assert nodes.swapped() == ["web-01"]
    watched = evctl("rollout", "watch", "R000001")
    assert watched.code == 9
    assert "wave 1/2: swapping web-01" in watched.err
    shown = evctl("rollout", "status", "R000001").out
    assert shown == evctl("rollouts", "R000001").out
    assert "paused: by bob" in shown
    assert "nobody drives it · next: evctl rollout resume R000001" in shown
    assert "next: evctl rollout resume R000001" in evctl().out
    refused = _rollout(evctl, new, "--yes")
    assert refused.code == 8
    assert "it is paused and nobody drives it" in refused.err
    assert evctl("rollback", "R000001", "--yes").code == 2
    assert evctl("rollout", "resume", "R000001").code == 0
    assert [nodes.serving[node] for node in WEB] == [new, new]


def test_a_paused_one_is_aborted(evctl, world, nodes, new):
    _at(nodes, ("web-01", CONVERGE), lambda: _pause(world))
    _rollout(evctl, new, "--yes")
    assert evctl("rollout", "abort", "R000001").code == 2, "nobody can be asked"
    ran = evctl("rollout", "abort", "R000001", "--yes")
    assert ran.code == 5
    assert "E4104 R000001 was aborted" in ran.err
    assert [nodes.serving[node] for node in WEB] == [OLD, OLD]
    assert evctl("rollout", "watch", "R000001").code == 5


def _pause(world) -> None:
    documents = Fleet.load(world.fleet).documents()
    documents.change(documents.load("R000001"), lambda found: control.pause(found, "bob"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pause", "R000001"], "can't be paused"),
        (["resume", "R000001"], "can't be resumed"),
        (["abort", "R000001", "--yes"], "can't be aborted"),
        (["retry", "R000001", "--yes"], "can't be retried"),
    ],
)
def test_what_does_not_fit_its_state_is_refused_before_anything_changes(
    *, evctl, world, nodes, new, words, said
):
    _rollout(evctl, new, "--yes")
    documents = Fleet.load(world.fleet).documents()
    before, asked = documents.load("R000001"), len(nodes.asked)
    ran = evctl("rollout", *words)
    assert ran.code == 2
    assert "E4011 R000001" in ran.err
    assert said in ran.err
    assert documents.load("R000001") == before
    assert len(nodes.asked) == asked
    assert evctl("rollout", words[0], "R000099", *words[2:]).code == 2


def test_whoever_gave_the_command_is_named_also_behind_sudo(evctl, world, nodes, new, monkeypatch):
    """Who is refused is told whom to ask, and that isn't root."""
    monkeypatch.setenv("SUDO_USER", "grace")
    _at(nodes, ("web-01", CONVERGE), lambda: evctl("rollout", "pause", "R1"))
    assert _rollout(evctl, new, "--yes").code == 9
    assert "paused: by grace" in evctl("rollout", "status", "R1").out
    refused = _rollout(evctl, new, "--yes")
    assert refused.code == 8
    assert "it is of grace; it is paused and nobody drives it" in refused.err
    assert evctl("lock", "--range", "db-01", "--reason", "disks").code == 0
    assert "by grace: disks" in evctl("lock").out
    assert evctl("unlock", "--range", "db-01").code == 0
    told = [line.split(" · ")[0].split("lock  ")[-1] for line in evctl("history").out.splitlines()]
    assert [words.strip() for words in told[:2]] == ["unlocked db-01", "locked db-01"]


def test_a_node_is_explained_by_the_rollout_that_changed_it(evctl, world, nodes, new, monkeypatch):
    """Not by a later one that was refused before it began."""
    monkeypatch.chdir(world.app)
    app = world.app / "evctl.yaml"
    app.write_text(app.read_text() + "\n")
    newer = json.loads(evctl("-q", "release", "--allow-dirty", "--json").out)["release"]
    _at(nodes, ("web-01", CONVERGE), lambda: _pause(world))
    assert _rollout(evctl, new, "--yes").code == 9
    assert _rollout(evctl, newer, "--yes").code == 8
    said = evctl("explain", "web-01")
    assert said.out.splitlines()[1] == f"  should serve {new}, by R000001"
    assert json.loads(evctl("explain", "web-01", "--json").out)["decided_by"] == "R000001"


def test_what_is_watched_afterwards_has_the_times_at_which_it_was(evctl, world, nodes, new):
    _rollout(evctl, new, "--yes")
    log = Fleet.load(world.fleet).documents().load("R000001").document.log
    *watched, _ = evctl("rollout", "watch", "R1", "--json").lines()
    assert [line["at"] for line in watched] == [entry["at"] for entry in log]


@pytest.mark.parametrize("given", ["R000001", "R1", "r1", "R01"])
def test_a_rollout_by_its_number(evctl, nodes, new, given):
    _rollout(evctl, new, "--yes")
    assert evctl("rollouts", given).out == evctl("rollout", "status", "R000001").out
    assert evctl("rollback", given, "--plan").code == 0


def test_a_reason_without_nodes_locks_nobody_and_says_so(evctl):
    ran = evctl("lock", "--reason", "disks")
    assert ran.code == 2
    assert "Add --range" in ran.err


def test_a_node_whose_role_was_taken_away_is_left_out_of_the_way_back(evctl, world, nodes, new):
    _rollout(evctl, new, "--yes")
    text = (world.root / "nodes.yaml").read_text()
    (world.root / "nodes.yaml").write_text(text.replace("role: web", "role: null", 1))
    ran = evctl("rollback", "--yes")
    assert ran.code == 0
    assert sorted(nodes.serving[node] for node in WEB) == sorted([OLD, new])


def _gone(monkeypatch, stream: str) -> None:
    """Whoever read this stream has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, stream, os.fdopen(writing, "w"))


def test_a_view_that_is_lost_changes_no_result(evctl, world, nodes, new, monkeypatch):
    _gone(monkeypatch, "stderr")
    assert _rollout(evctl, new, "--yes").code == 0
    assert {nodes.serving[node] for node in WEB} == {new}
    _gone(monkeypatch, "stderr")
    assert evctl("promote", new, "stable", "--yes").code == 0
    assert Fleet.load(world.fleet).registry().channel("stable") == {"web": new}
    nodes.serving["web-01"] = OLD
    _gone(monkeypatch, "stdout")
    assert evctl("drift", "--range", "role:web").code == 3
    _gone(monkeypatch, "stdout")
    assert evctl("doctor").code != 0


def test_an_option_in_front_of_a_further_command_is_refused(evctl, world, nodes, new):
    """It would not be seen there: this one would have aborted."""
    _at(nodes, ("web-01", CONVERGE), lambda: _pause(world))
    assert _rollout(evctl, new, "--yes").code == 9
    ran = evctl("rollout", "--plan", "abort", "R000001", "--yes")
    assert ran.code == 2
    assert "--plan isn't for 'abort' where it stands" in ran.err
    assert _state(world) == "paused"
    assert evctl("rollout", "--in-closed-window", "resume", "R000001").code == 2
    assert evctl("history", "--last", "5", "verify").code == 2
    assert evctl("rollout", "status", "R000001").code == 0


def test_in_a_closed_window_nothing_is_retried(evctl, world, nodes, new, monkeypatch):
    nodes.fails = {("web-01", CONVERGE): DIED}
    assert _rollout(evctl, new, "--yes").code == 5
    nodes.fails = {}
    documents = Fleet.load(world.fleet).documents()
    closed = replace(
        documents.load("R000001").document,
        closed=("Mon 00:00 - Sun 23:59", "Sun 23:59 - Mon 00:00"),
    ).planned()
    documents.change(documents.load("R000001"), lambda _: closed)
    asked = len(nodes.asked)
    ran = evctl("rollout", "retry", "R000001", "--yes")
    assert ran.code == 4
    assert "E4009 the window is closed" in ran.err
    assert documents.ids() == ["R000001"]
    assert {function for _, function, _ in nodes.asked[asked:]} == {STATUS}


def test_one_that_is_driven_is_neither_resumed_nor_retried(evctl, world, nodes, new):
    refused = []

    def try_both() -> None:
        refused.append(evctl("rollout", "resume", "R000001").code)
        refused.append(evctl("rollout", "resume", "R000001", "--detach").code)
        refused.append(evctl("rollout", "retry", "R000001", "--yes").code)

    _at(nodes, ("web-01", CONVERGE), try_both)
    assert _rollout(evctl, new, "--yes").code == 0
    assert refused == [8, 8, 2]
    log = Fleet.load(world.fleet).documents().load("R000001").document.log
    assert "resume" not in {entry["event"] for entry in log}, "before anything was written down"


@pytest.mark.parametrize(
    ("typed", "code", "state"),
    [("p\n", 9, "paused"), ("a\n", 5, "aborted"), ("d\n", 130, "running")],
)
def test_ctrl_c_asks_what_is_to_become_of_it(
    *, evctl, world, nodes, new, terminal, monkeypatch, typed, code, state
):
    elsewhere = []
    monkeypatch.setattr(
        cli.commands.carrying.subprocess, "Popen", lambda words, **_: elsewhere.append(words)
    )
    terminal(typed)
    _at(nodes, ("web-01", CONVERGE), _interrupt)
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == code
    assert "d detach (it goes on)   p pause   a abort" in ran.err
    assert _state(world) == state
    if typed == "d\n":
        assert [str(word) for word in elsewhere[0][-3:]] == ["rollout", "resume", "R000001"]


def test_ctrl_c_without_a_terminal_leaves_it_to_be_resumed(evctl, world, nodes, new):
    _at(nodes, ("web-01", CONVERGE), _interrupt)
    ran = _rollout(evctl, new, "--yes")
    assert ran.code == 130
    assert "evctl rollout resume R000001 | evctl rollout abort R000001" in ran.err
    assert _state(world) == "running"
    assert evctl("rollout", "resume", "R000001").code == 0


def test_one_that_nobody_drives_is_not_watched_for_ever(evctl, world, nodes, new, monkeypatch):
    monkeypatch.setattr(cli.commands.rollout_control, "UNDRIVEN_S", 0.0)
    _at(nodes, ("web-01", CONVERGE), _interrupt)
    _rollout(evctl, new, "--yes")
    ran = evctl("rollout", "watch", "R000001")
    assert ran.code == 7
    assert "E4016 nobody drives R000001" in ran.err
    assert evctl("rollout", "abort", "R000001", "--yes").code == 5


def test_an_abort_takes_over_from_a_driver_that_has_just_died(
    *, evctl, world, nodes, new, monkeypatch
):
    """Its lease has not ended when the abort begins."""
    monkeypatch.setattr(cli.commands.rollout_control, "UNDRIVEN_S", 0.0)
    _at(nodes, ("web-01", CONVERGE), _interrupt)
    _rollout(evctl, new, "--yes")
    documents = Fleet.load(world.fleet).documents()
    documents.lock(WEB, "R000001", time.time(), 0.7, "dead")
    assert evctl("rollout", "abort", "R000001", "--yes").code == 5
    assert [nodes.serving[node] for node in WEB] == [OLD, OLD]


def test_detached_it_goes_on_in_a_process_of_its_own(evctl, world, nodes, new):
    """Whose master isn't there: it says so in the document, and the rollout is there to resume."""
    ran = _rollout(evctl, new, "--yes", "--detach")
    assert ran.code == 0
    assert "evctl rollout watch R000001" in ran.err
    documents, until = Fleet.load(world.fleet).documents(), time.monotonic() + 30
    while (entry := documents.load("R000001").document.log[-1])["event"] != "driver_stopped":
        assert time.monotonic() < until, entry
    assert entry["error"]["code"] == "E3001"
    while documents.holder("web-01", time.time()):
        assert time.monotonic() < until
    assert evctl("rollout", "resume", "R000001").code == 0


def test_drift_is_found_and_mended_when_told(evctl, world, nodes, new):
    assert evctl("drift", "--range", "role:web").code == 3, "no rollout and no channel wants it"
    _rollout(evctl, new, "--yes", "--reason", "because")
    assert evctl("drift", "--range", "role:web").code == 0
    nodes.serving["web-02"] = OLD
    ran = evctl("drift", "--range", "role:web")
    assert ran.code == 3
    assert f"✗ web-02               drifted  serves {OLD}, should {new}" in ran.out
    assert evctl("drift", "--range", "role:web", "--mend").code == 2, "nobody can be asked"
    nodes.wanted = {"web-02": new}
    mended = evctl("drift", "--range", "role:web", "--mend", "--yes", "--json")
    assert mended.code == 0
    assert json.loads(mended.out)["nodes"]["web-02"] == {
        "state": "right", "serves": new, "should": new, "rollout": None, "drift": [],
    }  # fmt: skip
    nodes.fails = {("web-01", "evrelease.drift"): SILENT}
    assert evctl("drift", "--range", "role:web").code == 7


def test_a_node_that_is_being_changed_has_not_drifted(evctl, world, nodes, new):
    seen = []

    def look() -> None:
        seen.append(evctl("drift", "--range", "web-01", "--json"))

    _at(nodes, ("web-01", CONVERGE), look)
    _rollout(evctl, new, "--yes")
    assert seen[0].code == 0
    assert json.loads(seen[0].out)["nodes"]["web-01"]["rollout"] == "R000001"


def test_why_a_node_is_on_its_release(evctl, world, nodes, new):
    nodes.fails = {("web-01", CONVERGE): DIED}
    _rollout(evctl, new, "--yes", "--reason", "first try")
    nodes.fails = {}
    _rollout(evctl, new, "--yes")
    ran = evctl("explain", "web-01")
    assert ran.code == 0
    assert f"web-01 serves {new}\n  should serve {new}, by R000002\n" in ran.out
    assert "failed, rollout rolled_back" in ran.out
    assert "first try\n    E1101 the new generation died at start" in ran.out
    nodes.serving["web-01"] = OLD
    assert "evctl drift --range web-01 --mend" in evctl("explain", "web-01").out
    said = json.loads(evctl("explain", "web-01", "--json").out)
    assert (said["decided_by"], said["rollouts"]) == ("R000002", ["R000002", "R000001"])
    assert json.loads(evctl("explain", "db-01", "--json").out)["decided_by"] == "stable"
    assert evctl("explain", "web-99").code == 2
    assert evctl("explain", "E9999").code == 2


def test_on_locked_nodes_nothing_begins(evctl, nodes, new):
    assert evctl("lock", "--range", "web-02").code == 2, "it says no reason"
    locked = evctl("lock", "--range", "web-02", "--reason", "new disks", "--json")
    assert json.loads(locked.out)["locked"]["web-02"]["reason"] == "new disks"
    refused = _rollout(evctl, new, "--yes")
    assert refused.code == 8
    assert "E4015 web-02 is locked by" in refused.err
    assert "why: new disks" in refused.err
    assert not nodes.swapped()
    assert json.loads(evctl("rollouts", "--json").out) == {"rollouts": []}
    assert "new disks" in evctl("lock").out
    assert evctl("unlock", "--range", "web-02").code == 0
    assert evctl("lock").out == ""
    assert _rollout(evctl, new, "--yes").code == 0

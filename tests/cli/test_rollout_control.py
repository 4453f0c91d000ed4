"""`rollout status`, `watch`, `pause`, `resume`, `abort`, `retry`; Ctrl-C; explaining, locking."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

import cli.commands.carrying
import cli.commands.rollout_control
from cli.fleet import Fleet
from cli.rollout import control
from cli.salt_client import SILENT
from tests.cli.conftest import roll_out
from tests.rollout.documents_of import OLD
from tests.rollout.fake_fleet import DIED

CONVERGE = "evrelease.converge"
WEB = ["web-01", "web-02"]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where these tests were started in the background: then SIGINT is ignored from birth."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def test_pause_and_resume_from_another_terminal(evctl, world, nodes, new):
    def pause() -> None:
        documents = Fleet.load(world.fleet).documents()
        documents.change(documents.load("R000001"), lambda found: control.pause(found, "bob"))

    _at(nodes, ("web-01", CONVERGE), pause)
    ran = roll_out(evctl, new, "--yes")
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
    refused = roll_out(evctl, new, "--yes")
    assert refused.code == 8
    assert "it is paused and nobody drives it" in refused.err
    assert evctl("rollback", "R000001", "--yes").code == 2
    assert evctl("rollout", "resume", "R000001").code == 0
    assert [nodes.serving[node] for node in WEB] == [new, new]


def test_a_paused_one_is_aborted(evctl, world, nodes, new):
    _at(nodes, ("web-01", CONVERGE), lambda: _pause(world))
    roll_out(evctl, new, "--yes")
    assert evctl("rollout", "abort", "R000001").code == 2, "nobody can be asked"
    ran = evctl("rollout", "abort", "R000001", "--yes")
    assert ran.code == 5
    assert "E4104 R000001 was aborted" in ran.err
    assert [nodes.serving[node] for node in WEB] == [OLD, OLD]
    assert evctl("rollout", "watch", "R000001").code == 5


def test_why_it_was_paused_and_resumed_is_kept(evctl, world, nodes, new):
    why = ("errors in one zone", "they were the proxy's")
    _at(nodes, ("web-01", CONVERGE), lambda: evctl("rollout", "pause", "R1", "--reason", why[0]))
    ran = roll_out(evctl, new, "--yes")
    assert ran.code == 9
    assert f": {why[0]}" in ran.err
    assert evctl("rollout", "resume", "R1", "--reason", why[1]).code == 0
    log = Fleet.load(world.fleet).documents().load("R000001").document.log
    assert tuple(entry["reason"] for entry in log if "reason" in entry) == why
    entries = json.loads(evctl("history", "--json").out)["entries"]
    told = [entry for entry in entries if "told" in entry["what"]]
    assert tuple(entry["why"] for entry in reversed(told)) == why


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
    roll_out(evctl, new, "--yes")
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
    assert roll_out(evctl, new, "--yes").code == 9
    assert "paused: by grace" in evctl("rollout", "status", "R1").out
    refused = roll_out(evctl, new, "--yes")
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
    assert roll_out(evctl, new, "--yes").code == 9
    assert roll_out(evctl, newer, "--yes").code == 8
    said = evctl("explain", "web-01")
    assert said.out.splitlines()[1] == f"  should serve {new}, by R000001"
    assert json.loads(evctl("explain", "web-01", "--json").out)["decided_by"] == "R000001"


def test_what_is_watched_afterwards_has_the_times_at_which_it_was(evctl, world, nodes, new):
    roll_out(evctl, new, "--yes")
    log = Fleet.load(world.fleet).documents().load("R000001").document.log
    *watched, _ = evctl("rollout", "watch", "R1", "--json").lines()
    assert [line["at"] for line in watched] == [entry["at"] for entry in log]


@pytest.mark.parametrize("given", ["R000001", "R1", "r1", "R01"])
def test_a_rollout_by_its_number(evctl, nodes, new, given):
    roll_out(evctl, new, "--yes")
    assert evctl("rollouts", given).out == evctl("rollout", "status", "R000001").out
    assert evctl("rollback", given, "--plan").code == 0


def test_a_reason_without_nodes_locks_nobody_and_says_so(evctl):
    ran = evctl("lock", "--reason", "disks")
    assert ran.code == 2
    assert "Add --range" in ran.err


def test_a_node_whose_role_was_taken_away_is_left_out_of_the_way_back(evctl, world, nodes, new):
    roll_out(evctl, new, "--yes")
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
    assert roll_out(evctl, new, "--yes").code == 0
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
    assert roll_out(evctl, new, "--yes").code == 9
    ran = evctl("rollout", "--plan", "abort", "R000001", "--yes")
    assert ran.code == 2
    assert "--plan isn't for 'abort' where it stands" in ran.err
    assert _state(world) == "paused"
    assert evctl("rollout", "--in-closed-window", "resume", "R000001").code == 2
    assert evctl("history", "--last", "5", "verify").code == 2
    assert evctl("rollout", "status", "R000001").code == 0


def test_one_that_is_driven_is_neither_resumed_nor_retried(evctl, world, nodes, new):
    refused = []

    def try_both() -> None:
        refused.append(evctl("rollout", "resume", "R000001").code)
        refused.append(evctl("rollout", "resume", "R000001", "--detach").code)
        refused.append(evctl("rollout", "retry", "R000001", "--yes").code)

    _at(nodes, ("web-01", CONVERGE), try_both)
    assert roll_out(evctl, new, "--yes").code == 0
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
    ran = roll_out(evctl, new, "--yes")
    assert ran.code == code
    assert "d detach (it goes on)   p pause   a abort" in ran.err
    assert _state(world) == state
    if typed == "d\n":
        assert [str(word) for word in elsewhere[0][-2:]] == [str(world.fleet), "R000001"]


def test_ctrl_c_without_a_terminal_leaves_it_to_be_resumed(evctl, world, nodes, new):
    _at(nodes, ("web-01", CONVERGE), _interrupt)
    ran = roll_out(evctl, new, "--yes")
    assert ran.code == 130
    assert "evctl rollout resume R000001 | evctl rollout abort R000001" in ran.err
    assert _state(world) == "running"
    assert evctl("rollout", "resume", "R000001").code == 0


def test_one_that_nobody_drives_is_not_watched_for_ever(evctl, world, nodes, new, monkeypatch):
    monkeypatch.setattr(cli.commands.rollout_control, "UNDRIVEN_S", 0.0)
    _at(nodes, ("web-01", CONVERGE), _interrupt)
    roll_out(evctl, new, "--yes")
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
    roll_out(evctl, new, "--yes")
    documents = Fleet.load(world.fleet).documents()
    documents.lock(WEB, "R000001", time.time(), 0.7, "dead")
    assert evctl("rollout", "abort", "R000001", "--yes").code == 5
    assert [nodes.serving[node] for node in WEB] == [OLD, OLD]


def test_detached_it_goes_on_in_a_process_of_its_own(evctl, world, nodes, new, monkeypatch):
    """Whose master isn't there: it says so in the document, and the rollout is there to resume."""
    (world.app / "cli").mkdir()
    (world.app / "cli/__init__.py").write_text("raise ImportError('not the one that is meant')")
    monkeypatch.chdir(world.app)
    ran = roll_out(evctl, new, "--yes", "--detach")
    assert ran.code == 0
    assert "evctl rollout watch R000001" in ran.err
    documents, until = Fleet.load(world.fleet).documents(), time.monotonic() + 30
    while (entry := documents.load("R000001").document.log[-1])["event"] != "driver_stopped":
        assert time.monotonic() < until, entry
    assert entry["error"]["code"] == "E3001"
    while documents.holder("web-01", time.time()):
        assert time.monotonic() < until
    assert evctl("rollout", "resume", "R000001").code == 0
    assert _told(evctl) == ["resume"], "nobody has resumed it before"


def test_a_resumption_that_is_detached_is_told_once(evctl, world, nodes, new, monkeypatch):
    _at(nodes, ("web-01", CONVERGE), lambda: _pause(world))
    assert roll_out(evctl, new, "--yes").code == 9
    assert evctl("rollout", "resume", "R1", "--detach", "--reason", "again").code == 0
    documents, until = Fleet.load(world.fleet).documents(), time.monotonic() + 30
    while documents.load("R000001").document.log[-1]["event"] != "driver_stopped":
        assert time.monotonic() < until
    assert _told(evctl) == ["resume"]


def _told(evctl) -> list[str]:
    """What operators have told rollouts, by the history."""
    entries = json.loads(evctl("history", "--json").out)["entries"]
    return [entry["what"]["told"] for entry in entries if "told" in entry["what"]]


def test_drift_is_found_and_mended_when_told(evctl, world, nodes, new):
    assert evctl("drift", "--range", "role:web").code == 3, "no rollout and no channel wants it"
    roll_out(evctl, new, "--yes", "--reason", "because")
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
    roll_out(evctl, new, "--yes")
    assert seen[0].code == 0
    assert json.loads(seen[0].out)["nodes"]["web-01"]["rollout"] == "R000001"


def test_why_a_node_is_on_its_release(evctl, world, nodes, new):
    nodes.fails = {("web-01", CONVERGE): DIED}
    roll_out(evctl, new, "--yes", "--reason", "first try")
    nodes.fails = {}
    roll_out(evctl, new, "--yes")
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
    assert "Did you mean 'web-01'?" in evctl("explain", "web-1").err
    assert evctl("explain", "E9999").code == 2


def test_on_locked_nodes_nothing_begins(evctl, nodes, new):
    assert evctl("lock", "--range", "web-02").code == 2, "it says no reason"
    locked = evctl("lock", "--range", "web-02", "--reason", "new disks", "--json")
    assert json.loads(locked.out)["locked"]["web-02"]["reason"] == "new disks"
    refused = roll_out(evctl, new, "--yes")
    assert refused.code == 8
    assert "E4015 web-02 is locked by" in refused.err
    assert "why: new disks" in refused.err
    assert not nodes.swapped()
    assert json.loads(evctl("rollouts", "--json").out) == {"rollouts": []}
    assert "new disks" in evctl("lock").out
    assert evctl("unlock", "--range", "web-02").code == 0
    assert (evctl("lock").out, evctl("lock").err) == ("", "no node is locked\n")
    assert roll_out(evctl, new, "--yes").code == 0

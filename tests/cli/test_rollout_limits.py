"""What bounds a rollout, through the command line: limits, floors, windows, gates, an old plan."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partialmethod

import pytest

from cli.fleet import Fleet
from cli.rollout.document import Limits
from cli.salt_client import SILENT
from tests.cli.conftest import roll_out
from tests.rollout.documents_of import OLD
from tests.rollout.fake_fleet import DIED

CONVERGE, STATUS, PREFETCH = "evrelease.converge", "evrelease.status", "evrelease.prefetch"
WEB = ["web-01", "web-02"]


def test_a_node_may_be_silent_when_that_was_said(evctl, world, nodes, new):
    Fleet.load(world.fleet).documents().want(dict.fromkeys(WEB, OLD))
    nodes.fails = {("web-02", function): SILENT for function in (STATUS, PREFETCH)}
    assert roll_out(evctl, new, "--yes").code == 7
    ran = roll_out(evctl, new, "--yes", "--max-unreachable", "1")
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
    ran = roll_out(evctl, new, "--yes", "--max-fail", "1")
    assert ran.code == 7
    assert "web-01" in ran.err
    assert [nodes.serving[node] for node in WEB] == [OLD, new]


def test_a_floor_that_cannot_be_kept_is_refused_before_anything(evctl, nodes, new):
    ran = roll_out(evctl, new, "--yes", "--floor", "web=2")
    assert ran.code == 2
    assert "E4008 2 of 2 web must serve" in ran.err
    assert "--floor web=1" in ran.err
    assert {function for _, function, _ in nodes.asked} == {STATUS}
    assert json.loads(evctl("rollouts", "--json").out) == {"rollouts": []}


def test_a_floor_of_a_role_that_is_not_there_is_refused(evctl, nodes, new):
    ran = roll_out(evctl, new, "--yes", "--floor", "webb=1")
    assert ran.code == 2
    assert "has no role webb; it has web" in ran.err
    assert not nodes.asked


@pytest.mark.parametrize("floor", ["web", "web=", "=2", "web=x", "web=-1", "web=２"])
def test_what_is_no_floor(evctl, new, floor):
    assert roll_out(evctl, new, "--plan", "--floor", floor).code == 2


@pytest.mark.parametrize(
    ("bake", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)]
)
def test_durations(evctl, new, bake, seconds):
    planned = roll_out(evctl, new, "--plan", "--json", "--bake", bake)
    assert json.loads(planned.out)["limits"]["bake_s"] == seconds


@pytest.mark.parametrize("bake", ["", "5 m", "-1", "5d", "nan", "25h", "1e3", "５m"])
def test_what_is_no_duration(evctl, new, bake):
    assert roll_out(evctl, new, "--plan", "--bake", bake).code == 2


def test_in_a_closed_window_nothing_is_begun_unless_told(evctl, world, nodes, monkeypatch):
    app = world.app / "evctl.yaml"
    app.write_text(app.read_text() + 'closed: ["Mon 00:00 - Sun 23:59", "Sun 23:59 - Mon 00:00"]\n')
    monkeypatch.chdir(world.app)
    ran = evctl("-q", "release", "--allow-dirty", "--json")
    new = json.loads(ran.out)["release"]
    assert roll_out(evctl, new, "--plan").code == 0
    ran = roll_out(evctl, new, "--yes")
    assert ran.code == 4
    assert "E4009 the window is closed" in ran.err
    closed = [line.strip() for line in ran.err.splitlines() if line.startswith("  closed ")]
    assert len(closed) == 2
    assert [line.endswith(", which is now") for line in closed].count(True) == 1
    assert not nodes.swapped()
    done = roll_out(evctl, new, "--yes", "--in-closed-window")
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
        assert roll_out(evctl, releases[-1], "--yes").code == 0
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
    unknown = roll_out(evctl, new, "--gate", "speed", "--yes")
    assert unknown.code == 2
    assert "has no gate speed\n  why: it has errors, probe" in unknown.err
    assert roll_out(evctl, new, "--gate", "none", "--gate", "errors", "--yes").code == 2
    came = [0]

    def pages(_node: str, release: str) -> dict[str, str]:
        came[0] += 1000
        return {release: f"every {came[0] if came[0] > 10_000 else 3}\nbad 0\n"}

    nodes.pages = pages
    monkeypatch.setattr(Limits, "__init__", partialmethod(Limits.__init__, hold_s=0.0))
    plan = roll_out(evctl, new, "--plan").err
    assert "gates: errors (worse by 0.01 at most)" in plan
    assert "probe            ask: not run: no node with an address in the map is a {web}" in plan
    assert "errors (" not in roll_out(evctl, new, "--gate", "probe", "--plan").err
    assert "ask" not in roll_out(evctl, new, "--gate", "none", "--plan").err
    held = roll_out(evctl, new, "--yes")
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
    ran = roll_out(evctl, new, "--yes", "--gate-command", command)
    assert ran.code == code
    if code == 2:
        assert not nodes.asked, "refused before anything"


def test_a_plan_that_was_looked_at_is_the_one_that_runs(evctl, nodes, new):
    plan = json.loads(roll_out(evctl, new, "--plan", "--json").out)["plan"]
    stale = roll_out(evctl, new, "--yes", "--as-planned", plan, "--canary", "0", "--max-fail", "1")
    assert stale.code == 8
    assert "E4010" in stale.err
    assert not nodes.swapped()
    ran = roll_out(evctl, new, "--yes", "--as-planned", plan, "--json")
    assert ran.code == 0
    assert ran.lines()[-1]["plan"] == plan


def test_in_a_closed_window_nothing_is_retried(evctl, world, nodes, new, monkeypatch):
    nodes.fails = {("web-01", CONVERGE): DIED}
    assert roll_out(evctl, new, "--yes").code == 5
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

"""An app's tools as commands of evctl: which there are, and what wrong input gets."""

from __future__ import annotations

import pytest
import yaml

from cli.tools import Offered, find_tool, offered_here
from tests.cli.conftest import run_evctl

ASK = Offered("ask", "web", "Say how it was called.")


def test_the_nearest_evctl_yaml_says_which_there_are(world, monkeypatch):
    monkeypatch.chdir(world.app / "web")
    assert offered_here() == {"ask": ASK}
    assert find_tool("ask", None) == ASK
    assert find_tool("rm", None) is None
    listed = run_evctl("--help", cwd=world.app).out
    assert listed.index("Tools of this app") < listed.index("ask  Say how it was called.")
    assert "evctl ask" in run_evctl("ask", "--help", cwd=world.app).out


def test_elsewhere_the_channels_release_says_it(world, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert offered_here() == {}
    assert find_tool("ask", world.fleet) is None  # nothing is released yet
    assert world.evctl("release", "--channel", "stable").code == 0
    assert find_tool("ask", world.fleet) == ASK
    assert find_tool("ask", elsewhere / "no-fleet.yaml") is None
    help_text = run_evctl("--fleet", world.fleet, "ask", "--help", cwd=elsewhere)
    assert (help_text.code, "role web" in help_text.out) == (0, True)


def test_a_damaged_evctl_yaml_keeps_nobody_from_the_other_commands(tmp_path):
    (tmp_path / "evctl.yaml").write_text("app: [")
    assert run_evctl("--help", cwd=tmp_path).code == 0
    ran = run_evctl("ask", cwd=tmp_path)
    assert (ran.code, "No such command" in ran.err) == (2, True)


def test_evctls_own_commands_are_not_replaced(world):
    raw = yaml.safe_load((world.app / "evctl.yaml").read_text())
    tools = raw["roles"]["web"]["tools"]
    tools["status"] = tools["ask"]
    (world.app / "evctl.yaml").write_text(yaml.safe_dump(raw))
    assert "What each node serves" in run_evctl("status", "--help", cwd=world.app).out


@pytest.mark.parametrize("node", ["db-01", "nobody"])
def test_a_node_that_has_not_the_role(world, node):
    ran = world.evctl("ask", "--node", node, "x")
    assert ran.code == 2
    assert "ask runs on nodes of role web: web-01, web-02." in ran.err


def test_a_master_that_does_not_answer(world):
    ran = world.evctl("ask", "x")
    assert (ran.code, "E3001" in ran.err) == (7, True)

"""`evctl lab` against a lab of which nothing runs: what it prints, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cli.commands.lab
from cli.lab import fleet_files
from cli.lab.spec import Lab, load_lab
from cli.main import run


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where labs are: one of them, `mine`, with the node web-01, which is off."""
    monkeypatch.setattr(cli.commands.lab, "LABS", tmp_path)
    Lab("mine", tmp_path / "mine", "process").with_nodes(("web-01=web",)).save()
    return tmp_path


def test_kill_says_how_to_undo_it(labs, capsys):
    assert run(["lab", "kill", "web-01", "--name", "mine"]) == 0
    assert capsys.readouterr().out == "web-01 is off · undo: evctl lab up --name mine\n"


def test_what_each_prints_as_json(labs, capsys):
    def said(*arguments: str) -> object:
        assert run(["lab", *arguments, "--name", "mine", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert said("kill", "web-01") == {"name": "mine", "node": "web-01", "on": False}
    status = said("status")
    assert status["nodes"]["web-01"] | {"address": ""} == {
        "role": "web", "address": "", "on": False, "joined": False,
    }  # fmt: skip
    assert status["master"]["on"] is False
    assert said("down") == {"name": "mine", "found": True}
    assert said("down") == {"name": "mine", "found": False}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["kill", "web-02", "--name", "mine"], "web-01"),
        (["kill", "web-01", "--name", "none"], "evctl lab up --name none"),
        (["status", "--name", "none"], "evctl lab up --name none"),
        (["shell", "web-01", "--name", "mine"], "web-01 is off"),
        (["down", "--name", "../mine"], "can't be a lab's name"),
    ],
)
def test_what_is_not_there_is_refused(labs, capsys, arguments, words):
    assert run(["lab", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("E5301")
    assert words in said
    assert "next: " in said
    assert run(["lab", *arguments[:1], "--json", *arguments[1:]]) == 2


def _up(labs, monkeypatch, capsys, *arguments: str) -> str:
    """What `lab up` prints of a lab that is up already."""
    lab = load_lab(labs / "mine")
    assert lab is not None
    fleet_files.write(lab)
    monkeypatch.setattr(cli.commands.lab.operate, "up", lambda *_, **__: (lab, {}))
    assert run([*arguments, "lab", "up", "--name", "mine"]) == 0
    return capsys.readouterr().out


def test_up_says_how_its_fleet_is_found_from_where_one_is(labs, capsys, monkeypatch):
    """In a folder of an app that names no fleet, the next command would find none."""
    monkeypatch.chdir(labs)
    monkeypatch.delenv("EVCTL_FLEET", raising=False)
    fleet = labs / "mine/fleet.yaml"
    said = _up(labs, monkeypatch, capsys)
    assert f"from here: export EVCTL_FLEET={fleet}\n" in said
    monkeypatch.setenv("EVCTL_FLEET", str(fleet))
    assert "EVCTL_FLEET" not in _up(labs, monkeypatch, capsys)
    monkeypatch.delenv("EVCTL_FLEET")
    assert "EVCTL_FLEET" not in _up(labs, monkeypatch, capsys, "--fleet", str(fleet))


def test_up_says_what_comes_next(labs, capsys, monkeypatch, released):
    monkeypatch.chdir(labs)
    assert "next: evctl release --channel stable · undo: evctl lab down --name mine" in _up(
        labs, monkeypatch, capsys
    )
    world, _ = released
    shutil.copytree(world.root / "registry", labs / "mine/srv/registry", dirs_exist_ok=True)
    assert "next: evctl status · undo" in _up(labs, monkeypatch, capsys)


def test_orders_are_those_of_the_nodes_that_came(labs, capsys, monkeypatch):
    """Else a doctor finds them wrong in a lab that was just made."""
    monkeypatch.chdir(labs)
    _up(labs, monkeypatch, capsys)
    assert list((labs / "mine/srv/registry/orders").iterdir())


@pytest.mark.parametrize("nodes", ["a=b=c", "web-01=Web", "=web"])
def test_what_is_no_node_is_refused_before_anything_is_started(labs, capsys, nodes):
    assert run(["lab", "up", "--name", "new", "--driver", "process", "--nodes", nodes]) == 2
    assert capsys.readouterr().err.count("E5301") == 1
    assert not (labs / "new").exists()

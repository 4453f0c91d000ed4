"""`evctl lab` against a lab of which nothing runs: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cli.commands.lab
from cli.lab.spec import Lab
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

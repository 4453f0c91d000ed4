"""Following an autoscaler: what it says, and which nodes come and go for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import cli.asked
from cli.desired import NobodyDecides, ask_autoscalers
from cli.fleet import NodeInfo
from cli.lab import fleet_files, operate
from cli.lab.errors import LabFailed
from cli.lab.following import Follower, Step, step_to
from cli.lab.spec import Lab, load_lab
from cli.main import run
from cli.salt_client import SILENT, Return

LAB = {
    "collector-01": "collector",
    "processor-01": "processor",
    "processor-02": "processor",
    "processor-03": "processor",
    "autoscaler-01": "autoscaler",
}
FLEET = {node: NodeInfo(node, role) for node, role in LAB.items()}
ROLES = {"processor": {"desired": 3, "why": "20.0/s arrive", "signals": None, "state": {}}}
CHANGE = {"at": 1000.0, "role": "processor", "from": 1, "to": 3, "why": "20.0/s arrive"}


class Autoscalers:
    """Stands in for Salt: node → what its generation answers at /desired; others are silent."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def call(self, nodes: Any, function: str, kwargs: Any, timeout_s: float) -> Iterator[Return]:
        self.asked.append((tuple(nodes), function))
        for node in nodes:
            answer = self.answers.get(node.replace("-", "_"))
            if answer is None:
                yield Return(node, error=SILENT)
            else:
                yield Return(node, data={"ok": True, "result": answer})


def decides(at: float = 5.0, **more: Any) -> dict[str, Any]:
    return {"1.0.0": {"decides": True, "at": at, "roles": ROLES, "changes": [CHANGE], **more}}


def stands_by() -> dict[str, Any]:
    return {"1.0.0": {"decides": False, "at": 9.0, "roles": {}, "changes": []}}


@pytest.mark.parametrize(
    ("desired", "held", "step"),
    [
        ({"processor": 3}, (), Step()),
        ({"processor": 5}, (), Step(come=("processor-04=processor", "processor-05=processor"))),
        ({"processor": 1}, (), Step(go=("processor-03", "processor-02"))),
        ({"processor": 1}, ("processor-03",), Step(go=("processor-02", "processor-01"))),
        ({"collector": 2, "web": 1}, (), Step(come=("collector-02=collector", "web-01=web"))),
        ({}, (), Step()),
    ],
)
def test_which_come_and_which_go(desired, held, step):
    assert step_to(desired, LAB, held) == step


def test_a_number_that_is_free_again_is_used_again():
    nodes = {"processor-01": "processor", "processor-03": "processor"}
    assert step_to({"processor": 3}, nodes, ()) == Step(come=("processor-02=processor",))


def test_the_one_that_decides_is_believed():
    fleet = {**FLEET, "autoscaler-02": NodeInfo("autoscaler-02", "autoscaler")}
    client = Autoscalers(autoscaler_01=stands_by(), autoscaler_02=decides())
    said = ask_autoscalers(client, fleet)
    assert (said.node, said.desired, said.changes) == ("autoscaler-02", {"processor": 3}, [CHANGE])
    assert client.asked == [(("autoscaler-01", "autoscaler-02"), "evrelease.desired")]


def test_of_two_in_the_middle_of_a_swap_the_later_word_counts():
    both = {"1.0.0": decides(at=5)["1.0.0"], "1.0.1": decides(at=7, roles={})["1.0.0"]}
    assert ask_autoscalers(Autoscalers(autoscaler_01=both), FLEET).at == 7


@pytest.mark.parametrize(
    ("fleet", "answers", "why"),
    [
        ({}, {}, "no node has the role autoscaler"),
        (FLEET, {}, "autoscaler-01: no answer"),
        (FLEET, {"autoscaler_01": {}}, "autoscaler-01: serves nothing"),
        (FLEET, {"autoscaler_01": stands_by()}, "autoscaler-01: stands by"),
    ],
)
def test_when_nobody_decides_it_is_said_who_said_what(fleet, answers, why):
    with pytest.raises(NobodyDecides) as caught:
        ask_autoscalers(Autoscalers(**answers), fleet)
    assert caught.value.why == why
    assert caught.value.exit_code == 7


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Of processes, of which none runs, and none may be started."""
    monkeypatch.setattr(operate, "up", None)
    nodes = tuple(f"{node}={role}" for node, role in LAB.items())
    lab = Lab("mine", tmp_path / "mine", "process").with_nodes(nodes)
    lab.save()
    fleet_files.write(lab)
    return lab


def follower(lab: Lab, client: Autoscalers) -> Follower:
    found = Follower(lab.root, lab.name, lambda _: None)
    found._client = client  # type: ignore[assignment]
    return found


def test_a_node_goes_with_its_key_its_files_and_its_place_on_the_map(lab):
    key = lab.master_root / "pki/minions/processor-03"
    for path in (key, lab.node_root("processor-03") / "etc/salt/minion"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    said = decides()
    said["1.0.0"]["roles"] = {"processor": {**ROLES["processor"], "desired": 2}}
    following = follower(lab, Autoscalers(autoscaler_01=said))
    assert following.step() == Step(go=("processor-03",))
    following.close()
    after = load_lab(lab.root)
    assert after is not None
    assert [node.id for node in after.nodes] == [node for node in LAB if node != "processor-03"]
    assert "processor-03" not in yaml.safe_load(lab.nodes_file.read_text())
    assert not key.exists()
    assert not lab.node_root("processor-03").exists()


def test_a_node_that_is_not_drained_stays_on_the_map(lab, monkeypatch):
    monkeypatch.setattr("cli.lab.process.Process.running", lambda *_: True)
    following = follower(lab, Autoscalers())
    with pytest.raises(LabFailed, match="processor-03 was not drained") as caught:
        following._go("processor-03")
    following.close()
    assert caught.value.why == "no answer"
    assert load_lab(lab.root) == lab
    assert "processor-03" in yaml.safe_load(lab.nodes_file.read_text())


def test_addresses_are_used_again_and_never_twice(lab):
    gone = lab.node("processor-02")
    after = lab.without("processor-02").with_nodes(("web-01", "web-02"))
    addresses = [node.address for node in after.nodes]
    assert after.node("web-01").address == gone.address
    assert len(set(addresses)) == len(addresses)


def test_explain_tells_each_role_s_number_and_what_changed(lab, monkeypatch, capsys):
    client = Autoscalers(autoscaler_01=decides())
    monkeypatch.setattr(cli.asked, "client_of", lambda _: client)
    fleet = ("--fleet", str(lab.fleet_file))
    assert run([*fleet, "scale", "explain"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("autoscaler-01 decides; last at ")
    assert "  processor         3  20.0/s arrive\n" in said
    assert "processor 1 → 3: 20.0/s arrive\n" in said
    assert run([*fleet, "scale", "explain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "node": "autoscaler-01",
        "at": 5.0,
        "roles": ROLES,
        "changes": [CHANGE],
    }
    client.answers.clear()
    assert run([*fleet, "scale", "explain"]) == 7
    assert capsys.readouterr().err.startswith("E3501 no autoscaler decides")


def test_following_a_lab_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cli.commands.lab.LABS", tmp_path)
    assert run(["lab", "follow", "--name", "none", "--once"]) == 2
    assert capsys.readouterr().err.startswith("E5301")

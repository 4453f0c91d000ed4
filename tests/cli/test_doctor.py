"""`evctl doctor`: each fault that is planted in a sound fleet is named, with what mends it."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import artifacts
import cli.asked
import cli.doctor.files
from artifacts.examine import toolkit_digest
from artifacts.trust import new_signing_key
from cli.fleet import Fleet
from cli.history.entry import Who
from cli.main import run
from cli.orders import publish_orders
from cli.salt_client import Return
from cli.salt_master import version
from cli.tokens import issue, redeem
from tests.cli.conftest import REPOSITORY, World
from tests.rollout.documents_of import document_of

NODES = ("web-01", "web-02", "db-01")


@dataclass
class Ward:
    """A fleet without a fault: its files, and what its nodes answer."""

    world: World
    release: str
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.world.root

    @property
    def documents(self):
        return Fleet.load(self.world.fleet).documents()

    def set_master(self, **changes: Any) -> None:
        file = self.root / "master/master"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))

    def call(self, nodes, function, kwargs, timeout_s) -> Iterator[Return]:
        assert function == "evrelease.examine"
        for node in nodes:
            said = {
                "release": self.release,
                "generations": [{"release": self.release, "state": "serving", "ready": True}],
                "disk_free_bytes": 10**12,
                "registry": None,
                "pillar": [],
                "toolkit": toolkit_digest(Path(artifacts.__path__[0])),
                "salt": version(),
                "clock": time.time(),
            }
            if node in self.silent:
                yield Return(node, error="unreachable")
            elif node in self.errors:
                yield Return(node, data={"ok": False, "error": self.errors[node]})
            else:
                yield Return(node, data={"ok": True, "result": said | self.changes.get(node, {})})


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Callable[[World], str]:
    """Puts a release of the app into a world's registry: made once, since it takes its time."""
    made: dict[str, Any] = {}

    def publish(world: World) -> str:
        kept = made.get("root")
        if kept is None:
            ran = world.evctl("-q", "release", "--channel", "stable", "--json")
            assert ran.code == 0, ran.err
            made["root"] = tmp_path_factory.mktemp("published")
            made["release"] = ran.json()["release"]
            for part in ("registry/releases", "registry/channels", "signing.key", "fleet.yaml"):
                _copy(world.root / part, made["root"] / part)
        else:
            for part in ("registry/releases", "registry/channels", "signing.key"):
                _copy(kept / part, world.root / part)
            world.set(trust=yaml.safe_load((kept / "fleet.yaml").read_text())["trust"])
        return str(made["release"])

    return publish


def _copy(source: Path, dest: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, dest, dirs_exist_ok=True)
    else:
        shutil.copy(source, dest)


@pytest.fixture
def ward(world: World, published, monkeypatch) -> Iterator[Ward]:
    found = Ward(world, published(world))
    (world.root / "nodes.yaml").write_text(
        yaml.safe_dump({node: {"role": "web"} for node in NODES})
    )
    new_signing_key(world.root / "orders.key")
    world.set(orders_key="orders.key")
    assert publish_orders(Fleet.load(world.fleet), world.root / "orders.key")
    with socket.create_server(("127.0.0.1", 0)) as server:
        pki, tokens = world.root / "pki", world.root / "tokens"
        for node in NODES:
            (pki / "minions").mkdir(parents=True, exist_ok=True)
            (pki / "minions" / node).touch()
            assert redeem(tokens, node, issue(tokens, node))
        states = world.root / "states"
        shutil.copytree(REPOSITORY / "salt", states, symlinks=True)
        _toolkit(states)
        (world.root / "master/master").write_text(
            yaml.safe_dump(
                {
                    "interface": "127.0.0.1",
                    "ret_port": server.getsockname()[1],
                    "root_dir": "/",
                    "pki_dir": str(pki),
                    "file_roots": {"base": [str(states)]},
                    "pillar_roots": {"base": [str(REPOSITORY / "pillar")]},
                    "module_dirs": [str(states)],
                    "autosign_grains_dir": str(tokens),
                    "ext_pillar": [{"evctl": {"fleet": str(world.fleet), "tokens": str(tokens)}}],
                    "ext_pillar_first": True,
                }
            )
        )
        monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: found)
        yield found


def _toolkit(states: Path) -> None:
    link = states / "toolkit/artifacts"
    link.unlink()
    link.symlink_to(REPOSITORY / "artifacts")


@dataclass(frozen=True)
class Found:
    code: int
    checks: list[dict[str, Any]]

    def bad(self) -> list[tuple[str, str]]:
        return [(c["name"], c["state"]) for c in self.checks if c["state"] != "fine"]


def _examine(ward: Ward, capsys, *more: str) -> Found:
    capsys.readouterr()
    code = run(["--fleet", str(ward.world.fleet), "doctor", "--json", *more])
    shown = capsys.readouterr()
    return Found(code, json.loads(shown.out)["checks"])


def test_a_sound_fleet_has_nothing(ward, capsys):
    found = _examine(ward, capsys)
    assert found.bad() == []
    assert found.code == 0
    names = {check["name"] for check in found.checks}
    assert names == {
        "fleet.yaml", "map of nodes", "signing key", "registry", "channel stable", "documents",
        "orders' key", "orders", "history", "locks", "master", "master's settings", "keys",
        "join tokens", "nodes",
    }  # fmt: skip
    (nodes,) = [check for check in found.checks if check["name"] == "nodes"]
    assert "db-01,web-[01-02]" in nodes["says"]


def _published(ward: Ward) -> Path:
    return ward.root / "registry/releases" / ward.release


def _foreign_key(ward: Ward) -> None:
    (ward.root / "signing.key").unlink()
    new_signing_key(ward.root / "signing.key")


def _signed_by_a_stranger(ward: Ward) -> None:
    manifest = _published(ward) / "manifest.json"
    said = json.loads(manifest.read_text())
    said["signatures"] = dict.fromkeys(said["signatures"], "AAAA")
    manifest.write_text(json.dumps(said))


def _left_open(ward: Ward) -> None:
    ward.documents.create(lambda rollout_id: document_of({"web-01": "web"}, rollout_id=rollout_id))


def _edited(ward: Ward) -> None:
    ward.documents.create(
        lambda rollout_id: replace(
            document_of({"web-01": "web"}, rollout_id=rollout_id).logged(1.0, "planned"),
            state="converged",
        )
    )
    file = ward.root / "documents/rollouts/R000001.json"
    file.write_text(file.read_text().replace('"planned"', '"plamned"'))


def _webhook(ward: Ward, mode: int) -> None:
    (ward.root / "webhook").write_text("https://chat.example.org/secret")
    (ward.root / "webhook").chmod(mode)
    ward.world.set(webhook="webhook")


def _cut_history(ward: Ward) -> None:
    fleet = Fleet.load(ward.world.fleet)
    fleet.history().add("key", {}, who=Who("ada", "here", "terminal"), why="", at=1.0)
    fleet.history().witness()
    (ward.root / "documents/history/00000001.json").unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


# What is done to the fleet, and what is then said: (check, state) and a word of what mends it.
FAULTS: dict[str, tuple[Callable[[Ward], Any], str, str, str]] = {
    "the map is writable by all": (
        lambda w: (w.root / "nodes.yaml").chmod(0o666), "map of nodes", "wrong", "chmod go-w"),
    "fleet.yaml is writable by all": (
        lambda w: w.world.fleet.chmod(0o666), "fleet.yaml", "wrong", "chmod go-w"),
    "the key is readable by all": (
        lambda w: (w.root / "signing.key").chmod(0o644), "signing key", "wrong", "chmod go="),
    "the key is another one": (_foreign_key, "signing key", "wrong", "trust"),
    "the key is gone": (
        lambda w: (w.root / "signing.key").unlink(), "signing key", "wrong", "evctl key new"),
    "the webhook is readable by all": (
        lambda w: _webhook(w, 0o644), "webhook", "wrong", "chmod 600"),
    "the registry is gone": (
        lambda w: shutil.rmtree(w.root / "registry"), "registry", "wrong", ""),
    "a tarball is cut": (
        lambda w: _cut(_published(w) / "release.tar"), "1.", "wrong", "publish"),
    "a tarball is gone": (
        lambda w: (_published(w) / "release.tar").unlink(), "1.", "wrong", ""),
    "a manifest is signed by a stranger": (_signed_by_a_stranger, "1.", "wrong", "trust"),
    "a channel was changed": (
        lambda w: _cut(w.root / "registry/channels/stable.json"), "channel stable", "wrong", ""),
    "a channel names nothing for a role": (
        lambda w: (w.root / "nodes.yaml").write_text("spare: {role: other}"),
        "channel stable", "doubtful", "--channel stable"),
    "the documents are gone": (
        lambda w: shutil.rmtree(w.root / "documents"), "documents", "wrong", ""),
    "a rollout was left by its driver": (
        _left_open, "rollout R000001", "wrong", "R000001"),
    "a rollout's log was edited": (_edited, "R000001", "wrong", "backup"),
    "no orders": (
        lambda w: shutil.rmtree(w.root / "registry/orders"), "orders", "doubtful", "--mend"),
    "orders of yesterday": (
        lambda w: (w.root / "nodes.yaml").write_text("web-01: {role: web}"),
        "orders", "doubtful", "--mend"),
    "nobody signs orders": (
        lambda w: w.world.set(orders_key=None), "orders", "doubtful", "evctl key new"),
    "orders of another key": (
        lambda w: (w.root / "orders.key").write_bytes((w.root / "signing.key").read_bytes()),
        "orders", "wrong", ""),
    "the history was cut": (_cut_history, "history", "wrong", "history verify"),
    "a lock has expired": (
        lambda w: w.documents.lock(["web-01"], "R000001", 1.0, 1.0), "locks", "doubtful", ""),
    "a release that is wanted is gone": (
        lambda w: w.documents.want({"web-01": "9.9.9-000000000000"}),
        "desired releases", "wrong", "evctl rollout"),
    "a node that is wanted is not on the map": (
        lambda w: w.documents.want({"gone-01": w.release}), "desired releases", "doubtful", "map"),
    "no settings of a master": (
        lambda w: (w.root / "master/master").unlink(), "master", "wrong", ""),
    "the master does not listen": (lambda w: w.set_master(ret_port=1), "master", "wrong", ""),
    "no states": (lambda w: w.set_master(file_roots={"base": ["/nowhere"]}),
                  "master's settings", "wrong", "docs/operations.md"),
    "no toolkit for the nodes": (
        lambda w: (w.root / "states/toolkit/artifacts").unlink(),
        "master's settings", "wrong", "docs/operations.md"),
    "no pillar": (lambda w: w.set_master(pillar_roots={"base": ["/nowhere"]}),
                  "master's settings", "wrong", "docs/operations.md"),
    "no modules": (lambda w: w.set_master(module_dirs=["/nowhere"]),
                   "master's settings", "wrong", "docs/operations.md"),
    "no external pillar": (lambda w: w.set_master(ext_pillar=[]),
                           "master's settings", "wrong", "docs/operations.md"),
    "the external pillar is another fleet's": (
        lambda w: w.set_master(ext_pillar=[
            {"evctl": {"fleet": "/other.yaml", "tokens": str(w.root / "tokens")}}]),
        "master's settings", "wrong", "docs/operations.md"),
    "no tokens' folder": (lambda w: w.set_master(autosign_grains_dir="/other"),
                          "master's settings", "wrong", "docs/operations.md"),
    "the master accepts whoever asks": (
        lambda w: w.set_master(auto_accept=True), "master's keys", "wrong", "auto_accept"),
    "the external pillar comes last": (
        lambda w: w.set_master(ext_pillar_first=False), "pillar", "doubtful", "docs"),
    "a key of nobody": (
        lambda w: (w.root / "pki/minions/gone-01").touch(), "keys", "doubtful", "salt-key -d"),
    "a key that waits": (
        lambda w: _move_key(w, "minions_pre"), "keys", "wrong", "salt-key -a"),
    "a key that was refused": (
        lambda w: _move_key(w, "minions_rejected"), "keys", "wrong", "salt-key -d"),
    "a node that never joined": (
        lambda w: (w.root / "pki/minions/web-01").unlink(), "keys", "doubtful", "boot"),
    "a token of a node that has joined": (
        lambda w: issue(w.root / "tokens", "web-01"), "join tokens", "doubtful", "tokens"),
    "a node is silent": (lambda w: w.silent.add("web-01"), "web-01", "wrong", "salt-minion"),
    "a node can't be examined": (
        lambda w: w.errors.update({"web-01": {"code": "E1001", "what": "no", "next": "do"}}),
        "web-01", "wrong", "do"),
    "a node serves something else": (
        lambda w: w.changes.update({"web-01": {"release": "0.9.0-000000000000"}}),
        "web-01", "wrong", "evrelease.converge"),
    "a generation isn't ready": (
        lambda w: w.changes.update({"web-01": {"generations": [
            {"release": w.release, "state": "serving", "ready": False}]}}),
        "web-01", "wrong", "evctl rollback"),
    "a node can't read the registry": (
        lambda w: w.changes.update({"web-01": {"registry": {"what": "no", "next": "mount"}}}),
        "web-01", "wrong", "mount"),
    "a node's pillar is broken": (
        lambda w: w.changes.update({"web-01": {"pillar": ["rendering failed"]}}),
        "web-01", "wrong", "pillar"),
    "a node's clock is wrong": (
        lambda w: w.changes.update({"web-01": {"clock": time.time() + 60}}),
        "web-01", "wrong", "NTP"),
    "a node's clock is late": (
        lambda w: w.changes.update({"web-01": {"clock": time.time() - 60}}),
        "web-01", "wrong", "NTP"),
    "a node's toolkit is old": (
        lambda w: w.changes.update({"web-01": {"toolkit": "0"}}),
        "web-01", "doubtful", "state.apply"),
    "a node's Salt is newer": (
        lambda w: w.changes.update({"web-01": {"salt": "9999.1"}}), "web-01", "wrong", "master"),
    "a node's disk is full": (
        lambda w: w.changes.update({"web-01": {"disk_free_bytes": 1000}}),
        "web-01", "wrong", "prune"),
}  # fmt: skip


def _move_key(ward: Ward, folder: str) -> None:
    (ward.root / "pki" / folder).mkdir()
    (ward.root / "pki/minions/web-01").rename(ward.root / "pki" / folder / "web-01")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(ward, capsys, fault):
    plant, name, state, mend = FAULTS[fault]
    plant(ward)
    found = _examine(ward, capsys)
    said = [c for c in found.checks if c["name"].startswith(name) and c["state"] == state]
    assert said, found.checks
    assert said[0]["says"]
    assert mend in said[0]["mend"]
    assert said[0]["mend"]
    assert (found.code != 0) is (state == "wrong")
    assert found.code not in (1, 3, 5)


def test_a_node_at_work_is_not_drift(ward, capsys):
    ward.changes["web-01"] = {"release": "0.9.0-000000000000"}
    ward.documents.create(lambda rollout_id: document_of({"web-01": "web"}, rollout_id=rollout_id))
    ward.documents.lock(["web-01"], "R000001", time.time(), 60.0)
    assert _examine(ward, capsys).bad() == []


def test_a_slow_answer_is_no_wrong_clock(ward, capsys):
    from cli.doctor.nodes import Examined

    assert Examined(100.0, 160.0, {"clock": 130.0}).clock_off_s() == 0
    assert Examined(100.0, 101.0, {"clock": 90.0}).clock_off_s() == 10


def test_only_some_nodes(ward, capsys):
    ward.silent.update(NODES)
    found = _examine(ward, capsys, "--range", "web-01")
    assert found.bad() == [("web-01", "wrong")]
    assert found.code == 7


def test_old_tokens(ward, capsys, monkeypatch):
    nodes = {node: {"role": "web"} for node in (*NODES, "new-01")}
    (ward.root / "nodes.yaml").write_text(yaml.safe_dump(nodes))
    issue(ward.root / "tokens", "new-01")
    assert ("join tokens", "doubtful") not in _examine(ward, capsys).bad()
    monkeypatch.setattr(cli.doctor.files, "TOKEN_AGE_S", -1.0)
    assert ("join tokens", "doubtful") in _examine(ward, capsys).bad()


def test_in_words(ward, capsys):
    ward.silent.add("web-01")
    code = run(["--fleet", str(ward.world.fleet), "doctor"])
    shown = capsys.readouterr().out
    assert code == 7
    assert "✗ web-01" in shown
    assert "mend: is web-01 on?" in shown
    assert shown.splitlines()[-1].endswith("1 wrong · 0 doubtful")

"""`evctl fleet`: what the master, the registry and the documents know, and what is said when one
of them doesn't answer. No node is there to be asked."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator

import pytest
import yaml

from cli.commands.fleet import facts_of
from cli.fleet import Fleet, NodeInfo
from cli.fleet_view import FleetView
from cli.rollout.documents import Desired
from tests.cli.conftest import WITHOUT_RIGHTS, World, run_evctl
from tests.rollout.documents_of import document_of

KEYS = {"minions": ["web-01", "gone-01"], "minions_pre": ["web-02"], "minions_rejected": ["db-01"]}


@pytest.fixture
def listening(world: World) -> Iterator[socket.socket]:
    """Something listens where nodes send their returns, and there are keys as Salt keeps them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        pki = world.root / "pki"
        settings = {
            "interface": "127.0.0.1",
            "ret_port": server.getsockname()[1],
            "root_dir": "/",
            "pki_dir": str(pki),
        }
        (world.root / "master" / "master").write_text(yaml.safe_dump(settings))
        for folder, nodes in KEYS.items():
            (pki / folder).mkdir(parents=True)
            for node in nodes:
                (pki / folder / node).touch()
        yield server


@pytest.fixture
def known(world: World, listening: socket.socket) -> str:
    """A release on the channel, web-02 wanted to run another, and R000001 at work on it."""
    ran = world.evctl("-q", "release", "--channel", "stable", "--json")
    documents = Fleet.load(world.fleet).documents()
    documents.create(lambda rollout_id: document_of({"web-02": "web"}, rollout_id=rollout_id))
    documents.want({"web-02": "9.9.9-000000000000"})
    documents.lock(["web-02"], "R000001", time.time(), 600)
    return str(ran.json()["release"])


def test_what_is_known_of_each_node(world, known):
    ran = world.evctl("fleet", "--json")
    assert ran.code == 0, ran.err
    said = ran.json()
    nothing = {"az": None, "address": None, "desired_by": None, "rollout": None,
               "channel": "stable", "groups": []}  # fmt: skip
    assert said == {
        "name": "test",
        "path": str(world.fleet),
        "registry": {"url": f"file://{world.root}/registry", "releases": 1},
        "documents": {"url": f"file://{world.root}/documents", "rollouts": 1},
        "master": {"config": str(world.root / "master")},
        "troubles": {},
        "nodes": {
            "db-01": nothing | {"role": "db", "key": "refused", "desired": None},
            "web-01": nothing | {"role": "web", "key": "joined", "desired": known, "az": "a",
                                 "desired_by": "channel"},
            "web-02": nothing | {"role": "web", "key": "waiting", "desired": "9.9.9-000000000000",
                                 "desired_by": "rollout", "rollout": "R000001"},
        },
    }  # fmt: skip


def test_in_words(world, known):
    ran = world.evctl("fleet")
    assert ran.code == 0
    words = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert words == [
        f"fleet test · 3 nodes · {world.fleet}",
        f"✔ registry file://{world.root}/registry · 1 release",
        f"✔ documents file://{world.root}/documents · 1 rollout",
        f"✔ master {world.root}/master · listens",
        "✗ db-01 db - - key refused should run nothing",
        f"✔ web-01 web a - key joined should run {known} by channel",
        "● web-02 web - - key waiting should run 9.9.9-000000000000 by rollout · "
        "R000001 is at work on it",
        "next: evctl status asks the nodes what they serve; evctl doctor checks everything",
    ]


@pytest.mark.parametrize(
    ("part", "code"), [("registry", "E2003"), ("documents", "E2003"), ("master", "E3001")]
)
def test_what_does_not_answer_is_named_and_the_rest_is_shown(world, known, part, code):
    assert world.evctl("fleet").code == 0  # whoever has seen the channel once
    shutil.rmtree(world.root / part)
    ran = world.evctl("fleet", "--json")
    assert ran.code == 7
    said = ran.json()
    assert {name: error["code"] for name, error in said["troubles"].items()} == {part: code}
    assert said["troubles"][part]["next"]
    web = said["nodes"]["web-01"]
    assert web["desired"] == (None if part == "documents" else known), "a channel seen is enough"
    assert web["desired_by"] == ("unknown" if part == "documents" else "channel")
    assert web["key"] == ("unknown" if part == "master" else "joined")
    shown = world.evctl("fleet")
    assert shown.code == 7
    (line,) = [line for line in shown.out.splitlines() if line.startswith("✗ " + part)]
    assert code in line
    assert "→ next: " in line


def test_a_master_that_has_ended_is_told_with_its_keys(world, listening):
    listening.close()
    ran = world.evctl("fleet", "--json")
    assert ran.code == 7
    assert "refused" in ran.json()["troubles"]["master"]["why"]
    assert ran.json()["nodes"]["web-01"]["key"] == "joined"


def test_a_lab_that_is_down_is_a_master_that_does_not_answer(world, listening):
    world.set(network_namespace="evlab-nowhere")
    ran = world.evctl("fleet", "--json")
    assert ran.code == 7
    assert "evlab-nowhere" in ran.json()["troubles"]["master"]["why"]
    assert world.evctl("status").code == 7


@pytest.mark.parametrize("closed", ["master/master", "pki/minions"])
def test_keys_that_may_not_be_read(world, listening, closed):
    (world.root / closed).chmod(0)
    ran = run_evctl("--fleet", world.fleet, "fleet", "--json", cwd=world.app, before=WITHOUT_RIGHTS)
    assert ran.code == 4
    assert ran.json()["troubles"]["master"]["code"] == "E3002"
    assert {node["key"] for node in ran.json()["nodes"].values()} == {"unknown"}
    (world.root / closed).chmod(0o700)


def test_an_accepted_key_counts_before_any_other(world, listening):
    (world.root / "pki/minions/db-01").touch()
    assert world.evctl("fleet", "--json").json()["nodes"]["db-01"]["key"] == "joined"


def test_a_node_without_a_role_and_without_a_key():
    view = FleetView(
        nodes={"spare-01": NodeInfo("spare-01", None)},
        releases=[],
        channels={"stable": {"web": "1"}},
        rollouts=[],
        desired=Desired({}, {}),
        holders={},
        keys={},
    )
    (facts,) = facts_of(view).values()
    assert (facts.role, facts.key, facts.desired, facts.desired_by) == (None, "none", None, None)


def test_a_node_takes_its_release_from_its_own_channel(world, known):
    (world.root / "nodes.yaml").write_text("web-01: {role: web, channel: canary}")
    node = world.evctl("fleet", "--json").json()["nodes"]["web-01"]
    assert (node["channel"], node["desired"]) == ("canary", None)

"""Commands against a fleet of files: what they print, what wrong input gets, with the exit code.

What needs a Salt master is in test_salt_client and in the fleet's own tests.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import stat
from collections import Counter
from dataclasses import replace

import boto3
import pytest

from artifacts import objects_s3
from artifacts.errors import EvctlError
from cli.commands.explain import catalogue
from cli.commands.rollback import last_change
from cli.fleet import Fleet
from cli.main import run
from cli.rollout.document import Document
from cli.rollout.errors import NothingToRollBack
from tests.cli.conftest import WITHOUT_RIGHTS, Ran, World, commit, run_evctl
from tests.rollout.documents_of import OLD, document_of

UNKNOWN_RELEASE = "1.0.0-000000000000"


def _refused(ran, code: int, error: str, *words: str) -> None:
    """One line each for what, why and next, with the error's code and the exit code."""
    assert ran.code == code, ran
    said = ran.err.splitlines()
    (at,) = [number for number, line in enumerate(said) if re.match(r"E\d{4} ", line)]
    assert said[at].startswith(error), ran.err
    labels = [line.split(":")[0].strip() for line in said[at + 1 :]]
    assert labels in (["why", "next"], ["next"]), ran.err
    for word in words:
        assert word in ran.err
    assert "Traceback" not in ran.err


# release


def test_a_release_is_published_once(world):
    first = world.evctl("release", "--json").json()
    assert re.fullmatch(r"1\.0\.0-[0-9a-f]{12}", first["release"])
    assert first["published"]
    assert first["roles"] == ["web"]
    assert set(first) == {
        "release", "published", "channel", "commit", "bytes", "roles", "seconds",
    }  # fmt: skip
    second = world.evctl("release", "--json").json()
    assert second["release"] == first["release"]
    assert not second["published"]
    assert "was published already · 20 kB · " in world.evctl("release").out


def test_a_release_says_what_comes_next(world):
    ran = world.evctl("release")
    assert ran.code == 0
    assert "next: evctl rollout --range 'role:web' --to 1.0.0-" in ran.out


def test_what_comes_next_names_only_roles_that_nodes_have(world):
    """A range that names another one is refused."""
    app = world.app / "evctl.yaml"
    more = "  jobs: {command: [python, -m, web], listen: 8091, ready_s: 1, drain_s: 1}\n"
    app.write_text(app.read_text() + more)
    commit(world.app, "a role that nobody has")
    assert "next: evctl rollout --range 'role:web' --to 1.0.0-" in world.evctl("release").out
    (world.root / "nodes.yaml").write_text("{}")
    assert "next: name nodes in " in world.evctl("release").out


def test_a_channel_is_pointed_at_it(world):
    assert world.evctl("releases", "--json").json() == {
        "releases": [],
        "channels": {"canary": {}, "stable": {}},
    }
    made = world.evctl("release", "--channel", "stable", "--json").json()
    listed = world.evctl("releases", "--json").json()
    assert listed["channels"] == {"canary": {}, "stable": {"web": made["release"]}}
    assert [each["release"] for each in listed["releases"]] == [made["release"]]
    assert "stable: web" in world.evctl("releases").out


def test_no_release_yet_says_what_to_do(world):
    assert "none yet · next: evctl release" in world.evctl("releases").out


def test_a_dirty_tree_is_refused_unless_allowed(world):
    (world.app / "web" / "__main__.py").write_text("changed\n")
    _refused(world.evctl("release"), 2, "E2", "__main__.py")
    assert world.evctl("releases", "--json").json()["releases"] == []
    assert world.evctl("release", "--allow-dirty").code == 0


def test_another_tree_is_another_release(world):
    first = world.release()
    (world.app / "web" / "more.py").write_text("more = 1\n")
    commit(world.app, "more")
    assert world.release() != first


def test_outside_of_an_app(world, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    ran = run_evctl("--fleet", world.fleet, "release", cwd=tmp_path / "elsewhere")
    _refused(ran, 2, "E5001", "no evctl.yaml")


def test_no_signing_key_named(world):
    world.set(signing_key=None)
    _refused(world.evctl("release"), 2, "E5201", "evctl key new")


def test_the_signing_key_is_missing(world):
    (world.root / "signing.key").unlink()
    ran = world.evctl("release")
    _refused(ran, ran.code, "E2", "signing.key")
    assert ran.code in (2, 4)
    assert world.evctl("releases", "--json").json()["releases"] == []


def test_a_key_that_nobody_trusts(world):
    (world.root / "signing.key").unlink()
    assert world.evctl("key", "new", world.root / "signing.key").code == 0
    _refused(world.evctl("release"), 4, "E2")


# key


def test_a_new_key_is_for_its_owner_alone_and_never_overwritten(world):
    path = world.root / "new.key"
    made = world.evctl("key", "new", path, "--json").json()
    assert made["path"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert made["public"].encode() not in before
    ran = world.evctl("key", "new", path)
    assert ran.code == 2
    assert "never overwritten" in ran.err
    assert path.read_bytes() == before


# what a registry that is away gets


ASK_REGISTRY = [
    ["release"],
    ["releases"],
    ["rollout", "--range", "web-01", "--to", UNKNOWN_RELEASE, "--yes"],
]


@pytest.mark.parametrize("arguments", ASK_REGISTRY, ids=lambda arguments: arguments[0])
def test_a_registry_that_does_not_answer(world, arguments):
    shutil.rmtree(world.root / "registry")
    _refused(world.evctl(*arguments), 7, "E2", "registry")


AWS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}


def _in_s3(world: World, server: socket.socket) -> None:
    port = server.getsockname()[1]
    world.set(registry=f"s3://releases?endpoint=http://127.0.0.1:{port}&region=eu-west-1")


@pytest.mark.parametrize("arguments", ASK_REGISTRY, ids=lambda arguments: arguments[0])
def test_a_registry_in_s3_that_refuses_connections(world, arguments):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes it
        _in_s3(world, held)
        ran = run_evctl("--fleet", world.fleet, *arguments, cwd=world.app, env=AWS)
    _refused(ran, 7, "E2003", "s3://releases", "doesn't answer")


@pytest.mark.parametrize("arguments", ASK_REGISTRY, ids=lambda arguments: arguments[0])
def test_a_registry_in_s3_that_hangs(world, arguments, monkeypatch, capsys):
    """It takes connections, and never says a word. It is waited for a bounded time."""
    monkeypatch.chdir(world.app)
    monkeypatch.setattr(objects_s3, "READ_S", 0.2)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers earlier credentials
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _in_s3(world, silent)
        code = run(["--fleet", str(world.fleet), *arguments])
    shown = capsys.readouterr()
    _refused(Ran(code, shown.out, shown.err), 7, "E2003", "s3://releases", "doesn't answer")


def test_a_registry_that_hangs_is_given_up_within_a_minute():
    assert objects_s3.READ_S * objects_s3.ATTEMPTS_MAX <= 60


@pytest.mark.parametrize("arguments", [["rollouts"], ["rollback", "--yes"]], ids=lambda a: a[0])
def test_documents_that_do_not_answer(world, arguments):
    shutil.rmtree(world.root / "documents")
    _refused(world.evctl(*arguments), 7, "E2", "documents")


# rollout


def _rollout(world: World, *more: str, to: str, where: str = "role:web"):
    return world.evctl("rollout", "--range", where, "--to", to, *more)


def test_an_unknown_release_names_the_nearest(world):
    known = world.release()
    _refused(_rollout(world, to=UNKNOWN_RELEASE), 2, "E2102", known)


@pytest.mark.parametrize("release", ["", "../../etc/passwd", "x y", "1.0.0", "-", "%00"])
def test_what_is_no_release(world, release):
    _refused(_rollout(world, to=release), 2, "E2102")


@pytest.mark.parametrize(
    "where", ["", "role:nothing", "web-09", "web-[01", "web-01!web-01", "role:", "@"]
)
def test_a_range_that_names_nothing(world, where):
    _refused(_rollout(world, to=world.release(), where=where), 2, "E5401")


def test_a_group_of_which_no_master_can_tell(world):
    _refused(_rollout(world, to=world.release(), where="@nothing"), 7, "E3001")


def test_a_role_that_the_release_does_not_know(world):
    _refused(_rollout(world, to=world.release(), where="db-01"), 2, "E4006", "db-01", "web")


def test_no_settings_of_a_master(world):
    release = world.release()
    for ran in (
        _rollout(world, "--yes", to=release),
        _rollout(world, "--plan", to=release),
        world.evctl("status"),
    ):
        _refused(ran, 7, "E3001", str(world.root / "master"))
    assert world.evctl("rollouts", "--json").json() == {"rollouts": []}


def test_a_status_of_no_nodes(world):
    (world.root / "nodes.yaml").write_text("{}")
    ran = world.evctl("status")
    assert ran.code == 0
    assert "no nodes yet" in ran.out


@pytest.mark.parametrize("arguments", [["status"], ["rollout"], ["rollback"]], ids=str)
def test_a_user_who_may_not_read_the_masters_settings(world, arguments):
    release = world.release()
    _keep(world)
    if arguments == ["rollout"]:
        arguments = ["rollout", "--range", "web-01", "--to", release, "--yes"]
    settings = world.root / "master" / "master"
    settings.write_text("interface: 127.0.0.1\n")
    settings.chmod(0)
    ran = run_evctl("--fleet", world.fleet, *arguments, cwd=world.app, before=WITHOUT_RIGHTS)
    _refused(ran, 4, "E3002", str(settings), "run evctl as root")


def test_a_user_who_may_not_read_the_signing_key_or_write_the_cache(world):
    key, cache = world.root / "signing.key", world.root / "cache"
    cache.mkdir(mode=0o500)
    ran = run_evctl("--fleet", world.fleet, "release", cwd=world.app, before=WITHOUT_RIGHTS)
    _refused(ran, 4, "E5202", str(cache), "`cache` in ")
    cache.chmod(0o700)
    key.chmod(0)
    ran = run_evctl("--fleet", world.fleet, "release", cwd=world.app, before=WITHOUT_RIGHTS)
    _refused(ran, 4, "E2203", str(key), "its owner")
    assert "evctl key new" not in ran.err, "a key is never overwritten"


@pytest.mark.parametrize("closed", ["registry", "documents"])
def test_a_user_who_may_not_use_the_registry_or_the_documents(world, closed):
    (world.root / closed).chmod(0)
    arguments = {"registry": "releases", "documents": "rollouts"}[closed]
    ran = run_evctl("--fleet", world.fleet, arguments, cwd=world.app, before=WITHOUT_RIGHTS)
    (world.root / closed).chmod(0o700)
    _refused(ran, 4, "E2004", closed)


# range


def test_a_range_is_folded_counted_and_listed(world):
    ran = world.evctl("range", "role:web,db-01")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "db-01,web-[01-02] (3 nodes)",
        "  db-01",
        "  web-01",
        "  web-02",
        "role:web,db-01   either of these · 3",
        "  role:web   nodes of role web · 2",
        "  db-01   the node of this name · 1",
    ]
    said = world.evctl("range", "all!web-02", "--json").json()
    meaning = said.pop("meaning")
    assert said == {
        "range": "all!web-02",
        "folded": "db-01,web-01",
        "count": 2,
        "nodes": ["db-01", "web-01"],
    }
    assert meaning["means"] == "the first without the second"
    assert [(part["text"], part["count"]) for part in meaning["parts"]] == [
        ("all", 3),
        ("web-02", 1),
    ]


def test_why_a_node_is_in_a_range_or_is_not(world):
    ran = world.evctl("range", "(role:web,role:db)&az:a", "--why", "web-02")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "✗ web-02 is not in it",
        "  ✗ (role:web,role:db)&az:a   both of these",
        "    ✔ role:web,role:db   either of these",
        "      ✔ role:web   nodes of role web",
        "      ✗ role:db   nodes of role db",
        "    ✗ az:a   nodes in zone a",
    ]
    said = world.evctl("range", "web-01/1", "--why", "web-01", "--json").json()
    assert (said["node"], said["in"], said["parts"][0]["in"]) == ("web-01", True, True)
    _refused(world.evctl("range", "all", "--why", "web-09"), 2, "E5401", "web-09")


@pytest.mark.parametrize("where", ["ver:1.0.0", "state:silent", "salt{G@os:Debian}"])
def test_what_only_nodes_can_say_needs_the_master(world, where):
    _refused(world.evctl("range", where), 7, "E3001")


def test_a_range_needs_neither_master_nor_registry_nor_documents(world):
    for folder in ("master", "registry", "documents"):
        shutil.rmtree(world.root / folder)
    assert world.evctl("range", "@web&az:a").code == 0


@pytest.mark.parametrize("where", ["", "role:nothing", "web-09", "web-[01", "web-01!web-01"])
def test_a_range_of_nothing_is_an_error(world, where):
    _refused(world.evctl("range", where), 2, "E5401")


# rollouts and rollback


def _keep(world: World, state: str = "converged", **more) -> Document:
    documents = Fleet.load(world.fleet).documents()
    kept = documents.create(
        lambda rollout_id: document_of(
            {"web-01": "web", "web-02": "web"}, rollout_id=rollout_id, **more
        ).logged(1000.0, "planned")
    )
    document = kept.document
    for node in document.nodes:
        document = document.with_node(
            node, state="healthy" if state == "converged" else "reverted", swap={"total_s": 1.0,
            "started_at": 1001.0}, error=None if state == "converged" else {"what": "it died"}
        )  # fmt: skip
    ended = replace(document, state=state, ended_at=1010.0)
    return documents.change(kept, lambda _: ended).document


def test_no_rollouts_yet(world):
    assert "none yet" in world.evctl("rollouts").out
    assert world.evctl("rollouts", "--json").json() == {"rollouts": []}
    _refused(world.evctl("rollback", "--yes"), 2, "E4001")


def test_rollouts_are_listed_newest_first(world):
    _keep(world)
    _keep(world, "rolled_back")
    lines = world.evctl("rollouts").out.splitlines()
    assert [re.findall(r"R\d+", line) for line in lines] == [["R000002"], ["R000001"]]
    assert "rolled_back" in lines[0]
    listed = world.evctl("rollouts", "--json").json()["rollouts"]
    assert [(each["id"], each["state"]) for each in listed] == [
        ("R000001", "converged"),
        ("R000002", "rolled_back"),
    ]


def test_one_rollout_with_its_evidence(world):
    _keep(world, "rolled_back")
    shown = world.evctl("rollouts", "R000001").out
    assert re.search(r"wave 1  web-01 .*1\.0\.0-a.* → 1\.1\.0-b.*  reverted", shown)
    assert "it died" in shown
    assert world.evctl("rollouts", "R000001", "--json").json()["from"] == OLD


@pytest.mark.parametrize("arguments", [["rollouts"], ["rollback", "--yes"]], ids=lambda a: a[0])
@pytest.mark.parametrize("name", ["R000009", "../locks", "x"])
def test_an_unknown_rollout(world, arguments, name):
    _refused(world.evctl(*arguments, name), 2, "E4002", "evctl rollouts")


def test_a_changed_log_is_said(world):
    _keep(world)
    path = world.root / "documents" / "rollouts" / "R000001.json"
    raw = json.loads(path.read_text())
    raw["log"][0]["at"] = 1.0
    path.write_text(json.dumps(raw))
    _refused(world.evctl("rollouts", "R000001"), 8, "E4004", "R000001")


def test_what_would_be_rolled_back_is_the_last_rollout_that_changed_something(world):
    fleet = Fleet.load(world.fleet)
    with pytest.raises(NothingToRollBack):
        last_change(fleet)
    _keep(world)
    _keep(world, "rolled_back")
    _keep(world, kind="rollback")
    assert last_change(fleet).id == "R000001"


def test_a_range_outside_of_the_rollout_has_nothing_to_roll_back(world):
    _keep(world)
    _refused(world.evctl("rollback", "--range", "db-01", "--yes"), 2, "E4001")


# explain


def test_every_error_is_explained_once(world):
    known = world.evctl("explain", "--json").json()
    assert {"E0001", "E2102", "E3001", "E4003", "E5401"} <= set(known)
    assert all(len(text) > 20 for text in known.values())
    for code in ("E4003", "e4003"):
        one = world.evctl("explain", code, "--json").json()
        assert (one["code"], one["exit_code"]) == ("E4003", 8)
    assert "exit code 8" in world.evctl("explain", "E4003").out


def test_no_code_has_two_meanings():
    catalogue()

    def kinds(parent):
        for kind in parent.__subclasses__():
            if kind.__module__.split(".")[0] in ("artifacts", "cli"):
                yield kind
            yield from kinds(kind)

    named = {kind for kind in kinds(EvctlError) if kind.__name__ != "RemoteError"}
    codes = Counter(kind.code for kind in named)
    assert [code for code, count in codes.items() if count > 1] == []
    assert all(kind.exit_code in (*range(1, 10), 130) and "code" in vars(kind) for kind in named)

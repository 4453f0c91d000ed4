"""`evctl history`: what each command leaves there, how it is shown, and what a cut is answered."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import pytest

import cli.asked
from cli.fleet import Fleet
from cli.main import run
from cli.rollout.document import Limits
from tests.cli.conftest import World
from tests.rollout.fake_fleet import DIED, FakeFleet

WEB = ["web-01", "web-02"]


@pytest.fixture
def nodes(monkeypatch) -> FakeFleet:
    fake = FakeFleet.of([*WEB, "db-01"])
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: fake)
    return fake


@pytest.fixture
def evctl(world: World, nodes, capsys, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.7 5022 10.0.0.1 22")
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.chdir(world.app)

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["--fleet", str(world.fleet), *arguments])
        return code, capsys.readouterr().out

    return call


def _entries(evctl) -> list[dict]:
    """Oldest first."""
    code, out = evctl("history", "--json")
    assert code == 0
    return list(reversed(json.loads(out)["entries"]))


def test_what_each_command_leaves(evctl, world, nodes):
    code, out = evctl("release", "--channel", "stable", "--reason", "the first", "--json")
    assert code == 0
    release = json.loads(out)["release"]
    where = ("--range", "role:web", "--to", release, "--bake", "0", "--yes")
    assert evctl("rollout", *where, "--reason", "faster")[0] == 0
    assert evctl("rollback", "--yes")[0] == 0
    nodes.fails = {("web-01", "evrelease.converge"): DIED}
    assert evctl("rollout", *where)[0] == 5
    assert evctl("key", "new", str(world.root / "another.key"))[0] == 0

    entries = _entries(evctl)
    told = [(e["event"], e["what"].get("id"), e["what"].get("state"), e["why"]) for e in entries]
    assert told[0][0], told[0][3] == ("release", "the first")
    assert told[1] == ("channel", None, None, "the first")
    assert told[2:4] == [("rollout", "R000001", "running", "faster"),
                         ("rollout", "R000001", "converged", "faster")]  # fmt: skip
    assert told[4][:3] == ("rollback", "R000002", "running")
    assert told[5][:3] == ("rollback", "R000002", "converged")
    assert told[6][:3] == ("rollout", "R000003", "running")
    assert told[-2][:3] == ("rollout", "R000003", "rolled_back")
    assert told[-1][0] == "key"
    assert entries[2]["what"]["nodes"] == "web-[01-02]"
    assert {(e["who"]["user"], e["who"]["came_from"]) for e in entries} == {("ada", "10.0.0.7")}
    assert "private" not in json.dumps(entries).lower()

    code, out = evctl("history", "--last", "1")
    assert out.startswith(f"{len(entries):6} ")
    assert "by ada on " in out
    assert evctl("history", "verify")[0] == 0


def test_verify_prints_a_head_to_keep_and_takes_it_back(evctl, world):
    world.release()
    code, out = evctl("history", "verify")
    assert code == 0
    head = out.splitlines()[-1].split()[-1]
    assert evctl("history", "verify", "--head", head)[0] == 0
    assert json.loads(evctl("history", "verify", "--json")[1]) == {
        "entries": 1, "head": head, "unasked": []}  # fmt: skip
    other = head[:-1] + ("0" if head[-1] != "0" else "1")
    code, out = evctl("history", "verify", "--head", other, "--json")
    assert code == 4
    assert json.loads(out)["error"]["code"] == "E4202"
    for nonsense in ("", "42", "42:xyz", "1:", "-1:0123456789"):
        assert evctl("history", "verify", "--head", nonsense)[0] == 2


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"event": "swap_done"', '"event": "swap_failed"', "the log of R000001 was changed"),
        ('"max_fail": 0', '"max_fail": 9', "R000001 isn't what was planned"),
        ('"state": "converged"', '"state": "done"', "the document of R000001 can't be read"),
        (
            '"operator": "ada"',
            '"operator": "eve"',
            "R000001: its operator is 'eve'; entry 2 has 'ada'",
        ),
        ('"reason": "faster"', '"reason": ""', "R000001: its reason is ''; entry 2 has 'faster'"),
    ],
)
def test_a_rollout_whose_own_record_was_edited_is_named(
    *, evctl, world, nodes, before, after, said
):
    new = json.loads(evctl("release", "--json")[1])["release"]
    where = ("--range", "web-01", "--to", new, "--bake", "0", "--reason", "faster", "--yes")
    assert evctl("rollout", *where)[0] == 0
    assert evctl("history", "verify")[0] == 0
    document = world.root / "documents/rollouts/R000001.json"
    document.write_text(document.read_text().replace(before, after, 1))
    code, out = evctl("history", "verify", "--json")
    assert code == 4
    assert said in out


def test_a_plan_that_was_replaced_with_its_digest_is_named(evctl, world):
    new = json.loads(evctl("release", "--json")[1])["release"]
    assert evctl("rollout", "--range", "web-01", "--to", new, "--bake", "0", "--yes")[0] == 0
    documents = Fleet.load(world.fleet).documents()
    documents.change(
        documents.load("R000001"), lambda found: replace(found, limits=Limits(max_fail=9)).planned()
    )
    code, out = evctl("history", "verify", "--json")
    assert code == 4
    assert "R000001: its plan is 'p-" in out


def test_a_rollout_that_was_refused_before_it_began_is_no_gap(evctl, world):
    new = json.loads(evctl("release", "--json")[1])["release"]
    Fleet.load(world.fleet).documents().lock(["web-01"], "R000042", time.time(), 60)
    where = ("--range", "web-01", "--to", new, "--bake", "0", "--yes")
    assert evctl("rollout", *where)[0] == 8
    assert [one["state"] for one in json.loads(evctl("rollouts", "--json")[1])["rollouts"]] == [
        "failed"
    ]
    assert evctl("history", "verify")[0] == 0


@pytest.mark.parametrize("witness", ["registry", "cache"])
def test_a_cut_is_found_by_either_witness(evctl, world, witness):
    world.release()
    (world.root / "documents/history/00000001.json").unlink()
    shutil.rmtree(world.root / {"registry": "cache", "cache": "registry"}[witness] / "history")
    assert evctl("history", "verify")[0] == 4


def test_a_release_is_published_where_the_documents_are_out_of_reach(world):
    shutil.rmtree(world.root / "documents")
    ran = world.evctl("release", "--json")
    assert ran.code == 0
    assert "? not in the history: E2003" in ran.err


def test_nothing_yet(evctl):
    code, out = evctl("history")
    assert (code, out) == (0, "nothing yet · next: evctl release --channel stable\n")
    assert evctl("history", "verify")[0] == 0

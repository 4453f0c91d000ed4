"""docs/aws/README.md: its file and its commands, one after the other, on the local engines; and the
event store on what they made, by the settings that it shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import cli.asked
from artifacts.gates import read_gate
from cli.aws.user_data import user_data
from cli.lab.image import MINION_UNIT
from cli.main import run
from cli.rollout.gates import Span, judge
from eventstore import engines, settings
from tests.aws.shop import POLICIES, Shop
from tests.aws.test_nodes import a_fleet
from tests.contracts.test_queue import pack_of
from tests.rollout.fake_fleet import FakeFleet

GUIDE = (POLICIES / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (evctl .*?)(?:\s{2,}#.*)?$", GUIDE, re.MULTILINE)
OF_A_MASTER = {"evctl fleet", "evctl status"}  # which isn't started here; a lab's tests run them


def block(key: str) -> dict[str, Any]:
    """The one block of YAML that has this key."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (found,) = [read for one in blocks if key in (read := yaml.safe_load(one))]
    assert isinstance(found, dict)
    return found


def test_the_guide_leads_from_nothing_to_an_environment_and_back(
    shop: Shop,
    nodes: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    fleet = a_fleet(tmp_path)
    write_file(tmp_path / "aws" / "prod.yaml", shop.app, nodes["groups"]["collector"])
    shutil.copytree(POLICIES, tmp_path / "docs" / "aws")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVCTL_FLEET", str(fleet.path))
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: FakeFleet.of(fleet.nodes()))
    said: dict[str, dict[str, Any]] = {}
    for command in COMMANDS:
        if command in OF_A_MASTER:
            continue
        if "destroy" in command:
            check_settings(shop.app)
        words = shlex.split(command.replace("shop-prod", f"{shop.app}-prod"))[1:]
        code = run([*words, "--json"])
        said[words[1]] = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert code == 0, (command, said)
    described = block("queues")
    profiles = {one["instance_profile"] for one in described["groups"].values()}
    assert profiles < {f"shop-prod-{role}" for role in described["roles"]}
    made = {(one["action"], one["name"]) for one in said["roles"]["changes"]}
    assert made == {("create", f"{shop.app}-prod-{role}") for role in described["roles"]}
    assert {one["action"] for one in said["plan"]["changes"]} == {"create"}
    assert {one["action"] for one in said["apply"]["changes"]} == {"keep"}  # of the second
    assert len(said["join"]["joined"]) == 2 + 2 + 1
    assert len(said["bill"]["generations"]) == 0  # these machines are moto's
    assert sum(one["machines"] for one in said["bill"]["machines"]) == 2 + 2 + 1
    assert {one["what"] for one in said["bill"]["kept"]} == {"table events", "bucket store"}
    assert {one["kind"] for one in said["destroy"]["deleted"]} == {
        *("queue", "table", "bucket", "template", "group", "alarm")
    }


def test_what_it_installs_is_what_a_node_needs(tmp_path: Path):
    """Read by a shell, not run: the unit that it writes, and the versions."""
    install = block("install")["install"]
    script = user_data("shop-prod", "collector", "salt.internal", install)
    subprocess.run(["sh", "-n"], input=script.encode(), timeout=30, check=True)
    (pip,) = (line for line in install if "/pip install" in line)
    needed = (POLICIES.parent.parent / "requirements" / "node.in").read_text().splitlines()
    assert pip.split()[3:] == [line for line in needed if not line.startswith("#")]
    unit = tmp_path / "salt-minion.service"
    write = install[-1].replace("/etc/systemd/system/salt-minion.service", str(unit))
    subprocess.run(["sh", "-c", write], timeout=30, check=True)
    assert set(unit.read_text().split("\n")) <= set(MINION_UNIT.split("\n"))


def test_the_gate_that_it_gives_is_one_that_processors_are_measured_by():
    gate = read_gate("age", block("age")["age"])
    within, every = (f'ev_pack_wait_seconds_bucket{{le="{bound}"}}' for bound in ("10", "+Inf"))
    long, short = {within: 98.0, every: 100.0}, {within: 100.0, every: 100.0}
    assert [judge(gate, [Span({}, one)], []).state for one in (long, short)] == ["failed", "passed"]


def write_file(path: Path, app: str, there: dict[str, Any]) -> None:
    """The guide's, with an app of its own, and the network that moto has."""
    described = block("queues")
    for group in described["groups"].values():
        group.update({key: there[key] for key in ("subnets", "security_groups")})
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({**described, "app": app}))


def check_settings(app: str) -> None:
    """The event store, as the pillar sets it, opens on what was made; each role the same."""
    by_role = block("evctl")["evctl"]["settings"]
    assert by_role["collector"] == by_role["processor"] == by_role["postprocessor"]
    assert block("queue") == by_role["collector"]
    given = {key: one.replace("shop-", f"{app}-") for key, one in by_role["processor"].items()}
    options = settings.from_dict(given)
    queue, store = engines.open_queue(options), engines.open_store(options)
    pack = pack_of(b"body")
    queue.put([pack])
    (lease,) = queue.claim(1, 60)
    assert lease.pack_id == pack.pack_id
    queue.ack([lease])
    assert list(store.packs()) == []
    assert list(engines.open_aggregates(options).windows()) == []
    queue.close()
    store.close()

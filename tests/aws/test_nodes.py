"""Launch templates, auto scaling groups and alarms on moto; what a machine does at first."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from artifacts.trust import new_signing_key
from cli.aws import fixed, node_map
from cli.aws.account import Account
from cli.aws.drain import Leaver, leavers, let_go
from cli.aws.environment_file import load_environment
from cli.aws.user_data import user_data
from cli.fleet import Fleet, FleetError
from cli.salt_client import Return
from cli.tokens import redeem
from scaling.prices import load
from tests.aws.shop import POLICIES, REGION, Shop, client


def test_what_a_group_names_and_is_not_there(shop: Shop, nodes: dict[str, Any]):
    nodes["groups"]["collector"]["security_groups"] = ["sg-0"]
    shop.write(queues={}, tables={}, buckets={}, **nodes)
    error = shop.refused("apply", "--yes")
    assert (error["code"], error["exit"]) == ("E6003", "6")
    assert "sg-0" in error["why"]


@pytest.mark.parametrize("kind", ["template", "group", "alarm"])
def test_names_that_are_taken_are_left_alone(shop: Shop, nodes: dict[str, Any], kind: str):
    name = shop.name("collector")
    if kind == "template":
        client("ec2").create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "c7g.large"}
        )
    elif kind == "group":
        group = nodes["groups"]["collector"]
        client("ec2").create_launch_template(
            LaunchTemplateName=f"other-{name}",
            LaunchTemplateData={"InstanceType": "c7g.large", "ImageId": group["image"]},
        )
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": f"other-{name}"},
            MinSize=0,
            MaxSize=0,
            VPCZoneIdentifier=group["subnets"][0],
        )
    else:
        client("cloudwatch").put_metric_alarm(
            AlarmName=shop.name("packs-age"),
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
    shop.write(tables={}, buckets={}, alarms={}, **nodes)
    assert shop.refused()["code"] == "E6004"


def test_new_machines_are_put_on_the_map_and_given_a_token_each_once(
    shop: Shop, nodes: dict[str, Any], tmp_path: Path, actions: set[str]
):
    fleet = a_fleet(tmp_path)
    before = fleet.config.nodes.read_text()
    shop.write(queues={}, **nodes)
    shop.apply()
    actions.clear()
    code, said = shop.evctl("join", "--yes", fleet=fleet.path)
    assert code == 0
    joined = {one["node"]: one for one in said["joined"]}
    assert len(joined) == 2
    assert fleet.config.nodes.read_text().startswith(before)  # what people wrote there
    for node, one in joined.items():
        known = fleet.nodes()[node]
        assert node == f"collector-{one['instance']}"
        assert known.groups == (shop.name("")[:-1],)
        assert (known.role, known.az, known.address) == ("collector", one["az"], one["address"])
        (found,) = client("ec2").describe_tags(
            Filters=[
                {"Name": "resource-id", "Values": [one["instance"]]},
                {"Name": "key", "Values": ["evctl-token"]},
            ]
        )["Tags"]
        assert redeem(tmp_path / "tokens", node, found["Value"])
        assert not redeem(tmp_path / "tokens", "collector-i-other", found["Value"])
    assert shop.evctl("join", "--yes", fleet=fleet.path)[1]["joined"] == []
    leavers(Account(REGION), fleet, load_environment("test", shop.file))
    _check_what_it_costs(shop)
    policy = json.loads((POLICIES / "master.json").read_text())
    assert actions | {"autoscaling:CompleteLifecycleAction"} == {
        action for one in policy["Statement"] for action in one["Action"]
    }
    held = ("--with-data", shop.name("collector"), "--with-data", shop.name("store"))
    shop.evctl("destroy", "--yes", *held)


def _check_what_it_costs(shop: Shop) -> None:
    """`evctl aws bill --env` asks these, on the master."""
    env, account, prices = load_environment("test", shop.file), Account(REGION), load()
    (one,), (disks,) = fixed.machines(account, env, prices, time.time(), 3600)
    assert (one.role, one.instance, one.machines) == ("collector", "c7g.large", 2)
    assert 0 < one.hours < 2
    assert one.usd == pytest.approx(one.hours * 0.0725)
    assert (disks.disks, disks.gb) == (2, 2 * 8)  # as moto makes them
    assert disks.usd
    client("s3").put_object(Bucket=shop.name("store"), Key="a/b", Body=b"x" * 1000)
    kept = {one.what: one for one in fixed.kept(account, env, prices)}
    assert kept.keys() == {"table events", "bucket store"}
    assert kept["bucket store"].bytes == 1000
    assert kept["bucket store"].usd_per_month == pytest.approx(1e-6 * 0.023)


def test_hours_of_machines_that_come_and_go():
    def machine(began_s: int, state: str, reason: str = "") -> dict[str, Any]:
        return {
            "InstanceType": "c7g.medium",
            "LaunchTime": datetime.fromtimestamp(began_s, UTC),
            "State": {"Name": state},
            "StateTransitionReason": reason,
            "Tags": [{"Key": "evctl-role", "Value": "processor"}],
        }

    now_s = 1_795_737_600  # 2026-11-27, at midnight
    there = [
        machine(now_s - 86_400, "running"),
        machine(now_s - 1800, "shutting-down"),
        machine(now_s - 7200, "terminated", "User initiated (2026-11-26 23:15:00 GMT)"),
        machine(now_s - 86_400, "terminated", "User initiated (2026-11-26 22:15:00 GMT)"),
        machine(now_s - 600, "terminated", "nobody knows"),
    ]
    (one,) = fixed.hours_of(there, load(), now_s, 3600)
    assert (one.machines, one.hours) == (3, 1 + 0.5 + 0.25)
    (one,) = fixed.hours_of([{**there[0], "InstanceType": "x9.huge"}], load(), now_s, 3600)
    assert one.usd is None


def test_disks_cost_by_their_kind_and_their_time():
    def disk(began_s: float, kind: str) -> dict[str, Any]:
        return {"CreateTime": datetime.fromtimestamp(began_s, UTC), "VolumeType": kind, "Size": 73}

    now_s, month_s = 1_795_737_600.0, 730 * 3600
    there = [disk(now_s - 2 * month_s, "gp3"), disk(now_s - month_s / 2, "gp3"), disk(now_s, "io9")]
    gp3, other = fixed.disks_of(there, load(), now_s, month_s)
    assert (gp3.disks, gp3.gb, gp3.usd) == (2, 146, pytest.approx(0.08 * 73 * 1.5))
    assert (other.kind, other.usd) == ("io9", None)


@pytest.mark.parametrize("command", ["join", "drain"])
def test_elsewhere_nobody_joins_and_nobody_is_taken_off_the_map(
    shop: Shop, nodes: dict[str, Any], tmp_path: Path, command: str
):
    fleet = a_fleet(tmp_path)
    place, facts = shop.name("")[:-1], {"role": "collector"}
    node_map.add(fleet.config.nodes, {"collector-i-0": {**facts, "groups": [place]}})
    shop.write(**{**nodes, "account": "999999999999"})
    code, said = shop.evctl(command, "--yes", fleet=fleet.path)
    assert (code, said["error"]["code"]) == (4, "E6001")
    assert "collector-i-0" in fleet.nodes()


def a_fleet(root: Path) -> Fleet:
    """Files of a fleet whose master nobody has started."""
    (root / "nodes.yaml").write_text("# ours\nconsole-01: {role: console}\n")
    for folder in ("salt", "documents", "pki/minions"):
        (root / folder).mkdir(parents=True)
    (root / "salt" / "master").write_text(
        f"autosign_grains_dir: {root}/tokens\npki_dir: {root}/pki\n"
    )
    described = {
        "name": "test",
        "salt_master_config": "salt",
        "registry": f"file://{root}/registry",
        "documents": f"file://{root}/documents",
        "nodes": "nodes.yaml",
        "trust": {"k1": new_signing_key(root / "key")},
    }
    (root / "fleet.yaml").write_text(yaml.safe_dump(described))
    return Fleet.load(root / "fleet.yaml")


def test_a_map_that_nodes_cannot_be_added_to_stays_as_it_is(tmp_path: Path):
    path = tmp_path / "nodes.yaml"
    text = "{console-01: {role: console}}\n"
    path.write_text(text)
    with pytest.raises(FleetError, match="can't be changed"):
        node_map.add(path, {"collector-i-0abc": {"role": "collector"}})
    assert path.read_text() == text


class Holding(Account):
    """moto knows no machine that waits for a hook: one is said to, and what ends its wait is
    noted."""

    def __init__(self, instance: str) -> None:
        super().__init__(REGION)
        self._instance = instance
        self.ended: list[dict[str, Any]] = []

    def all(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        found = super().all(service, operation, key, **arguments)
        for group in found if key == "AutoScalingGroups" else ():
            for one in group["Instances"]:
                if one["InstanceId"] == self._instance:
                    one["LifecycleState"] = "Terminating:Wait"
        return found

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation != "complete_lifecycle_action":
            return super().call(service, operation, **arguments)
        self.ended.append(arguments)
        return {}


@dataclass
class Retiring:
    """Nodes that are asked to drain; fleet: as they find it then."""

    fleet: Fleet
    drained: bool
    asked: list[tuple[str, bool]] = field(default_factory=list)  # node, whether it is on the map

    def call(self, nodes, function, kwargs, timeout_s) -> Iterator[Return]:
        assert function == "evrelease.retire"
        for node in nodes:
            self.asked.append((node, node in self.fleet.nodes()))
            result = {"stopped": ["r"], "drained": self.drained, "drain_s": 1.5}
            yield Return(node, data={"ok": True, "result": result})


def test_who_is_to_go_is_drained_off_the_map_and_then_let_go(
    shop: Shop, nodes: dict[str, Any], tmp_path: Path
):
    fleet = a_fleet(tmp_path)
    before = fleet.config.nodes.read_text()
    shop.write(queues={}, tables={}, buckets={}, **nodes)
    shop.apply()
    joined = shop.evctl("join", "--yes", fleet=fleet.path)[1]["joined"]
    env = load_environment("test", shop.file)
    (one, other) = (each["instance"] for each in joined)
    node = f"collector-{one}"
    key = tmp_path / "pki" / "minions" / node
    key.touch()
    account = Holding(one)
    assert leavers(Account(REGION), fleet, env) == []
    (leaver,) = leavers(account, fleet, env)
    assert leaver == Leaver(node, one, shop.name("collector"))

    stuck = Retiring(fleet, drained=False)
    assert let_go(account, fleet, stuck, leaver).why.startswith("it had to be killed")
    assert stuck.asked == [(node, False)]  # so that nothing brings it back meanwhile
    assert node in fleet.nodes()
    assert (account.ended, key.exists()) == ([], True)

    assert let_go(account, fleet, Retiring(fleet, drained=True), leaver).drained_s == 1.5
    assert node not in fleet.nodes()
    assert not key.exists()
    assert account.ended == [
        {
            "AutoScalingGroupName": shop.name("collector"),
            "LifecycleHookName": "evctl-drain",
            "InstanceId": one,
            "LifecycleActionResult": "CONTINUE",
        }
    ]

    shop.evctl("destroy", "--yes", "--with-data", shop.name("collector"))
    code, said = shop.evctl("drain", "--yes", fleet=fleet.path)  # the other's machine has gone
    gone = {"node": f"collector-{other}", "drained_s": None, "why": "its machine had gone"}
    assert (code, said["left"]) == (0, [{**gone, "gone": True}])
    assert fleet.config.nodes.read_text() == before
    assert shop.evctl("drain", "--yes", fleet=fleet.path)[1]["left"] == []


class Metadata(BaseHTTPRequestHandler):
    """An instance's own metadata: for whoever asked for a session first. Its token comes late."""

    asked: int

    def do_PUT(self) -> None:
        assert self.path == "/latest/api/token"
        self._say(200, b"session")

    def do_GET(self) -> None:
        kind = type(self)
        if self.headers.get("X-aws-ec2-metadata-token") != "session":
            self._say(401, b"")
        elif self.path == "/latest/meta-data/instance-id":
            self._say(200, b"i-0abc")
        elif self.path == "/latest/meta-data/tags/instance/evctl-token":
            kind.asked += 1
            self._say(*((404, b"") if kind.asked < 2 else (200, b"t0ken")))
        else:
            self._say(404, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_a_machine_becomes_a_node_of_its_role_when_it_was_given_its_token(tmp_path: Path):
    """The script itself, with another address, another folder and no systemd."""
    handler = type("Handler", (Metadata,), {"asked": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        script = user_data("shop-test", "processor", "salt.internal", [f"touch {tmp_path}/ready"])
        script = script.replace("169.254.169.254", f"127.0.0.1:{server.server_address[1]}")
        script = script.replace("/etc/salt", f"{tmp_path}/salt")
        systemctl = tmp_path / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/systemctl\n')
        systemctl.chmod(0o755)
        path = f"{systemctl.parent}:{os.environ['PATH']}"
        try:
            subprocess.run(["sh", "-c", script], env={"PATH": path}, timeout=60, check=True)
        finally:
            server.shutdown()
            thread.join()
    minion = tmp_path / "salt" / "minion"
    said = yaml.safe_load(minion.read_text())
    assert (said["id"], said["master"]) == ("processor-i-0abc", "salt.internal")
    assert said["grains"] == {"evctl_token": "t0ken"}
    assert said["autosign_grains"] == ["evctl_token"]
    assert said["tcp_keepalive_idle"] + 3 * said["tcp_keepalive_intvl"] < 60  # a master's patience
    assert minion.stat().st_mode & 0o077 == 0
    assert (tmp_path / "ready").exists()
    assert (tmp_path / "systemctl").read_text() == "enable --now salt-minion\n"

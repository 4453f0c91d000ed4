"""Launch templates, auto scaling groups and alarms on moto; what a machine does at first."""

from __future__ import annotations

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.aws.user_data import user_data
from tests.aws.shop import Shop, client


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
    assert minion.stat().st_mode & 0o077 == 0
    assert (tmp_path / "ready").exists()
    assert (tmp_path / "systemctl").read_text() == "enable --now salt-minion\n"

"""The demo's copy of the repository says what an app says that runs on AWS's engines."""

from __future__ import annotations

import subprocess
from pathlib import Path

from artifacts.app import load_app
from cli.lab.spec import REPOSITORY
from demo.source import AWS_LOCK, Source


def test_the_app_on_aws_carries_boto3_and_has_no_gate_on_what_sqs_does_not_tell(
    tmp_path: Path,
) -> None:
    (tmp_path / "evctl.yaml").write_text((REPOSITORY / "evctl.yaml").read_text())
    lock = tmp_path / AWS_LOCK
    lock.parent.mkdir()
    lock.touch()
    subprocess.run(("git", "init", "-q", str(tmp_path)), check=True, timeout=30)
    Source(tmp_path).run_on_aws()
    before, after = load_app(REPOSITORY / "evctl.yaml"), load_app(tmp_path / "evctl.yaml")
    assert str(after.requirements).endswith(AWS_LOCK)
    assert "boto3==" in (REPOSITORY / AWS_LOCK).read_text()
    gates = {role: set(one.gates) for role, one in before.roles.items()}
    left = {role: set(one.gates) for role, one in after.roles.items()}
    assert gates["processor"] - left["processor"] == {"age"}
    assert left == gates | {"processor": left["processor"]}

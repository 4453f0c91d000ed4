"""The registry is gone, or slow, or what lies in it isn't what was published."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from cli.lab.spec import REPOSITORY
from faults.fault import Outcome
from faults.scene import Scene
from faults.slow_registry import BUCKET

SLOW_NODE = "processor-02"
PORT = 9000
BYTES_A_SECOND = 500_000
CREDENTIALS = "[default]\naws_access_key_id = lab\naws_secret_access_key = lab\n"


@contextmanager
def _gone(registry: Path) -> Iterator[None]:
    away = registry.with_name("registry.away")
    registry.rename(away)
    try:
        yield
    finally:
        away.rename(registry)


def gone_while_nodes_fetch(scene: Scene) -> Outcome:
    """None of them can have the release: nobody changes."""
    new = scene.release("")
    running = scene.begin(new)
    running.until_event("planned")
    with _gone(scene.lab.registry):
        running.end()
    return Outcome(scene.document(running.rollout).state, scene.everywhere(scene.base))


def gone_once_they_have_it(scene: Scene) -> Outcome:
    """Neither the waves nor the way back need it."""
    running = scene.begin(scene.good)
    running.until_event("swap")
    with _gone(scene.lab.registry):
        running.end()
        state = scene.document(running.rollout).state
        if state == "converged":
            scene.wait_until_served(scene.everywhere(scene.good))
            scene.evctl("rollback", "--yes")
    return Outcome(state, scene.everywhere(scene.base))


def corrupt(scene: Scene) -> Outcome:
    """A bit of the tarball has flipped since it was published: no node takes it."""
    new = scene.release("")
    tarball = scene.lab.registry / "releases" / new / "release.tar"
    with tarball.open("r+b") as file:
        file.seek(tarball.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    done = scene.roll_out(new, expect=5)
    said = [line["error"] for line in done.lines if "error" in line and "event" not in line]
    if "E2103" not in said[-1]["why"]:
        raise AssertionError(f"the rollout says {said[-1]}")
    return Outcome(done.result["state"], scene.everywhere(scene.base))


def slow(scene: Scene) -> Outcome:
    """For one node, over the network: the others wait for it, and serve."""
    new = scene.release("")
    with _slow_for_one_node(scene):
        done = scene.roll_out(new, expect=None)
    return Outcome(done.result["state"], scene.everywhere(new))


@contextmanager
def _slow_for_one_node(scene: Scene) -> Iterator[None]:
    lab = scene.lab
    server = subprocess.Popen(
        (
            *("ip", "netns", "exec", lab.network, sys.executable, "-m", "faults.slow_registry"),
            *(str(lab.registry), "--address", lab.master_address, "--port", str(PORT)),
            *("--bytes-a-second", str(BYTES_A_SECOND)),
        ),
        cwd=REPOSITORY,
    )
    root = lab.node_root(SLOW_NODE) / "merged"
    settings = root / "etc/evctl/node.yaml"
    before = settings.read_text()
    url = f"s3://{BUCKET}?endpoint=http://{lab.master_address}:{PORT}"
    keys = root / "root/.aws/credentials"
    keys.parent.mkdir(exist_ok=True)
    keys.write_text(CREDENTIALS)
    settings.write_text(yaml.safe_dump({**yaml.safe_load(before), "registry": url}))
    try:
        yield
    finally:
        settings.write_text(before)
        server.kill()
        server.wait()

"""The tools that are compared: how each brings the nodes to a release, and back. Commands are data;
they run on the master's side of the lab's network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.rollout import recipes
from bench.rollout.stage import NODES, Stage
from cli.lab.spec import REPOSITORY

LOCK = REPOSITORY / "requirements/peers.lock"
PEERS = REPOSITORY / "build/cache/peers"
INSTALL_S = 300.0

Command = tuple[str, ...]


@dataclass(frozen=True)
class Tool:
    """to: (stage, release, whether it is to be fetched) → what brings all nodes there. back: to the
    release before. with_one_off: further words when a node is off."""

    name: str
    to: Callable[[Stage, str, bool], Command]
    back: Callable[[Stage], Command]
    with_one_off: Command = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def evctl_to(stage: Stage, release: str, _fetch: bool) -> Command:
    """By twos, no bake and no gates, as the peers go; it fetches what isn't there."""
    return stage.evctl.command(
        *("rollout", "--range", "role:collector", "--to", release),
        *("--canary", "2", "--waves", "4", "--bake", "0s", "--gate", "none"),
        *("--yes", "--json"),
    )


def evctl_back(stage: Stage) -> Command:
    return stage.evctl.command("rollback", "--yes", "--json")


def salt_to(stage: Stage, release: str, fetch: bool) -> Command:
    pillar = json.dumps({"release": release, "fetch": fetch})
    return (
        *(str(Path(sys.executable).with_name("salt")), "-c", str(stage.lab.master_root / "etc")),
        # -t: Salt's own; the lab's is shorter.
        *("-t", "5", "-b", "2", "*", "state.apply", "app", f"pillar={pillar}"),
    )


def ansible_to(stage: Stage, release: str, fetch: bool) -> Command:
    return (
        *(str(PEERS / "bin/ansible-playbook"), "-i", str(stage.folder / "ansible.ini")),
        *("-e", f"release={release}", "-e", f"fetch={str(fetch).lower()}"),
        *("-e", f"tarball={stage.tarball(release)}", str(stage.folder / "ansible.yml")),
    )


def pyinfra_to(stage: Stage, release: str, fetch: bool) -> Command:
    return (
        *(str(PEERS / "bin/pyinfra"), "--serial", "-y", "--data", f"release={release}"),
        *("--data", f"fetch={'yes' if fetch else 'no'}"),
        *("--data", f"tarball={stage.tarball(release)}"),
        *(str(stage.folder / "pyinfra_nodes.py"), str(stage.folder / "pyinfra_deploy.py")),
    )


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("evctl", evctl_to, evctl_back, ("--max-unreachable", "1")),
        Tool("salt-batch", salt_to, lambda stage: salt_to(stage, stage.old, False)),
        Tool("ansible", ansible_to, lambda stage: ansible_to(stage, stage.old, False)),
        Tool("pyinfra", pyinfra_to, lambda stage: pyinfra_to(stage, stage.old, False)),
    )
}


def environment(stage: Stage, tool: Tool) -> dict[str, str]:
    own = {
        "evctl": stage.evctl.environment(),
        "ansible": {
            "ANSIBLE_CONFIG": str(stage.folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(stage.folder / "ansible"),
            "LC_ALL": "C.UTF-8",
        },
    }
    return {**os.environ, **own.get(tool.name, {})}


def inside(stage: Stage, tool: Tool, command: Command) -> Command:
    """evctl finds the lab's network by itself."""
    return command if tool.name == "evctl" else ("ip", "netns", "exec", stage.lab.network, *command)


def install_peers() -> None:
    """Their virtual environment; made once for each lock."""
    ready = PEERS / f"ready-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if ready.exists():
        return
    pip = (str(PEERS / "bin/pip"), "install", "-q", "--disable-pip-version-check")
    for command in (
        (sys.executable, "-m", "venv", "--clear", str(PEERS)),
        (*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)),
    ):
        subprocess.run(command, timeout=INSTALL_S, check=True)
    ready.touch()


def write_recipes(stage: Stage) -> None:
    """Inventories and recipes, for the nodes of this lab."""
    addresses = [stage.lab.node(node).address for node in NODES]
    login = f"ansible_user=root ansible_ssh_private_key_file={stage.key}"
    hosts = "".join(
        f"{node} ansible_host={address} {login}\n"
        for node, address in zip(NODES, addresses, strict=True)
    )
    pairs = [
        (node, {"ssh_hostname": address, "ssh_user": "root", "ssh_key": str(stage.key),
                "ssh_strict_host_key_checking": "no"})
        for node, address in zip(NODES, addresses, strict=True)
    ]  # fmt: skip
    sockets = stage.lab.run / "ssh"
    files = {
        "ansible.cfg": recipes.ANSIBLE_CONFIG.substitute(sockets=sockets),
        "ansible.ini": hosts,
        "ansible.yml": recipes.ANSIBLE,
        "pyinfra_nodes.py": f"nodes = {pairs!r}\n",
        "pyinfra_deploy.py": recipes.PYINFRA,
    }
    for name, text in files.items():
        (stage.folder / name).write_text(text)

"""The lab's own network: a namespace with a bridge, and a namespace for each node.

Commands are built as data here and run by `run`; the host's own network is never touched.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli.lab.errors import LabFailed, LabNotPossible
from cli.lab.spec import Lab, NodeSpec

NETNS = Path("/run/netns")
BRIDGE = "br0"
CLONE_NEWNET = 0x40000000
COMMAND_S = 30.0

Command = tuple[str, ...]


def run(commands: Sequence[Command]) -> None:
    """Run each command; the first that fails raises LabFailed with what it said."""
    for command in commands:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
        if done.returncode:
            raise LabFailed(
                f"`{' '.join(command)}` failed",
                why=done.stderr.strip() or f"exit code {done.returncode}",
                next_step="evctl lab down, then evctl lab up",
            )


def inside(lab: Lab) -> Command:
    """What runs the command that follows in the lab's network."""
    return ("ip", "netns", "exec", lab.network) if lab.driver == "nspawn" else ()


def create_network(lab: Lab) -> list[Command]:
    inside = ("ip", "-n", lab.network)
    return [
        ("ip", "netns", "add", lab.network),
        (*inside, "link", "set", "lo", "up"),
        (*inside, "link", "add", BRIDGE, "type", "bridge"),
        (*inside, "addr", "add", f"{lab.master_address}/24", "dev", BRIDGE),
        (*inside, "link", "set", BRIDGE, "up"),
    ]


def create_node_network(lab: Lab, node: NodeSpec) -> list[Command]:
    network = lab.node_network(node.id)
    port = f"v{node.address.rpartition('.')[2]}"
    return [
        ("ip", "netns", "add", network),
        ("ip", "-n", network, "link", "set", "lo", "up"),
        (
            *("ip", "-n", lab.network, "link", "add", port, "type", "veth"),
            *("peer", "name", "host0", "netns", network),
        ),
        ("ip", "-n", lab.network, "link", "set", port, "master", BRIDGE, "up"),
        ("ip", "-n", network, "addr", "add", f"{node.address}/24", "dev", "host0"),
        ("ip", "-n", network, "link", "set", "host0", "up"),
    ]


def exists(network: str) -> bool:
    return (NETNS / network).exists()


def networks_of(lab: Lab) -> list[str]:
    """Every namespace of this lab on the machine, with or without a record of it."""
    if not NETNS.is_dir():
        return []
    names = sorted(path.name for path in NETNS.iterdir())
    return [n for n in names if n == lab.network or n.startswith(f"{lab.network}-")]


def delete(networks: Sequence[str]) -> list[Command]:
    return [("ip", "netns", "delete", network) for network in networks]


def enter(network: str) -> None:
    """Move the calling thread, and all that it starts, into a network namespace.

    Python 3.11 has no os.setns; the C library does.
    """
    path = NETNS / network
    if not path.exists():
        raise LabFailed(
            f"the lab's network {network} is not there",
            why="the lab is down, or another user's",
            next_step="evctl lab up",
        )
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise LabNotPossible(
                f"can't enter the lab's network {network}",
                why=os.strerror(ctypes.get_errno()),
                next_step="run evctl as root",
            )
    finally:
        os.close(descriptor)

"""Whatever a lab has running or mounted, found without any record of it.

A crash of `evctl lab up` at any point leaves nothing that can't be found again from the lab's
place alone: processes by where they print to, network namespaces by name, mounts by path.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.lab import namespaces
from cli.lab.errors import LabFailed
from cli.lab.spec import Lab

PROC = Path("/proc")
GONE_S = 15.0
POLL_S = 0.05


@dataclass(frozen=True)
class Trace:
    """A process of the lab. part: `master`; `node:ID`, what runs a node from outside or is one
    without privileges; `machine:ID`, a machine's own processes."""

    pid: int
    part: str


def processes(lab: Lab) -> list[Trace]:
    """Every process of the lab that this user may see."""
    networks = {
        (namespaces.NETNS / name).stat().st_ino: name for name in namespaces.networks_of(lab)
    }
    return [trace for pid in _pids() if (trace := _trace(lab, pid, networks))]


def _trace(lab: Lab, pid: int, networks: dict[int, str]) -> Trace | None:
    process = PROC / str(pid)
    try:
        prints_to = (process / "fd/1").readlink()
        network = (process / "ns/net").stat().st_ino
    except OSError:
        return None  # gone meanwhile, or another user's
    if prints_to.is_relative_to(lab.root):
        first, *rest = prints_to.relative_to(lab.root).parts
        return Trace(pid, f"node:{rest[0]}" if first == "nodes" else first)
    if network in networks:
        return Trace(pid, "machine:" + networks[network].removeprefix(lab.network).lstrip("-"))
    return None


def _pids() -> Iterator[int]:
    own = os.getpid()
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != own:
            yield int(entry.name)


def of_part(lab: Lab, part: str) -> list[int]:
    return [trace.pid for trace in processes(lab) if trace.part == part]


def machine_init(lab: Lab, node_id: str) -> int | None:
    """The host's pid of a machine's own pid 1; None when it is off."""
    for pid in of_part(lab, f"machine:{node_id}"):
        try:
            status = (PROC / str(pid) / "status").read_text()
        except OSError:
            continue
        inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if len(inner) > 1 and inner[-1] == "1":
            return pid
    return None


def kill(lab: Lab, parts: tuple[str, ...] | None = None) -> None:
    """SIGKILL the named parts of the lab (all, when none is named) until nothing is left."""
    deadline = time.monotonic() + GONE_S
    while left := [t for t in processes(lab) if parts is None or t.part in parts]:
        if time.monotonic() > deadline:
            named = ", ".join(f"{trace.part} (pid {trace.pid})" for trace in left[:5])
            raise LabFailed(
                f"{len(left)} processes of lab {lab.name} don't end",
                why=f"SIGKILL, and after {GONE_S:.0f} s still there: {named}",
                next_step="evctl lab down",
            )
        for trace in left:
            try:
                os.kill(trace.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(POLL_S)


def mounts(lab: Lab) -> list[Path]:
    """The lab's mounts, the innermost first."""
    table = (PROC / "self" / "mountinfo").read_text().splitlines()
    points = [Path(line.split()[4].replace("\\040", " ")) for line in table]
    return sorted((p for p in points if p.is_relative_to(lab.root)), reverse=True)


def hierarchies() -> list[Path]:
    """Where systemd keeps its control groups on this machine: one place, or two where it runs in
    hybrid mode."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.procs").exists():
        return [root]
    return [path for path in (root / "systemd", root / "unified") if path.is_dir()]


def remove_control_groups(network: str) -> None:
    """Of the machines in these networks (a glob). The kernel keeps a group busy until the last
    process in it is gone for good."""
    deadline = time.monotonic() + GONE_S
    while left := control_groups(network):
        for group in left:
            try:
                group.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
        time.sleep(POLL_S)


def control_groups(network: str) -> list[Path]:
    """Control groups that machines left behind, the innermost first."""
    tops = [top for place in hierarchies() for top in place.glob(network)]
    below = [path for top in tops for path in top.rglob("*") if path.is_dir()]
    return sorted({*tops, *below}, key=lambda path: len(path.parts), reverse=True)

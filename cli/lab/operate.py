"""Bring a lab up and down. Each procedure may be run again at any point, after any crash."""

from __future__ import annotations

import os
import pwd
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

from cli import tokens
from cli.lab import fleet_files, master, namespaces, returns, traces
from cli.lab.engines import start as engines
from cli.lab.errors import LabFailed, LabNotPossible, LabUsageError
from cli.lab.image import Progress
from cli.lab.nspawn import Nspawn, obstacle
from cli.lab.process import Process
from cli.lab.spec import DEFAULT_NODES, DriverName, EngineName, Lab, NodeSpec, load_lab
from cli.lab.waiting import listens, until
from cli.salt_client import MasterUnreachable, SaltClient

MASTER_S = 60.0
SETTLE_S = 180.0


class Driver(Protocol):
    """How nodes come to be. `place` writes what a node knows at its first boot; `power_off` is
    a power cut, not a shutdown; `remove` takes away all but processes and files, `forget` the same
    of one node that is off."""

    def prepare(self, lab: Lab, progress: Progress) -> None: ...
    def place(self, lab: Lab, node: NodeSpec, token: str) -> None: ...
    def power_on(self, lab: Lab, node: NodeSpec) -> None: ...
    def running(self, lab: Lab, node: NodeSpec) -> bool: ...
    def power_off(self, lab: Lab, node: NodeSpec) -> None: ...
    def inside(self, lab: Lab, node: NodeSpec, command: tuple[str, ...]) -> tuple[str, ...]: ...
    def remove(self, lab: Lab) -> None: ...
    def forget(self, lab: Lab, node: NodeSpec) -> None: ...


def driver_of(lab: Lab) -> Driver:
    return Nspawn() if lab.driver == "nspawn" else Process()


def choose_driver(wanted: Literal["auto", "nspawn", "process"]) -> tuple[DriverName, str]:
    """The driver to use, and why."""
    if wanted == "process":
        return "process", "it was asked for"
    refused = obstacle()
    if wanted == "nspawn":
        if refused:
            raise LabNotPossible(
                "systemd-nspawn nodes can't run here",
                why=refused,
                next_step="evctl lab up --driver process",
            )
        return "nspawn", "it was asked for"
    if refused:
        return "process", f"no systemd-nspawn nodes here: {refused}"
    return "nspawn", "root, systemd-nspawn and overlay mounts are here"


def up(
    root: Path,
    name: str,
    wanted_driver: Literal["auto", "nspawn", "process"],
    wanted_nodes: tuple[str, ...] | None,
    progress: Progress,
    *,
    wanted_engine: EngineName | None = None,
) -> tuple[Lab, dict[str, float]]:
    """A lab with a master and at least these nodes, all powered on and through their first
    highstate.

    wanted_nodes: None: those it has, or the usual five. wanted_engine: None: the one that it has,
    or the embedded one. Returns the lab and the nodes that this
    call powered on, each with the time (Unix seconds). Nodes share this machine, and one that
    installs its release keeps two cores busy: no more boot at once than it has pairs of cores.
    """
    lab = load_lab(root)
    if lab is None:
        driver_name, why = choose_driver(wanted_driver)
        if driver_name != wanted_driver:
            progress(f"driver {driver_name}: {why}")
        lab = Lab(name=name, root=root, driver=driver_name, engine=wanted_engine or "embedded")
    elif wanted_driver not in ("auto", lab.driver):
        raise LabUsageError(
            f"lab {name} is there already, with the driver {lab.driver}",
            next_step=f"evctl lab down --name {name}, then evctl lab up --driver {wanted_driver}",
        )
    elif wanted_engine not in (None, lab.engine):
        raise LabUsageError(
            f"lab {name} is there already, with the engine {lab.engine}",
            next_step=f"evctl lab down --name {name}, then evctl lab up --engine {wanted_engine}",
        )
    if wanted_nodes is None:
        wanted_nodes = () if lab.nodes else DEFAULT_NODES
    lab = lab.with_nodes(wanted_nodes)
    lab.save()
    lab.run.mkdir(mode=0o700, exist_ok=True)
    fleet_files.write(lab)
    driver = driver_of(lab)
    driver.prepare(lab, progress)
    if lab.engine == "aws":
        engines.start(lab, progress)
    started = _start_master(lab, progress)
    off = [node for node in lab.nodes if not driver.running(lab, node)]
    if started:
        _wait_heard(lab, [node.id for node in lab.nodes if node not in off])
    powered_on: dict[str, float] = {}
    at_a_time = max(1, (os.cpu_count() or 1) // 2)
    for first in range(0, len(off), at_a_time):
        some = off[first : first + at_a_time]
        for node in some:
            if not lab.node_root(node.id).exists():
                driver.place(lab, node, tokens.issue(master.tokens_folder(lab), node.id))
            powered_on[node.id] = time.time()
            driver.power_on(lab, node)
            progress(f"{node.id}: powered on")
        _wait_settled(lab, some, powered_on, progress)
    return lab, powered_on


def down(root: Path, name: str) -> bool:
    """Take away all that a lab at this place has running, mounted or written. False: nothing was
    there. Needs no record of the lab: what a crash left is found as well."""
    recorded = load_lab(root)
    lab = recorded or Lab(name=name, root=root, driver="nspawn")
    found = bool(
        recorded or traces.processes(lab) or namespaces.networks_of(lab) or lab.run.exists()
    )
    traces.kill(lab)
    driver_of(lab).remove(lab)
    for folder in (lab.run, lab.engines, lab.root):
        if folder.exists():
            shutil.rmtree(folder)
    return found


def power_off(lab: Lab, node_id: str) -> None:
    """A power cut for one node."""
    driver_of(lab).power_off(lab, lab.node(node_id))


def keep(lab: Lab) -> Lab:
    """Write down what a lab consists of, for evctl and for its master."""
    lab.save()
    fleet_files.write(lab)
    return lab


def take_away(lab: Lab, node: NodeSpec) -> None:
    """A node that is off the map: its power, its files and its key go."""
    driver = driver_of(lab)
    driver.power_off(lab, node)
    driver.forget(lab, node)
    if lab.node_root(node.id).exists():
        shutil.rmtree(lab.node_root(node.id))
    # Not by salt-key, which has every node of the fleet log in anew: this one's machine is gone.
    (lab.master_root / "pki" / "minions" / node.id).unlink(missing_ok=True)


def inside(lab: Lab, node_id: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that runs a command on a node."""
    driver, node = driver_of(lab), lab.node(node_id)
    if not driver.running(lab, node):
        raise LabUsageError(f"{node_id} is off", next_step=f"evctl lab up --name {lab.name}")
    return driver.inside(lab, node, command)


def status(lab: Lab) -> dict[str, object]:
    driver = driver_of(lab)
    return {
        "name": lab.name,
        "driver": lab.driver,
        "engine": lab.engine,
        "fleet": str(lab.fleet_file),
        "master": {"address": lab.master_address, "on": bool(traces.of_part(lab, master.PART))},
        "nodes": {
            node.id: {
                "role": node.role,
                "address": node.address,
                "on": driver.running(lab, node),
                "joined": _joined(lab, node),
            }
            for node in lab.nodes
        },
    }


def _start_master(lab: Lab, progress: Progress) -> bool:
    """False: it was on already."""
    if listens(lab, master.RETURN_PORT):
        return False
    progress(f"salt master on {lab.master_address}")
    master.start(lab, pwd.getpwuid(os.getuid()).pw_name)
    if not until(lambda: listens(lab, master.RETURN_PORT), MASTER_S):
        raise LabFailed(
            "the Salt master doesn't answer",
            why=_last_line(lab.master_root / "log" / "start"),
            next_step=f"see {lab.master_root / 'log'}; then evctl lab down",
        )
    return True


def _wait_heard(lab: Lab, nodes: list[str]) -> None:
    """Nodes that were on all along have found the master that was started anew."""
    network = lab.network if lab.driver == "nspawn" else None

    def all_heard() -> bool:
        try:
            answers = client.call(nodes, "test.ping", {}, MASTER_S)
            return not any(answer.silent for answer in answers)
        except MasterUnreachable:  # it accepts connections before it serves them
            return False

    client = SaltClient(lab.master_root / "etc", network)
    # A thread of its own: it moves to the lab's network for good.
    with ThreadPoolExecutor(1) as executor:
        if not executor.submit(until, all_heard, SETTLE_S).result():
            raise LabFailed(
                f"the Salt master doesn't hear {', '.join(nodes)}",
                why=f"it was started anew, and they did not answer within {SETTLE_S:.0f} s",
                next_step="evctl lab shell NODE -- tail /var/log/salt/minion",
            )


def _wait_settled(
    lab: Lab, nodes: list[NodeSpec], powered_on: dict[str, float], progress: Progress
) -> None:
    waiting = {node.id: node for node in nodes}

    def all_settled() -> bool:
        for node_id in list(waiting):
            outcome = returns.first_since(lab, node_id, powered_on[node_id])
            if outcome:
                del waiting[node_id]
                progress(f"{node_id}: {outcome}")
        return not waiting

    if not until(all_settled, SETTLE_S):
        joined = [node.id for node in waiting.values() if _joined(lab, node)]
        raise LabFailed(
            f"{', '.join(waiting)} did not get ready within {SETTLE_S:.0f} s",
            why=f"joined the master: {', '.join(joined) or 'none'}",
            next_step="evctl lab shell NODE -- tail /var/log/salt/minion",
        )


def _joined(lab: Lab, node: NodeSpec) -> bool:
    return (lab.master_root / "pki" / "minions" / node.id).exists()


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"

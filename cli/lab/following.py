"""Makes a lab's nodes as many as the autoscaler says: what an Auto Scaling group does elsewhere.

A step reads as the procedure: who there is, told to the autoscaler → what it wants → nodes come,
one by one, through their first highstate → others go: off the map, drained, power, files, key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from artifacts.errors import EvctlError
from cli.desired import Nodes, ask_autoscalers
from cli.fleet import Fleet
from cli.lab import operate
from cli.lab.errors import LabFailed, LabUsageError
from cli.lab.image import Progress
from cli.lab.spec import Lab, load_lab
from cli.rollout.ask import answer_of
from cli.salt_client import SaltClient
from cli.wanted import wanted_release

RETIRE_S = 60.0


@dataclass(frozen=True)
class Step:
    """come: id=role; go: ids."""

    come: tuple[str, ...] = ()
    go: tuple[str, ...] = ()


def step_to(desired: Mapping[str, int], nodes: Mapping[str, str], held: Collection[str]) -> Step:
    """Of these nodes (id → role) and those of a rollout (held), which stay as they are."""
    come: list[str] = []
    go: list[str] = []
    for role, count in sorted(desired.items()):
        there = sorted(node for node, its in nodes.items() if its == role)
        free = (f"{role}-{number:02d}" for number in range(1, len(nodes) + count + 1))
        new = [node for node in free if node not in nodes]
        come += [f"{node}={role}" for node in new[: max(count - len(there), 0)]]
        spare = [node for node in reversed(there) if node not in held]
        go += spare[: max(len(there) - count, 0)]
    return Step(tuple(come), tuple(go))


class Follower:
    """Follows the autoscaler of the lab at `root`."""

    def __init__(self, root: Path, name: str, say: Progress) -> None:
        self._root = root
        self._name = name
        self._say = say
        # A thread of its own: Salt's client moves to the lab's network for good.
        self._salt = ThreadPoolExecutor(1)
        self._client: SaltClient | None = None

    def step(self) -> Step:
        """Once. NobodyDecides, LabFailed and what a fleet raises: what is there stays there."""
        lab, fleet = self._lab()
        self._tell(lab, fleet)
        said = self._asked(lambda client: ask_autoscalers(client, fleet.nodes()))
        roles = {node.id: node.role for node in lab.nodes}
        documents = fleet.documents()
        held = [node for node in roles if documents.holder(node, time.time())]
        step = step_to(said.desired, roles, held)
        for node in step.come:
            self._say(f"{node.partition('=')[0]} comes")
            operate.up(self._root, self._name, "auto", (node,), self._say)
        for node in step.go:
            self._go(node)
        if step != Step():
            self._tell(*self._lab())
        return step

    def close(self) -> None:
        self._salt.shutdown()

    def _go(self, node_id: str) -> None:
        before, fleet = self._lab()
        node = before.node(node_id)
        lab = operate.keep(before.without(node_id))  # so that nothing brings it back to its role
        self._tell(lab, fleet)
        if operate.driver_of(lab).running(lab, node):
            try:
                drained = self._asked(lambda client: _retired(client, node_id))
            except EvctlError:
                operate.keep(before)
                raise
            self._say(f"{node_id} goes: drained in {drained['drain_s']:.1f} s")
        operate.take_away(lab, node)
        fleet.documents().want({node_id: None})

    def _lab(self) -> tuple[Lab, Fleet]:
        lab = load_lab(self._root)
        if lab is None:
            raise LabUsageError(
                f"there is no lab {self._name}", next_step=f"evctl lab up --name {self._name}"
            )
        return lab, Fleet.load(lab.fleet_file)

    def _asked(self, ask: Callable[[Nodes], Any]) -> Any:
        lab, _ = self._lab()
        if self._client is None:
            network = lab.network if lab.driver == "nspawn" else None
            self._client = SaltClient(lab.master_root / "etc", network)
        return self._salt.submit(ask, self._client).result()

    def _tell(self, lab: Lab, fleet: Fleet) -> None:
        """Where the autoscaler finds the others; renamed into place, since it reads at any time."""
        file = lab.followed
        aside = file.with_name(f".{file.name}.new")
        aside.write_text(yaml.safe_dump(addresses(fleet)))
        aside.chmod(0o644)
        aside.rename(file)


def addresses(fleet: Fleet) -> dict[str, list[str]]:
    """Role → http://address:port of each of its nodes that has a release to serve."""
    found: dict[str, list[str]] = {}
    for node in fleet.nodes().values():
        release = wanted_release(fleet, node)
        facts = fleet.registry().manifest(release).roles.get(node.role or "") if release else None
        if facts and node.role:
            found.setdefault(node.role, []).append(f"http://{node.address}:{facts['listen']}")
    return found


def _retired(client: Nodes, node_id: str) -> dict[str, Any]:
    """Drained, by itself: what it held is back in the queue, what it was asked is answered."""
    (returned,) = client.call([node_id], "evrelease.retire", {}, RETIRE_S)
    answer = answer_of(returned)
    if not answer.ok or not answer.result or not answer.result["drained"]:
        error = answer.error or {"what": "it had to be killed"}
        raise LabFailed(
            f"{node_id} was not drained, and is left as it is",
            why=f"{error.get('what')} {error.get('why', '')}".strip(),
            next_step=f"it is tried again; or evctl lab kill {node_id}",
        )
    return dict(answer.result)


def follow(follower: Follower, every_s: float, say: Progress) -> None:
    """For ever. What goes wrong is said once, and tried again: a lab is rehearsed on."""
    told = ""
    while True:  # ends: with the process, on Ctrl-C or SIGTERM
        try:
            follower.step()
            told = ""
        except EvctlError as error:
            if str(error) != told:
                say(str(error))
            told = str(error)
        time.sleep(every_s)

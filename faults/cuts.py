"""A minion is cut off from its master: before, during and after its swap; one way, both, flapping.

Packets to and from the master's ports are dropped in the node's own network, without a word to
either side. Its clients still reach it: that nobody hears of its swap is no reason to fail one.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from cli.lab.spec import Lab
from faults.fault import Outcome
from faults.scene import Scene

Way = Literal["one-way", "both-ways", "flapping"]

PORTS = "4505-4506"
TABLE = "cut"
FLAP_S = 0.7
COMMAND_S = 30
CANARY, LAST = "collector-01", "collector-02"
TOLERANT = ("--max-unreachable", "1")


def missing() -> str:
    return "" if shutil.which("nft") else "nft is not installed (apt-get install nftables)"


def commands(network: str, way: Way) -> list[tuple[str, ...]]:
    """What cuts a node off; one way: it hears its master, and isn't heard."""
    nft = ("ip", "netns", "exec", network, "nft")
    rules = {"output": f"tcp dport {PORTS}"}
    if way != "one-way":
        rules["input"] = f"tcp sport {PORTS}"
    made: list[tuple[str, ...]] = [(*nft, "add", "table", "inet", TABLE)]
    for hook, match in rules.items():
        chain = f"{{ type filter hook {hook} priority 0; }}"
        made.append((*nft, "add", "chain", "inet", TABLE, hook, chain))
        made.append((*nft, "add", "rule", "inet", TABLE, hook, *match.split(), "drop"))
    return made


def healing(network: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", network, "nft", "delete", "table", "inet", TABLE)


@contextmanager
def cut_off(lab: Lab, node: str, way: Way) -> Iterator[None]:
    """As long as this lasts."""
    network = lab.node_network(node)
    over = threading.Event()
    flapping = threading.Thread(target=_flap, args=(network, over), daemon=True)
    _run(*commands(network, way))
    if way == "flapping":
        flapping.start()
    try:
        yield
    finally:
        over.set()
        if way == "flapping":
            flapping.join()
        _run(healing(network))


def _flap(network: str, over: threading.Event) -> None:
    """Heals and cuts, in turn; it is cut when this ends."""
    while not over.wait(FLAP_S):
        _run(healing(network))
        over.wait(FLAP_S)
        _run(*commands(network, "flapping"))


def _run(*those: tuple[str, ...]) -> None:
    for command in those:
        subprocess.run(command, check=True, timeout=COMMAND_S, capture_output=True)


def before_its_swap(way: Way) -> Callable[[Scene], Outcome]:
    """From before the rollout until it has ended; the others come along, and then the node does."""

    def play(scene: Scene) -> Outcome:
        with cut_off(scene.lab, LAST, way):
            done = scene.roll_out(scene.good, *TOLERANT, expect=None)
        return Outcome(done.result["state"], scene.everywhere(scene.good))

    return play


def during_its_swap(way: Way) -> Callable[[Scene], Outcome]:
    """From when it was asked. It swaps, nobody hears of it: too many are silent, all go back, and
    so does the node by itself."""

    def play(scene: Scene) -> Outcome:
        running = scene.begin(scene.good)
        running.until_event("swap", LAST)
        with cut_off(scene.lab, LAST, way):
            running.end()
        state = scene.document(running.rollout).state
        return Outcome(state, scene.everywhere(_where_to(scene, state)))

    return play


def after_its_swap(way: Way) -> Callable[[Scene], Outcome]:
    """Once it has passed its gate, and others are still to come: the rollout needs it no more."""

    def play(scene: Scene) -> Outcome:
        running = scene.begin(scene.good)
        running.until(
            lambda line: (
                (line.get("event"), line.get("action"), line.get("node"))
                == ("answer", "check", CANARY)
            )
        )
        with cut_off(scene.lab, CANARY, way):
            running.end()
        return Outcome(scene.document(running.rollout).state, scene.everywhere(scene.good))

    return play


def _where_to(scene: Scene, state: str) -> str:
    return scene.good if state == "converged" else scene.base

"""What the master said last, for a node that hears nothing of it now.

Its word comes in two ways. Over Salt: then the node keeps it (told.json). Or through the registry,
in its orders: there a node that was off, or cut off, finds what it has missed (what it followed is
kept as ordered.json). The later word counts, by the master's clock, so that old orders which
someone puts back say nothing.

`python -m artifacts.last_word` looks once, and does nothing while the master is heard. systemd's
timer, or the supervisor, runs it again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import EvctlError
from artifacts.layout import Layout, sync_folder
from artifacts.node_config import NodeConfig, load_node

if TYPE_CHECKING:
    from artifacts.node import Node
    from artifacts.orders import Orders

# Nodes ask their master every 30 s, and up to 10 s later.
SILENT_S = 45.0
EVERY_S = 15.0
UNCHANGED = {"unchanged": True, "release": None}


@dataclass(frozen=True)
class Word:
    """at: Unix seconds by the master's clock."""

    at: float
    release: str | None


def hear(layout: Layout, word: Word) -> None:
    """Keep what the master says over Salt. What comes last counts, whatever the clocks say."""
    _keep(layout, "told", word)


def hear_command(layout: Layout, release: str | None, now: float) -> None:
    """The same of a command, which carries no time: by how much the node's clock has gone on since
    the master told its own. now: by the node's."""
    before = _kept(layout, "told")
    since_s = max(0.0, silent_for_s(layout, now))
    hear(layout, Word(before.at + since_s if before else now, release))


def follow(node: Node, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Become what the master said last, if it is silent. The answer of `Node.converge`, and what
    that raises; what the registry raises only when the master has never said anything."""

    def wanted() -> str | None:
        if is_heard(node.layout, now()):  # meanwhile: another change held the node's lock
            return None
        words = _words(node)
        return max(words, key=lambda word: word.at).release if words else None

    return UNCHANGED if is_heard(node.layout, now()) else node.converge(wanted)


def is_heard(layout: Layout, now: float) -> bool:
    """Whether the master has said something of late."""
    return 0 <= silent_for_s(layout, now) < SILENT_S


def silent_for_s(layout: Layout, now: float) -> float:
    """For how long the master has said nothing, by this node's clock."""
    try:
        return now - _file(layout, "told").stat().st_mtime
    except OSError:
        return float("inf")


def _words(node: Node) -> list[Word]:
    """All that is known, in no order. Orders that are newer than those before are kept."""
    told, before = _kept(node.layout, "told"), _kept(node.layout, "ordered")
    kept = [word for word in (told, before) if word]
    try:
        orders = _orders(node)
    except EvctlError:
        if not kept:
            raise
        return kept
    ordered = orders.nodes.get(node.config.id) if orders else None
    if orders is None or ordered is None or (before and before.at >= orders.at):
        return kept
    _keep(node.layout, "ordered", Word(orders.at, ordered))
    return [*kept, Word(orders.at, ordered)]


def _orders(node: Node) -> Orders | None:
    from artifacts.objects import open_objects
    from artifacts.orders import read

    trusted = node.config.orders
    if trusted is None:
        return None
    return read(open_objects(node.config.registry), trusted["fleet"], trusted["trust"])


def _file(layout: Layout, name: str) -> Path:
    return layout.root / "opt/evctl" / f"{name}.json"


def _kept(layout: Layout, name: str) -> Word | None:
    try:
        raw = json.loads(_file(layout, name).read_bytes())
        return Word(float(raw["at"]), raw["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(layout: Layout, name: str, word: Word) -> None:
    """Durable: what was said before a power cut counts after it."""
    path = _file(layout, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w") as file:
        json.dump(asdict(word), file)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    sync_folder(path.parent)


def _look(config: NodeConfig) -> dict[str, Any]:
    if is_heard(Layout(config.root, config.run), time.time()):
        return UNCHANGED  # as nearly always: without what it takes to change anything
    from artifacts.node import Node

    return follow(Node(config))


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m artifacts.last_word", description=__doc__)
    arguments.add_argument("--settings", type=Path, default=Path("/etc/evctl/node.yaml"))
    given = arguments.parse_args()
    try:
        print(json.dumps(_look(load_node(given.settings))))
    except (EvctlError, OSError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, EvctlError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

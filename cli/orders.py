"""The master's orders to its nodes, in the registry: for those that can't hear it (docs/decisions/
0012). Published whenever they change, by a thread that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from artifacts.errors import EvctlError
from artifacts.objects import open_objects
from artifacts.orders import Orders, publish
from artifacts.trust import load_signing_key, public_key
from cli.fleet import Fleet
from cli.wanted import wanted

CLOSE_S = 5.0


def orders_of(fleet: Fleet, now: float) -> Orders:
    """What every node of the map should run now, as its pillar says it, too."""
    desired, registry = fleet.documents().desired(), fleet.registry()
    nodes = fleet.nodes().values()
    channels = {name: registry.channel(name) for name in {node.channel for node in nodes}}
    named = {node.id: wanted(node, desired, channels[node.channel])[0] for node in nodes}
    ordered = {node: release for node, release in named.items() if release}
    return Orders(fleet.config.name, round(now, 3), ordered)


def publish_orders(fleet: Fleet, key: Path) -> bool:
    """False when the same lie there already."""
    now = time.time()  # before anything is read: orders are never newer than what they say
    return publish(open_objects(fleet.config.registry), orders_of(fleet, now), key)


def trusted_orders(fleet: Fleet) -> dict[str, str] | None:
    """What a node needs to believe them; None for a fleet that publishes none."""
    if fleet.config.orders_key is None:
        return None
    public = public_key(load_signing_key(fleet.config.orders_key))
    return {"fleet": fleet.config.name, "trust": public}


class Publisher:
    """Publishes the orders after each change, several at once as one. complain: told why not."""

    def __init__(self, fleet: Fleet, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._changed = threading.Event()
        self._over = False
        self._failed: EvctlError | None = None
        self._worker: threading.Thread | None = None
        if key := fleet.config.orders_key:
            self._worker = threading.Thread(target=self._work, args=(fleet, key), daemon=True)
            self._worker.start()

    def changed(self) -> None:
        """Returns at once."""
        self._changed.set()

    def close(self) -> None:
        """Publish what there is, within bounds; say so if it can't be."""
        if self._worker is None:
            return
        self._over = True
        self._changed.set()
        self._worker.join(CLOSE_S)
        if self._worker.is_alive():
            self._complain(f"the registry took them not within {CLOSE_S:g} s")
        elif self._failed:
            self._complain(str(self._failed))

    def _work(self, fleet: Fleet, key: Path) -> None:
        last = False
        while not last:
            self._changed.wait()
            self._changed.clear()
            last = self._over  # before it publishes: what changes meanwhile is not the last
            try:
                publish_orders(fleet, key)
                self._failed = None
            except EvctlError as error:
                self._failed = error

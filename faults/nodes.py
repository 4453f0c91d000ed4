"""A node is off, loses its power in its swap, joins, has no room on its disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Outcome, Own
from faults.scene import Scene

PROCESSOR, COLLECTOR = "processor-02", "collector-02"
NEW = "processor-03"
TOLERANT = ("--max-unreachable", "1")


def off_and_back_after_the_rollback(scene: Scene) -> Outcome:
    """It misses the rollout, and the rollback; what it must serve then is what it served before."""
    scene.power_off(PROCESSOR)
    done = scene.roll_out(scene.good, *TOLERANT, expect=None)
    scene.evctl("rollback", "--yes", expect=None)
    scene.lab_up()
    return Outcome(done.result["state"], scene.everywhere(scene.base))


def off_and_back_after_the_rollout(scene: Scene) -> Outcome:
    """It misses the rollout, and comes to the new release by itself."""
    scene.power_off(PROCESSOR)
    done = scene.roll_out(scene.good, *TOLERANT, expect=None)
    scene.lab_up()
    return Outcome(done.result["state"], scene.everywhere(scene.good))


def power_cut_of_a_processor(scene: Scene) -> Outcome:
    """While it swaps; what it had leased is processed by others."""
    outcome, _, _ = _power_cut(scene, PROCESSOR)
    return outcome


def power_cut_of_a_collector(scene: Scene) -> Outcome:
    """While it swaps. What reaches it between the cut and its return is the cut's own effect; what
    it has acknowledged is not."""
    outcome, cut_at, back_at = _power_cut(scene, COLLECTOR)
    own = Own("requests", COLLECTOR, cut_at, back_at)
    return Outcome(outcome.state, outcome.serves, (own,))


def _power_cut(scene: Scene, node: str) -> tuple[Outcome, float, float]:
    """All that have swapped go back, since more are silent than may be."""
    running = scene.begin(scene.good)
    running.until_event("swap", node)
    cut_at = time.time()
    scene.power_off(node)
    running.end()
    scene.lab_up()
    serves = scene.everywhere(scene.base)
    scene.wait_until_served({node: scene.base})
    return Outcome(scene.document(running.rollout).state, serves), cut_at, time.time()


def joins_in_the_middle(scene: Scene) -> Outcome:
    """It asks its channel what to run: the rollout is not for it (docs/decisions/0011)."""
    running = scene.begin(scene.good)
    running.until_event("swap")
    joining = threading.Thread(target=scene.lab_up, args=((NEW,),))
    joining.start()
    running.end()
    joining.join()
    state = scene.document(running.rollout).state
    return Outcome(state, scene.everywhere(scene.good) | {NEW: scene.base})


def disk_full(scene: Scene) -> Outcome:
    """One node has no room for the release: nobody changes, and it serves on."""
    new = scene.release("")
    with _no_room(scene, PROCESSOR):
        done = scene.roll_out(new, expect=5)
    return Outcome(done.result["state"], scene.everywhere(scene.base))


@contextmanager
def _no_room(scene: Scene, node: str) -> Iterator[None]:
    """All that the node has of releases is there as before, on a layer without room."""
    layers = "lowerdir=/opt/evctl,upperdir=/mnt/small/upper,workdir=/mnt/small/work"
    script = (
        "mkdir -p /mnt/small && mount -t tmpfs -o size=2m small /mnt/small && "
        "mkdir /mnt/small/upper /mnt/small/work && "
        f"mount -t overlay small -o {layers} /opt/evctl"
    )
    scene.on_node(node, script)
    try:
        yield
    finally:
        scene.on_node(node, "umount -l /opt/evctl && umount -l /mnt/small")

"""A node whose clock is wrong: its minion and its toolkit, and what it starts from then on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.client import wait_for
from faults.fault import Outcome
from faults.scene import RETURN_S, Scene

NODE = "processor-02"
INSIDE = "/usr/local/lib/faketime.so"


def library() -> Path | None:
    """What shows processes another time; None where it isn't installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def missing() -> str:
    return "" if library() else "libfaketime is not installed (apt-get install libfaketime)"


@contextmanager
def wrong_clock(scene: Scene, off_by: str) -> Iterator[None]:
    """off_by: as libfaketime has it, `+1h`. Generations that run keep the time that they know."""
    shutil.copyfile(library() or "", scene.lab.node_root(NODE) / f"merged{INSIDE}")
    # As of a real clock that is wrong: the time since the boot is right.
    only = "FAKETIME_DONT_RESET=1 FAKETIME_DONT_FAKE_MONOTONIC=1"
    set_to = f"set-environment LD_PRELOAD={INSIDE} FAKETIME={off_by} {only}"
    scene.on_node(NODE, f"systemctl {set_to} && systemctl restart salt-minion")
    try:
        yield
    finally:
        names = "LD_PRELOAD FAKETIME FAKETIME_DONT_RESET FAKETIME_DONT_FAKE_MONOTONIC"
        unset = f"systemctl unset-environment {names}"
        scene.on_node(NODE, f"{unset} && systemctl restart salt-minion")


def wrong(off_by: str) -> Callable[[Scene], Outcome]:
    """There and back, and the new generation's clock is as wrong. Once the clock is right, there
    again: so that no generation is left whose clock is wrong."""

    def play(scene: Scene) -> Outcome:
        with wrong_clock(scene, off_by):
            wait_for(lambda: all(scene.serving().values()), RETURN_S, "the node is heard again")
            done = scene.roll_out(scene.good, expect=None)
            scene.wait_until_served(scene.everywhere(scene.good))
            scene.evctl("rollback", "--yes")
            scene.wait_until_served(scene.everywhere(scene.base))
        wait_for(lambda: all(scene.serving().values()), RETURN_S, "the node is heard again")
        scene.roll_out(scene.good)
        return Outcome(done.result["state"], scene.everywhere(scene.good))

    return play

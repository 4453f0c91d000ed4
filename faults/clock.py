"""A node whose clock is wrong: its minion and its toolkit, and what it starts from then on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.client import wait_for
from faults.fault import Outcome
from faults.scene import RETURN_S, Scene

NODE = "processor-02"
SOURCE = Path(__file__).parent / "wrong_clock.c"
INSIDE = "/usr/local/lib/wrong_clock.so"


def missing() -> str:
    """Why no clock can be made wrong here."""
    return "" if shutil.which("cc") else "there is no C compiler (apt-get install gcc libc6-dev)"


@contextmanager
def wrong_clock(scene: Scene, off_s: int) -> Iterator[None]:
    """Generations that run keep the time that they know."""
    library = f"{scene.lab.node_root(NODE)}/merged{INSIDE}"
    built = ["cc", "-shared", "-fPIC", "-O2", "-o", library, str(SOURCE)]
    subprocess.run(built, check=True, capture_output=True, timeout=60)
    scene.on_node(NODE, f"systemctl set-environment LD_PRELOAD={INSIDE} CLOCK_OFF_S={off_s}")
    scene.on_node(NODE, "systemctl restart salt-minion")
    try:
        yield
    finally:
        scene.on_node(NODE, "systemctl unset-environment LD_PRELOAD CLOCK_OFF_S")
        scene.on_node(NODE, "systemctl restart salt-minion")


def wrong(off_s: int) -> Callable[[Scene], Outcome]:
    """There and back, and the new generation's clock is as wrong. Once the clock is right, there
    again: so that no generation is left whose clock is wrong."""

    def play(scene: Scene) -> Outcome:
        with wrong_clock(scene, off_s):
            wait_for(lambda: all(scene.serving().values()), RETURN_S, "the node is heard again")
            done = scene.roll_out(scene.good, expect=None)
            scene.wait_until_served(scene.everywhere(scene.good))
            scene.evctl("rollback", "--yes")
            scene.wait_until_served(scene.everywhere(scene.base))
        wait_for(lambda: all(scene.serving().values()), RETURN_S, "the node is heard again")
        scene.roll_out(scene.good)
        return Outcome(done.result["state"], scene.everywhere(scene.good))

    return play

"""Plays faults one after the other: one lab, and one load from the first to the last."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artifacts.app import load_app
from artifacts.errors import EvctlError
from cli.lab.spec import REPOSITORY, DriverName
from demo.check import seen, wait_until_drained
from demo.client import collectors, under_load
from demo.evctl import Evctl, UnexpectedExit
from demo.ledger import read_requests
from demo.source import Source
from eventstore.settings import load
from faults.fault import Fault, Outcome
from faults.releases import Releases
from faults.rows import Row, count
from faults.running import EndedEarly
from faults.scene import Scene, say

LAB = "faults"
ALL_ROLES = "role:collector,role:processor,role:postprocessor"
RATE = 150
DRAIN_S = 120.0
WRONG = (
    *(UnexpectedExit, EndedEarly, TimeoutError, AssertionError, EvctlError),
    *(OSError, subprocess.SubprocessError),
)


@dataclass(frozen=True)
class Playing:
    driver: DriverName
    folder: Path

    def play(self, faults: Sequence[Fault]) -> list[Row]:
        """A row for each."""
        with self._scene() as scene:
            ledger = self.folder / f"ledger-{time.time_ns()}"
            port = load_app(scene.evctl.folder / "evctl.yaml").roles["collector"].listen
            targets = collectors(scene.lab, port)
            with under_load(scene.lab, targets, ledger, RATE):
                rows = list(_play_all(scene, faults))
            settings = load(scene.lab.store_settings)
            say(f"drained in {wait_until_drained(settings, DRAIN_S):.1f} s")
            ids = [node.id for node in scene.lab.nodes if node.role == "collector"]
            count(rows, read_requests(ledger), seen(ledger, settings), ids)
            return rows

    @contextmanager
    def _scene(self) -> Iterator[Scene]:
        root = REPOSITORY / "build/labs" / LAB
        source = Source.copy(REPOSITORY, self.folder / "app")
        evctl = Evctl(fleet=root / "fleet.yaml", folder=source.folder)
        evctl("lab", "down", "--name", LAB)
        try:
            evctl("lab", "up", "--name", LAB, "--driver", self.driver, "--nodes", "none")
            base = evctl("release", "--channel", "stable").result["release"]
            evctl("lab", "up", "--name", LAB)
            releases = Releases(source, evctl)
            yield Scene(root, evctl, ALL_ROLES, base, releases.make(""), releases.make)
        finally:
            evctl("lab", "down", "--name", LAB)


def _play_all(scene: Scene, faults: Sequence[Fault]) -> Iterator[Row]:
    """One after the other, as long as the fleet can be brought back."""
    for fault in faults:
        row = play_one(scene, fault)
        yield row
        if row.left_behind:
            say(f"no further fault is played: {row.left_behind}")
            return


def play_one(scene: Scene, fault: Fault) -> Row:
    """What it must come to is waited for; then the fleet is brought back to what it was before."""
    say(f"── {fault.name}: {fault.says}")
    began_t, began = time.time(), time.monotonic()
    outcome, broke, left_behind = Outcome("broke off", {}), "", ""
    try:
        outcome = fault.play(scene)
        if outcome.state in fault.ends:
            scene.wait_until_served(outcome.serves)
    except WRONG as error:
        broke = str(error)
    seconds = time.monotonic() - began
    try:
        scene.restore()
    except WRONG as error:
        left_behind = f"the fleet could not be brought back: {error}"
    say(f"── {fault.name}: {broke or outcome.state} · {seconds:.1f} s")
    return Row(
        fault.name,
        fault.ends,
        outcome.state,
        seconds,
        began_t,
        time.time(),
        broke=broke,
        left_behind=left_behind,
        own=outcome.own,
    )

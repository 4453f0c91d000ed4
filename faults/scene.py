"""Where faults are played: a lab, and its fleet, which every fault finds and leaves as it was."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.fleet import Fleet
from cli.lab import operate
from cli.lab.spec import Lab, load_lab
from cli.rollout.document import FINAL, Document
from cli.rollout.documents import Documents
from demo.client import wait_for
from demo.evctl import Done, Evctl
from faults.running import Running

# "Within a minute of its return", and what a busy machine adds to it.
RETURN_S = 180.0
LEASE_S = 120.0
COMMAND_S = 60


@dataclass
class Scene:
    """expression: the range of the fleet's nodes; base: what they serve before and after every
    fault; good: another release, with nothing wrong; release: makes one more, with this put into
    its program."""

    lab_root: Path
    evctl: Evctl
    expression: str
    base: str
    good: str
    release: Callable[[str], str]

    @property
    def lab(self) -> Lab:
        lab = load_lab(self.lab_root)
        if lab is None:
            raise FileNotFoundError(f"the lab at {self.lab_root} has gone")
        return lab

    def everywhere(self, release: str) -> dict[str, str]:
        """Every node on this release."""
        return dict.fromkeys((node.id for node in self.lab.nodes), release)

    def lab_up(self, nodes: tuple[str, ...] | None = None) -> None:
        """Whatever of the lab is off comes on, and so do nodes that it hasn't got yet."""
        operate.up(self.lab_root, self.lab.name, "auto", nodes, say)

    def power_off(self, node: str) -> None:
        operate.power_off(self.lab, node)

    def on_node(self, node: str, script: str) -> None:
        command = operate.inside(self.lab, node, ("sh", "-c", script))
        subprocess.run(command, capture_output=True, timeout=COMMAND_S, check=True)

    def roll_out(self, to: str, *options: str, expect: int | None = 0) -> Done:
        return self.evctl(*self.rollout_command(to, *options), expect=expect)

    def begin(self, to: str, *options: str, short_lease: bool = False) -> Running:
        command = self.rollout_command(to, *options)
        return Running(self.evctl, *command, short_lease=short_lease)

    def rollout_command(self, to: str, *options: str) -> tuple[str, ...]:
        chosen = () if "--range" in options else ("--range", self.expression)
        return ("rollout", *chosen, "--to", to, "--yes", *options)

    def document(self, rollout: str) -> Document:
        return self.documents().load(rollout).document

    def documents(self) -> Documents:
        return Fleet.load(self.evctl.fleet).documents()

    def wait_until_free(self, rollout: str) -> None:
        """Until the lease of a driver that died is over."""
        wait_for(
            lambda: rollout not in self.documents().holders(time.time()).values(),
            LEASE_S,
            f"the lease of {rollout} ends",
        )

    def serving(self) -> dict[str, str | None]:
        """Node → what it says that it serves; None for one that says nothing."""
        nodes = self.evctl("status", expect=None).result["nodes"]
        return {node: said.get("release") for node, said in nodes.items()}

    def wait_until_served(self, serves: Mapping[str, str]) -> None:
        """TimeoutError names what is otherwise."""
        seen: dict[str, str | None] = {}

        def served() -> bool:
            seen.update(self.serving())
            return all(seen.get(node) == release for node, release in serves.items())

        try:
            wait_for(served, RETURN_S, "")
        except TimeoutError as error:
            wrong = [
                f"{node} serves {seen.get(node) or 'nothing'}, not {release}"
                for node, release in serves.items()
                if seen.get(node) != release
            ]
            raise TimeoutError(f"after {RETURN_S:.0f} s {'; '.join(wrong)}") from error

    def restore(self) -> None:
        """All on, all that is under way ended, and every node on the base again."""
        self.lab_up()
        for rollout in self.documents().ids():
            if self.document(rollout).state not in FINAL:
                self.evctl("rollout", "abort", rollout, "--yes", expect=None)
        wait_for(lambda: all(self.serving().values()), RETURN_S, "every node answers")
        self.roll_out(self.base, "--canary", "0", "--bake", "0")


def say(line: str) -> None:
    """Progress, with its time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

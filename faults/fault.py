"""What a fault is, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from cli.lab.spec import DriverName
from faults.scene import Scene


@dataclass(frozen=True)
class Own:
    """What a fault itself breaks, whoever rolls out, between two moments (Unix seconds): requests
    that reach a node without power, or events that a release acknowledges and loses by itself."""

    what: Literal["requests", "events"]
    node: str
    from_t: float
    to_t: float


@dataclass(frozen=True)
class Outcome:
    """How it went. state: the rollout's; serves: node → the release that it must come to serve, by
    itself, from here on."""

    state: str
    serves: Mapping[str, str]
    own: tuple[Own, ...] = ()


@dataclass(frozen=True)
class Fault:
    """ends: the states in which its rollout may end. play: does it, at a fleet that serves the
    scene's base, and raises what must not happen. machines: it needs nodes that are machines.
    missing: what this machine lacks for it, in words."""

    name: str
    says: str
    ends: tuple[str, ...]
    play: Callable[[Scene], Outcome]
    machines: bool = False
    missing: Callable[[], str] = str

    def obstacle(self, driver: DriverName) -> str:
        """Why it can't be played with this driver here; "" when it can."""
        if self.machines and driver != "nspawn":
            return "it needs nodes that are machines"
        return self.missing()

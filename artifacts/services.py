"""The port to what runs generations on a node: systemd, or our own supervisor.

A *generation* is one running copy of a role, from one release. All generations of a role share one
listening socket that the engine holds, so any number of them may overlap. Both engines keep the
same promises, with one test suite for both (tests/contracts/test_process.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

State = Literal["starting", "serving", "draining", "failed"]


@dataclass(frozen=True)
class Generation:
    """One generation as its engine sees it. `serving`: it has said READY=1 and runs."""

    release: str
    state: State
    pid: int | None
    restarts: int


class ServiceManager(Protocol):
    """Start and stop generations. Every call is bounded in time.

    All may raise ServicesUnavailable when the engine itself doesn't answer or refuses.
    """

    def start(self, role: str, release: str, *, ready_s: float) -> None:
        """Start a generation and return once it has said READY=1; at once if it serves already.

        From then on it is restarted whenever it ends. GenerationFailed, with its last log lines as
        evidence, when its process ends before READY or `ready_s` passes; nothing of it is left
        running then.
        """

    def stop(self, role: str, release: str, *, drain_s: float) -> bool:
        """SIGTERM it and wait until it is gone; at `drain_s` everything of it is killed.

        True: it ended by itself (or there was none); False: it was killed. Under systemd the
        unit's own TimeoutStopSec is the deadline.
        """

    def generations(self, role: str) -> list[Generation]:
        """Those that run or are being restarted, in no order; a failed one may be among them."""

    def last_lines(self, role: str, release: str) -> list[str]:
        """What it logged last, at most 20 lines, oldest first: evidence. [] when there is none."""

    def admin_socket(self, role: str, release: str) -> Path:
        """Where the generation serves its own health (EV_ADMIN_SOCKET)."""

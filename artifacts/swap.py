"""The swap: the new generation serves beside the old one before anything is taken away.

    start → READY → /readyz and /version on its own socket → flip the links → drain the old

If the new one fails at any step it is stopped, the links stay, and the old one never noticed. A
crash in the middle leaves generations that overlap; the next swap to the same release goes on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from artifacts.health import Answer, ask
from artifacts.layout import Layout
from artifacts.manifest import BadManifest
from artifacts.node_errors import (
    CurrentNotReady,
    NodeError,
    NoLastGood,
    NotReady,
    RoleNotInRelease,
    WrongVersion,
)
from artifacts.services import ServiceManager

ASK_S = 2.0
POLL_S = 0.05
# For a release whose manifest is gone although a generation of it still runs.
DRAIN_UNKNOWN_S = 10.0


@dataclass(frozen=True)
class Swapper:
    """Swaps one role of one node. Call it with the node's lock held."""

    node: str
    role: str
    layout: Layout
    services: ServiceManager

    def activate(self, release: str) -> dict[str, Any]:
        """The role serves from this release, and from no other.

        A swap answers {"from", "to", "started_at", "ended_at" (Unix seconds), "ready_s",
        "drain_s", "total_s", "drained"}; when it serves already, {"unchanged": True, "release"}.
        """
        ready_s, _ = self._bounds(release)
        current = self.layout.current(self.role)
        running = {generation.release for generation in self.services.generations(self.role)}
        if current == release and release in running:
            self._must_be_ready(release, time.monotonic() + ready_s)
            self._drain(running - {release})
            return {"unchanged": True, "release": release}

        started_at, began = time.time(), time.monotonic()
        self._start(release, ready_s)
        self._flip(current, release)
        ready_at = time.monotonic()
        drained = self._drain(running - {release})
        ended = time.monotonic()
        return {
            "from": current,
            "to": release,
            "started_at": round(started_at, 3),
            "ready_s": round(ready_at - began, 3),
            "drain_s": round(ended - ready_at, 3),
            "total_s": round(ended - began, 3),
            "drained": drained,
            "ended_at": round(started_at + ended - began, 3),
        }

    def rollback(self) -> dict[str, Any]:
        """Activate what served before the current release; no registry is needed.

        `last_good` stays as it is: the release that was left must not become the good one. So a
        second rollback changes nothing. NoLastGood when there is nothing to go back to.
        """
        last_good = self.layout.last_good(self.role)
        if last_good is None or not self.layout.is_unpacked(last_good):
            raise NoLastGood(
                f"{self.role} has no release to roll back to",
                why="none served before the current one"
                if last_good is None
                else f"{last_good} is no longer unpacked",
                next_step="roll out a release by its id: evctl rollout --to <release>",
            )
        return self.activate(last_good)

    def retire(self) -> dict[str, Any]:
        """The role serves from nothing here, now and after a boot.

        {"stopped": releases, "drained": all of them ended by themselves, "drain_s"}.
        """
        began = time.monotonic()
        self.layout.clear_current(self.role)
        running = {generation.release for generation in self.services.generations(self.role)}
        drained = self._drain(running)
        took_s = round(time.monotonic() - began, 3)
        return {"stopped": sorted(running), "drained": drained, "drain_s": took_s}

    def _bounds(self, release: str) -> tuple[float, float]:
        """ready_s and drain_s of the role in this release. NotUnpacked, RoleNotInRelease."""
        facts = self.layout.manifest(release).roles.get(self.role)
        if facts is None:
            raise RoleNotInRelease(
                f"release {release} has no role {self.role}",
                why="its evctl.yaml doesn't describe it",
                next_step="choose a release that does, or give the node another role",
            )
        return float(facts["ready_s"]), float(facts["drain_s"])

    def _start(self, release: str, ready_s: float) -> None:
        deadline = time.monotonic() + ready_s
        self.services.start(self.role, release, ready_s=ready_s)
        try:
            self._await_healthy(release, deadline)
        except BaseException:
            self._drain({release})
            raise

    def _await_healthy(self, release: str, deadline: float) -> None:
        """Asked over its own socket: the shared one would let any generation answer."""
        ready = self._await_ready(release, deadline)
        name = f"{self.role} {release}"
        if ready.status != 200:
            raise NotReady(
                f"{name} said READY but isn't",
                why=_said("/readyz", ready),
                evidence=self.services.last_lines(self.role, release),
            )
        version = ask(self.services.admin_socket(self.role, release), "/version", ASK_S)
        said = version.json()
        wanted = {"release": release, "role": self.role, "node": self.node}
        wrong = {key: said.get(key) for key in wanted if said.get(key) != wanted[key]}
        if version.status != 200 or wrong:
            raise WrongVersion(
                f"{name} says that it is something else",
                why=_said("/version", version),
                evidence=self.services.last_lines(self.role, release),
            )

    def _must_be_ready(self, release: str, deadline: float) -> None:
        """What runs already is left as it is, ready or not."""
        ready = self._await_ready(release, deadline)
        if ready.status != 200:
            raise CurrentNotReady(
                f"{self.role} {release} runs already, but isn't ready",
                why=_said("/readyz", ready),
                next_step="see what it lacks in its log, or roll back: evctl rollback",
            )

    def _await_ready(self, release: str, deadline: float) -> Answer:
        admin_socket = self.services.admin_socket(self.role, release)
        while True:
            answer = ask(admin_socket, "/readyz", min(ASK_S, max(deadline - time.monotonic(), 0.2)))
            if answer.status == 200 or time.monotonic() >= deadline:
                return answer
            time.sleep(POLL_S)

    def _flip(self, current: str | None, release: str) -> None:
        """What served until now is the last good one, unless this goes back to the last good."""
        if current not in (None, release) and release != self.layout.last_good(self.role):
            self.layout.set_last_good(self.role, current)
        self.layout.set_current(self.role, release)

    def _drain(self, releases: set[str]) -> bool:
        """Stop generations, one after the other. False when one had to be killed."""
        results = [
            self.services.stop(self.role, release, drain_s=self._drain_s(release))
            for release in sorted(releases)
        ]
        return all(results)

    def _drain_s(self, release: str) -> float:
        try:
            return self._bounds(release)[1]
        except (NodeError, BadManifest):  # gone, or changed by hand
            return DRAIN_UNKNOWN_S


def _said(path: str, answer: Answer) -> str:
    return f"{path} answered {answer.status or 'nothing'}: {answer.text()}"

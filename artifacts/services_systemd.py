"""Generations under systemd: `ev-<role>@<release>.service`, whose units Salt renders.

The commands are built as data by the functions at the end; `_run` is the only place that runs one.
Instance names are release ids as they are: units use %i, which systemd doesn't unescape.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artifacts.health import ask
from artifacts.layout import Layout, check_release_id
from artifacts.node_errors import GenerationFailed, ServicesUnavailable
from artifacts.services import Generation, State

COMMAND_TIMEOUT_S = 15.0
POLL_S = 0.05
SHOW_EVERY_S = 0.25
EVIDENCE_LINES = 20
# What `systemctl stop` may take beyond the unit's own deadline.
STOP_SLACK_S = 10.0

PROPERTIES = (
    "Id", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "ExecMainStatus",
    "TimeoutStopUSec", "Job",
)  # fmt: skip

_STATES: dict[str, State] = {
    "active": "serving",
    "reloading": "serving",
    "activating": "starting",
    "deactivating": "draining",
    "failed": "failed",
}

Run = Callable[[tuple[str, ...], float], "Done"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def _run(argv: tuple[str, ...], timeout_s: float) -> Done:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ServicesUnavailable(
            f"there is no {argv[0]} on this node",
            next_step="set `services: supervisor` for nodes without systemd",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServicesUnavailable(
            f"no answer within {timeout_s:g} s: {' '.join(argv)}",
            next_step="look at the node: systemctl list-jobs",
        ) from error
    return Done(done.returncode, done.stdout, done.stderr)


class SystemdServices:
    """Implements services.ServiceManager."""

    def __init__(self, layout: Layout, run: Run = _run) -> None:
        self._layout = layout
        self._run = run

    def admin_socket(self, role: str, release: str) -> Path:
        return self._layout.admin_socket(role, release)

    def last_lines(self, role: str, release: str) -> list[str]:
        try:
            return self._run(
                journal_command(unit(role, release)), COMMAND_TIMEOUT_S
            ).out.splitlines()
        except ServicesUnavailable:
            return []

    def generations(self, role: str) -> list[Generation]:
        found = []
        for properties in self._show(f"ev-{role}@*.service"):
            state = _STATES.get(properties.get("ActiveState", ""))
            if state is not None:
                found.append(
                    Generation(
                        release=instance(properties["Id"]),
                        state=state,
                        pid=int(properties.get("MainPID") or 0) or None,
                        restarts=int(properties.get("NRestarts") or 0),
                    )
                )
        return found

    def start(self, role: str, release: str, *, ready_s: float) -> None:
        name = unit(role, release)
        deadline = time.monotonic() + ready_s
        before = self._one(name)
        if before.get("ActiveState") == "active":
            return
        asked = self._run(start_command(name), COMMAND_TIMEOUT_S)
        if asked.code != 0:
            raise ServicesUnavailable(
                f"systemd refused to start {name}",
                why=" ".join(asked.err.split()),
                next_step="apply the node's state again: it renders the units",
            )
        while True:
            self._await_news(role, release)
            now = self._one(name)
            if now.get("ActiveState") == "active":
                return
            failure = failed(now, before)
            if failure is None and time.monotonic() > deadline:
                failure = f"it never said READY=1 within {ready_s:g} s"
            if failure is not None:
                break
        evidence = self.last_lines(role, release)
        self.stop(role, release, drain_s=ready_s)
        raise GenerationFailed(f"{role} {release} did not start", why=failure, evidence=evidence)

    def _await_news(self, role: str, release: str) -> None:
        """Until the generation answers, or for a moment. Asking systemd costs a process each time,
        here and in systemd: many of them would take from the generation what it starts with."""
        until = time.monotonic() + SHOW_EVERY_S
        while time.monotonic() < until:
            time.sleep(POLL_S)
            if ask(self.admin_socket(role, release), "/readyz", POLL_S).status == 200:
                return

    def stop(self, role: str, release: str, *, drain_s: float) -> bool:
        name = unit(role, release)
        before = self._one(name)
        if _STATES.get(before.get("ActiveState", "")) is None:
            return True
        # The unit is forgotten as soon as it is down (CollectMode), and its Result with it. But a
        # timer never fires early: who was gone before the unit's deadline was not killed by it.
        deadline_s = timespan_s(before.get("TimeoutStopUSec", ""), default_s=drain_s)
        asked_at = time.monotonic()
        done = self._run(stop_command(name), deadline_s + STOP_SLACK_S)
        took_s = time.monotonic() - asked_at
        if done.code != 0:
            raise ServicesUnavailable(
                f"systemd refused to stop {name}",
                why=" ".join(done.err.split()),
                next_step=f"look at the node: systemctl status {name}",
            )
        return took_s < deadline_s and self._one(name).get("Result") != "timeout"

    def _one(self, name: str) -> dict[str, str]:
        shown = self._show(name)
        return shown[0] if shown else {}

    def _show(self, pattern: str) -> list[dict[str, str]]:
        done = self._run(show_command(pattern), COMMAND_TIMEOUT_S)
        if done.code != 0:
            raise ServicesUnavailable(
                "systemd doesn't answer",
                why=" ".join(done.err.split()),
                next_step="look at the node: systemctl status",
            )
        return blocks(done.out)


def unit(role: str, release: str) -> str:
    return f"ev-{role}@{check_release_id(release)}.service"


def instance(unit_name: str) -> str:
    """The release in a generation's unit name."""
    return unit_name.partition("@")[2].removesuffix(".service")


def start_command(name: str) -> tuple[str, ...]:
    # Blocking, a unit of Type=notify that crashes and is restarted would never return.
    return ("systemctl", "start", "--no-block", name)


def stop_command(name: str) -> tuple[str, ...]:
    return ("systemctl", "stop", name)


def show_command(pattern: str) -> tuple[str, ...]:
    return ("systemctl", "show", "--property", ",".join(PROPERTIES), pattern)


def journal_command(name: str) -> tuple[str, ...]:
    return (
        "journalctl", "--quiet", "--no-pager", "--output", "cat",
        "--lines", str(EVIDENCE_LINES), "--unit", name,
    )  # fmt: skip


def blocks(shown: str) -> list[dict[str, str]]:
    """`systemctl show`'s answer: one mapping a unit."""
    units = []
    for block in shown.split("\n\n"):
        lines = (line.partition("=") for line in block.splitlines() if "=" in line)
        properties = {key: value for key, _, value in lines}
        if properties.get("Id"):
            units.append(properties)
    return units


def failed(now: dict[str, str], before: dict[str, str]) -> str | None:
    """Why a generation that was asked to start will not; None while it still may.

    With Restart=always a crashing one is never `failed`: it is restarted for ever.
    """
    died = f"its process ended with status {now.get('ExecMainStatus', '?')}"
    restarted = int(now.get("NRestarts") or 0) > int(before.get("NRestarts") or 0)
    if now.get("SubState") == "auto-restart" or restarted:
        return died
    state = now.get("ActiveState")
    if state == "failed" or (state == "inactive" and now.get("Job", "0") in ("", "0")):
        return f"{died}, result {now.get('Result', '?')}"
    return None


_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def timespan_s(shown: str, *, default_s: float) -> float:
    """Seconds of a time span as systemd prints it, such as `1min 30s`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|d)\b", shown)
    if not parts:
        return default_s
    return sum(float(number) * _UNITS_S[name] for number, name in parts)

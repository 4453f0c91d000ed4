"""The load client as a process beside a story: in the lab's network, until the story is over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.lab.spec import REPOSITORY, Lab

START_S = 30.0
STOP_S = 30.0
POLL_S = 0.2


@contextmanager
def load_running(lab: Lab, ledger: Path, targets: Sequence[str], rate: float) -> Iterator[None]:
    """It sends meanwhile; afterwards it has awaited all its answers."""
    inside = ("ip", "netns", "exec", lab.network) if lab.driver == "nspawn" else ()
    client = subprocess.Popen(
        (
            *(*inside, sys.executable, "-m", "demo.load", "--quiet"),
            *("--targets", ",".join(targets), "--out", str(ledger), "--rate", str(rate)),
        ),
        cwd=REPOSITORY,
        start_new_session=True,
    )
    try:
        await_true(lambda: progress(ledger).get("sent", 0) > 0, START_S, "the load client sends")
        yield
    finally:
        client.send_signal(signal.SIGTERM)
        try:
            client.wait(STOP_S)
        except subprocess.TimeoutExpired:
            client.kill()
            client.wait()


def progress(ledger: Path) -> dict[str, Any]:
    """What the client says of itself; nothing before it has begun."""
    try:
        found: dict[str, Any] = json.loads((ledger / "progress.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def await_true(true: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(POLL_S)

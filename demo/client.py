"""The load client as a process of its own, in the lab's network."""

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

from cli.lab.namespaces import inside
from cli.lab.spec import REPOSITORY, Lab

START_S = 30
STOP_S = 30.0


@contextmanager
def under_load(
    lab: Lab, targets: Sequence[str], ledger: Path, rate: float
) -> Iterator[subprocess.Popen[bytes]]:
    """The targets get `rate` requests a second, in all; afterwards the client has awaited its
    answers. Yields the client, which takes the signals that demo.load names."""
    client = subprocess.Popen(
        (
            *(*inside(lab), sys.executable, "-m", "demo.load", "--quiet"),
            *("--targets", ",".join(targets), "--out", str(ledger), "--rate", str(rate)),
        ),
        cwd=REPOSITORY,
        start_new_session=True,
    )
    try:
        wait_for(lambda: progress(ledger).get("sent", 0) > 0, START_S, "the load client sends")
        yield client
    finally:
        client.send_signal(signal.SIGTERM)
        try:
            client.wait(STOP_S)
        except subprocess.TimeoutExpired:
            client.kill()
            client.wait()


def collectors(lab: Lab, port: int) -> list[str]:
    """Where those of the lab take events."""
    return [f"http://{node.address}:{port}" for node in lab.nodes if node.role == "collector"]


def progress(ledger: Path) -> dict[str, Any]:
    """What the load client last said of itself; empty before it said anything."""
    try:
        view: dict[str, Any] = json.loads((ledger / "progress.json").read_text())
    except FileNotFoundError:
        return {}
    return view


def wait_for(true: Callable[[], bool], limit_s: float, what: str) -> None:
    """TimeoutError, with `what`, when it doesn't become true in time."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.1)

"""Waiting for what a lab has started."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from cli.lab import namespaces
from cli.lab.spec import Lab

POLL_S = 0.05


def until(true: Callable[[], bool], limit_s: float) -> bool:
    """False when it did not become true in time."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def listens(lab: Lab, port: int) -> bool:
    """Whether something accepts connections at the master's address, asked from within the lab's
    network."""
    answers: list[bool] = []

    def ask() -> None:
        if lab.driver == "nspawn":
            namespaces.enter(lab.network)
        with socket.socket() as probe:
            probe.settimeout(1)
            answers.append(probe.connect_ex((lab.master_address, port)) == 0)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(5)
    return answers == [True]

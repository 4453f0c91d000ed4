"""Asks nodes for /version from within the lab's network, as the world would."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping

from cli.lab import namespaces

ASK_S = 0.5
POLL_S = 0.05


class FirstAnswers:
    """When each node answered for the first time. A thread of its own, in the lab's network."""

    def __init__(self, addresses: Mapping[str, tuple[str, int]], network: str | None) -> None:
        self.at: dict[str, float] = {}
        self._addresses = addresses
        self._network = network
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, limit_s: float) -> None:
        """Until all have answered. TimeoutError names those that haven't."""
        self._thread.join(limit_s)
        self._ended.set()
        self._thread.join(2 * ASK_S * len(self._addresses))
        missing = sorted(set(self._addresses) - set(self.at))
        if missing:
            raise TimeoutError(f"no answer within {limit_s:.0f} s from {', '.join(missing)}")

    def _watch(self) -> None:
        if self._network:
            namespaces.enter(self._network)
        while len(self.at) < len(self._addresses) and not self._ended.wait(POLL_S):
            for node, (host, port) in self._addresses.items():
                if node not in self.at and answers(host, port):
                    self.at[node] = time.time()


def answers(host: str, port: int) -> bool:
    """Whether GET /version is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=ASK_S)
    try:
        connection.request("GET", "/version", headers={"Connection": "close"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

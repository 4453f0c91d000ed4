"""Clients that send numbered events one after the other, and remember what was acknowledged."""

import contextlib
import http.client
import json
import socket
import threading
from collections import Counter
from typing import Any

from eventstore import packing
from eventstore.backends.embedded.queue import EmbeddedQueue

JSON = {"Content-Type": "application/json"}
LARGE = 1 << 40


class Sender(threading.Thread):
    """Sends until told to stop, whatever it gets; each event once."""

    def __init__(self, name: str, port: int, path: str = "/v1/events", padding: int = 0) -> None:
        super().__init__(name=name, daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._path = path
        self._padding = "x" * padding
        self._stopping = threading.Event()
        self.acked: list[str] = []
        self.answers: Counter[object] = Counter()  # status → how many; None: none came
        self.bodies: dict[int, Any] = {}  # the last answer of each status

    def run(self) -> None:
        connection = self._connection
        number = 0
        while not self._stopping.is_set():
            event_id = f"{self.name}-{number}"
            number += 1
            body = json.dumps({"id": event_id, "type": self.name, "p": self._padding})
            try:
                connection.request("POST", self._path, body, JSON)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                self.answers[None] += 1
                connection.close()
                self._stopping.wait(0.01)
                continue
            if response.status == 200:
                self.acked.append(event_id)
            self.answers[response.status] += 1
            self.bodies[response.status] = json.loads(answer)
        connection.close()

    def hang_up(self) -> None:
        """Ends it, even if it would wait for an answer that will not come."""
        self._stopping.set()
        while self.is_alive():
            sock = self._connection.sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            self.join(0.01)

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()


def take(queue: EmbeddedQueue) -> list[str]:
    """The ids of all events that wait in the queue; it is empty then."""
    found = []
    while leases := queue.claim(100, 60):
        for lease in leases:
            found += [json.loads(event)["id"] for event in packing.unpack(lease.body).events]
        queue.ack(leases)
    return found

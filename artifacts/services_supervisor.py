"""Generations under our own supervisor: a client of its control socket."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from artifacts.errors import EvctlError
from artifacts.layout import Layout, check_release_id
from artifacts.node_errors import GenerationFailed, ServicesUnavailable
from artifacts.services import Generation

CONTROL = "supervisor.sock"
ANSWER_BYTES_MAX = 1024 * 1024
# What the supervisor may take beyond the bound that it was given: a stop after a failed start.
SLACK_S = 20.0


class SupervisorServices:
    """Implements services.ServiceManager."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._control = layout.run / CONTROL

    def admin_socket(self, role: str, release: str) -> Path:
        return self._layout.admin_socket(role, release)

    def start(self, role: str, release: str, *, ready_s: float) -> None:
        request = {"do": "start", "role": role, "release": release, "ready_s": float(ready_s)}
        answer = self._ask(request, 2 * ready_s + SLACK_S)
        if "failed" in answer:
            raise GenerationFailed(
                f"{role} {release} did not start",
                why=str(answer["failed"]),
                evidence=answer.get("lines", []),
            )

    def stop(self, role: str, release: str, *, drain_s: float) -> bool:
        request = {
            "do": "stop",
            "role": role,
            "release": check_release_id(release),
            "drain_s": float(drain_s),
        }
        return bool(self._ask(request, drain_s + SLACK_S)["drained"])

    def last_lines(self, role: str, release: str) -> list[str]:
        request = {"do": "log", "role": role, "release": release}
        return [str(line) for line in self._ask(request, SLACK_S)["lines"]]

    def generations(self, role: str) -> list[Generation]:
        answer = self._ask({"do": "list", "role": role}, SLACK_S)
        return [Generation(**generation) for generation in answer["generations"]]

    def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            answer = json.loads(self._exchange(json.dumps(request).encode() + b"\n", timeout_s))
        except (OSError, ValueError) as error:
            raise ServicesUnavailable(
                "the node's supervisor doesn't answer",
                why=f"{self._control}: {error}",
                next_step="start it: python -m artifacts.supervisor --root <root> --run <run>",
            ) from error
        if "error" in answer:
            raise EvctlError.from_json(answer["error"])
        return dict(answer)

    def _exchange(self, line: bytes, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        received = bytearray()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self._control))
            connection.sendall(line)
            while not received.endswith(b"\n") and len(received) < ANSWER_BYTES_MAX:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                chunk = connection.recv(65536)
                if not chunk:
                    break
                received += chunk
        return bytes(received)

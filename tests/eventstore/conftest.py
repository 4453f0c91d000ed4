"""Processes of roles as a node runs them: an inherited socket as descriptor 3, READY, admin socket.

Every wait is bounded, and whatever a test leaves running is killed with it.
"""

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventstore import engines
from eventstore.ports import EventStore, Queue
from eventstore.settings import Settings

ROOT = Path(__file__).parent.parent.parent
WAIT_S = 30
# What a supervisor does: LISTEN_PID is known only in the child.
LAUNCH = 'export LISTEN_PID=$$; exec "$@"'


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Generation:
    """One running process of a role."""

    pid: int
    admin: Path
    log: Path
    exit_code: int | None = None

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code

    def wait(self, wait_s: float = WAIT_S) -> int:
        deadline = time.monotonic() + wait_s
        while self.poll() is None:
            assert time.monotonic() < deadline, f"still running: {self.log.read_text()}"
            time.sleep(0.01)
        assert self.exit_code is not None
        return self.exit_code

    def ask(self, path: str) -> tuple[int, str]:
        connection = UnixConnection(self.admin)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@dataclass
class Node:
    """A folder with the data, the settings and the sockets of one machine. program: what its
    generations run, before the role."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    generations: list[Generation] = field(default_factory=list)
    notified: list[socket.socket] = field(default_factory=list)
    program: tuple[str, ...] = ("-m", "eventstore")

    @property
    def data(self) -> str:
        return f"file://{self.root}/data"

    def port(self, role: str) -> int:
        return int(self._socket(role).getsockname()[1])

    def start(self, role: str, *, drain_s: float = 10, ready: bool = True) -> Generation:
        """A generation; with ready, returns when it has said READY=1."""
        number = len(self.generations) + 1
        settings = self.root / f"{role}-{number}.yaml"
        settings.write_text(yaml.safe_dump({"data": self.data, **self.settings}))
        admin, log = self.root / f"{role}-{number}.sock", self.root / f"{role}-{number}.log"
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.append(notified)
        notified.bind(str(self.root / f"notify-{number}"))
        environment = {
            **os.environ,
            "LISTEN_FDS": "1",
            "NOTIFY_SOCKET": str(self.root / f"notify-{number}"),
            "EV_NODE": "node-1",
            "EV_ROLE": role,
            "EV_RELEASE": f"1.0.{number}",
            "EV_SETTINGS": str(settings),
            "EV_DRAIN_S": str(drain_s),
            "EV_ADMIN_SOCKET": str(admin),
            "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",  # transforms of the tests
        }
        command = ["sh", "-c", LAUNCH, "sh", sys.executable, *self.program, role]
        pid = os.posix_spawn(
            "/bin/sh",
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_CREAT | os.O_WRONLY, 0o600),
                (os.POSIX_SPAWN_DUP2, self._socket(role).fileno(), 3),
            ],
        )
        generation = Generation(pid, admin, log)
        self.generations.append(generation)
        if ready:
            self._until_ready(notified, generation)
        return generation

    def close(self) -> None:
        for generation in self.generations:
            if generation.poll() is None:
                generation.kill()
                generation.wait()
        for sock in (*self.sockets.values(), *self.notified):
            sock.close()

    def _until_ready(self, notified: socket.socket, generation: Generation) -> None:
        deadline = time.monotonic() + WAIT_S
        while not select.select([notified], [], [], 0.05)[0]:
            assert generation.poll() is None, generation.log.read_text()
            assert time.monotonic() < deadline, generation.log.read_text()
        assert notified.recv(100) == b"READY=1"

    def _socket(self, role: str) -> socket.socket:
        if role not in self.sockets:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            sock.listen(4096)
            sock.setblocking(False)
            self.sockets[role] = sock
        return self.sockets[role]


def _new_nodes() -> Iterator[Callable[..., Node]]:
    """Nodes with settings of their own; a short path, since unix sockets have 108 bytes."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Node:
            root = Path(tempfile.mkdtemp(prefix="ev-"))
            stack.callback(shutil.rmtree, root)
            node = Node(root, settings)
            stack.callback(node.close)
            return node

        yield make


new_node = pytest.fixture(_new_nodes)
# For tests that only ask and leave nothing behind.
new_shared_node = pytest.fixture(_new_nodes, scope="module")


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    """Of the test's own settings; so is the store."""
    queue = engines.open_queue(settings)
    yield queue
    queue.close()


@pytest.fixture
def store(settings: Settings) -> Iterator[EventStore]:
    store = engines.open_store(settings)
    yield store
    store.close()


@pytest.fixture(params=["uvloop", "asyncio"])
def event_loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _post(port: int, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """One request on a connection of its own: status and decoded JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(
            "POST", "/v1/events", body, {"Content-Type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def post() -> Callable[..., tuple[int, Any]]:
    return _post


def _until(condition: Callable[[], object], wait_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition, bounded."""
    return _until

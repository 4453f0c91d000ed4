"""The process contract, with real processes: health, readiness, overlapping swaps, drain."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from eventstore.query.read import open_reader

NewNode = Callable[..., Any]
ROLES = ("collector", "processor", "postprocessor", "autoscaler")
MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("role", ROLES)
def test_health_on_both_sockets_and_memory_at_rest(role: str, new_node: NewNode, until: Any):
    node = new_node()
    generation = node.start(role)
    identity = {"role": role, "release": "1.0.1", "node": "node-1", "pid": generation.pid}
    assert json.loads(generation.ask("/version")[1]) == identity
    assert generation.ask("/livez") == (200, "alive\n")
    assert generation.ask("/readyz") == (200, "ready\n")
    status, page = generation.ask("/metrics")
    assert status == 200
    assert f'ev_info{{role="{role}",release="1.0.1",node="node-1"}} 1' in page
    assert 'ev_request_seconds_bucket{le="+Inf"} 0' in page, "health isn't counted"
    assert "# TYPE process_resident_memory_bytes gauge\n" in page
    resident = float(page.split("\nprocess_resident_memory_bytes ")[1].split("\n")[0])
    assert 10 * MIB < resident < 300 * MIB
    connection = http.client.HTTPConnection("127.0.0.1", node.port(role), timeout=30)
    connection.request("GET", "/version")
    assert json.loads(connection.getresponse().read()) == identity
    connection.request("POST", "/readyz", b"")
    assert connection.getresponse().status == 405
    connection.close()
    with open(f"/proc/{generation.pid}/smaps_rollup") as file:  # noqa: PTH123 -- a /proc file
        pss_kib = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    assert pss_kib < 120 * 1024
    generation.terminate()
    assert generation.wait() == 0
    assert not generation.admin.exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"lease_x": 1}, "did you mean 'lease_s'"), ({"data": "s3://x"}, "file:///")],
)
def test_wrong_settings_end_the_process_with_one_line(
    settings: dict[str, Any], complaint: str, new_node: NewNode
):
    generation = new_node(**settings).start("collector", ready=False)
    assert generation.wait() == 2
    (line,) = generation.log.read_text().splitlines()
    assert complaint in line


def test_an_engine_that_cannot_be_opened_ends_the_process(new_node: NewNode):
    node = new_node()
    (node.root / "data").write_text("a file where the folder should be")
    generation = node.start("processor", ready=False)
    assert generation.wait() == 1
    assert "cannot start" in generation.log.read_text()


def test_run_by_hand_it_binds_the_loopback(new_node: NewNode):
    node = new_node()
    settings = node.root / "hand.yaml"
    settings.write_text(f"data: {node.data}\nlisten_port: 0\n")
    command = [sys.executable, "-m", "eventstore", "collector", "--settings", str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


class Client(threading.Thread):
    """Sends numbered events until told to stop; keeps what was acknowledged and what failed."""

    def __init__(self, name: str, port: int, *, keep_alive: bool) -> None:
        super().__init__(name=name, daemon=True)
        self._port = port
        self._keep_alive = keep_alive
        self.stopping = threading.Event()
        self.acked: list[str] = []
        self.failed: list[str] = []
        self.sent = 0

    def run(self) -> None:
        connection = self._connect()
        while not self.stopping.is_set():
            event_id = f"{self.name}-{self.sent}"
            self.sent += 1
            headers = JSON if self._keep_alive else {**JSON, "Connection": "close"}
            try:
                body = json.dumps({"id": event_id, "type": self.name})
                connection.request("POST", "/v1/events", body, headers)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{event_id}: {error!r}")
                connection.close()
                connection = self._connect()
                continue
            if response.status == 200:
                self.acked.append(event_id)
            else:
                self.failed.append(f"{event_id}: {response.status} {answer!r}")
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)


def test_swaps_under_load_fail_no_request_and_lose_no_event(
    new_node: NewNode, event_loop_name: str, until: Any
):
    node = new_node(event_loop=event_loop_name, publish_s=0.1)
    serving = {role: node.start(role) for role in ROLES}
    clients = [
        Client(f"client-{n}", node.port("collector"), keep_alive=n % 3 != 0) for n in range(6)
    ]
    for client in clients:
        client.start()
    for swap in range(4):
        role = "collector" if swap < 3 else "processor"
        new = node.start(role)
        progress = clients[0].sent + 20
        until(lambda: clients[0].sent > progress)  # noqa: B023 -- used up before it changes
        serving[role].terminate()
        assert serving[role].wait() == 0
        assert "drained: 0 connections were left" in serving[role].log.read_text()
        serving[role] = new
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(30)
    assert [failure for client in clients for failure in client.failed] == []
    assert all(client.sent > 80 for client in clients)
    reader = open_reader(node.data)
    until(reader.drained)
    seen = Counter(json.loads(event.body)["id"] for event in reader.events())
    assert seen == Counter(event_id for client in clients for event_id in client.acked)
    assert reader.mismatches() == {}
    assert len({event.tags["release"] for event in reader.events()}) == 4
    reader.close()


def test_an_idle_connection_that_is_used_during_the_drain_is_answered(
    new_node: NewNode, event_loop_name: str, until: Any
):
    node = new_node(event_loop=event_loop_name)
    generation = node.start("collector", drain_s=20)
    connection = http.client.HTTPConnection("127.0.0.1", node.port("collector"), timeout=30)
    connection.request("POST", "/v1/events", b'{"n":1}', JSON)
    response = connection.getresponse()
    response.read()
    assert response.getheader("Connection") is None
    generation.terminate()
    until(lambda: generation.ask("/readyz") == (503, "draining\n"))
    connection.request("POST", "/v1/events", b'{"n":2}', JSON)
    response = connection.getresponse()
    assert (response.status, response.getheader("Connection")) == (200, "close")
    response.read()
    connection.close()
    assert generation.wait() == 0
    assert "0 connections were left" in generation.log.read_text()


def test_connections_idle_for_the_whole_drain_do_not_outlast_the_deadline(
    new_node: NewNode, event_loop_name: str
):
    node = new_node(event_loop=event_loop_name)
    generation = node.start("collector", drain_s=2)
    used = http.client.HTTPConnection("127.0.0.1", node.port("collector"), timeout=30)
    used.request("GET", "/livez")
    used.getresponse().read()
    silent = socket.create_connection(("127.0.0.1", node.port("collector")))
    half = socket.create_connection(("127.0.0.1", node.port("collector")))
    half.sendall(
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        b"Content-Type: application/json\r\n\r\n{"
    )
    generation.terminate()
    assert generation.wait(2) == 0  # the contract's bound: after it comes a SIGKILL
    for one in (silent, half):
        one.close()
    used.close()


def run_postprocessor(node: Any, step: str) -> Any:
    """As it is started, but for what its worker does at each step."""
    code = (
        "import gc, runpy, sys, time\n"
        "from eventstore.postprocessing.postprocessor import Postprocessor\n"
        f"{step}\n"
        "Postprocessor.step = step\n"
        "sys.argv = ['eventstore', 'postprocessor']\n"
        "runpy.run_module('eventstore', run_name='__main__')\n"
    )
    settings = node.root / "x.yaml"
    settings.write_text(f"data: {node.data}\nlisten_port: 0\n")
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "EV_SETTINGS": str(settings)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_role_whose_worker_dies_ends_with_an_error(new_node: NewNode):
    done = run_postprocessor(new_node(), "def step(self): raise RuntimeError('planted')")
    assert done.returncode == 1
    assert "planted" in done.stderr


def test_garbage_is_looked_for_from_when_a_role_serves(new_node: NewNode):
    step = (
        "def step(self):\n"
        "    while not gc.isenabled(): time.sleep(0.01)\n"
        "    raise RuntimeError('enabled')"
    )
    assert "enabled" in run_postprocessor(new_node(), step).stderr

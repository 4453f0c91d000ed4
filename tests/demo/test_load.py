"""The load client against servers that misbehave: each failure counted once, in its right kind."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from demo.ledger import Connection, Outcome, read_requests, read_reserved, read_run
from demo.load import run_load
from demo.numbered import event_bytes
from demo.sender import Plan

REPOSITORY = Path(__file__).resolve().parents[2]
PACK = "0190b5a0-0000-7000-8000-000000000001"
OK = "200 OK"

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """An HTTP server by hand: it keeps what it read, and answers, or not, as a test wants."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0

    async def read(self, reader: asyncio.StreamReader) -> list[bytes] | None:
        """The next request's events; None at the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        lines = head.decode().split("\r\n")[1:-2]
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        return events_of(headers, body)

    def answer(self, writer: asyncio.StreamWriter, status: str, body: object, *more: str) -> None:
        text = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(text)}", *more, "", ""]
        writer.write("\r\n".join(lines).encode() + text)


def events_of(headers: dict[str, str], body: bytes) -> list[bytes]:
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if headers["content-type"] == "application/x-ndjson":
        return body.splitlines()
    if body.startswith(b"["):
        return [json.dumps(one, separators=(",", ":")).encode() for one in json.loads(body)]
    return [body]


def receipt(events: list[bytes]) -> dict[str, Any]:
    return {"accepted": len(events), "pack": PACK, "first": 0}


def drive(
    out: Path,
    handle: Handle,
    *,
    requests: int = 12,
    keep_alive: int = 2,
    one_shot: int = 0,
    timeout_s: float = 5,
) -> list[Any]:
    """Runs the load against a handler of connections; the ledger's records."""

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        plan = Plan(
            targets=(f"http://127.0.0.1:{port}",),
            rate=500,
            keep_alive=keep_alive,
            one_shot=one_shot,
            timeout_s=timeout_s,
            requests_max=requests,
        )
        await run_load(plan, out, quiet=True)
        server.close()

    asyncio.run(run())
    return list(read_requests(out))


def outcomes(records: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        found[record.outcome.label] = found.get(record.outcome.label, 0) + 1
    return found


def test_what_is_sent_is_what_the_ledger_says(tmp_path: Path) -> None:
    wire = Wire()
    got: list[bytes] = []

    async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (events := await wire.read(reader)) is not None:
            got.extend(events)
            wire.answer(writer, OK, receipt(events))
        writer.close()

    records = drive(tmp_path / "out", honest, requests=200)
    run = read_run(tmp_path / "out").run
    expected = [
        event_bytes(run, record.first + k, record.at_ms)
        for record in records
        for k in range(record.count)
    ]
    assert sorted(got) == sorted(expected)
    assert len(set(got)) == len(got) > 200
    assert outcomes(records) == {"acked": 200}
    assert {record.pack.hex() for record in records} == {PACK.replace("-", "")}
    kinds = {(one.get("content-encoding"), one["content-type"]) for one, _ in wire.requests}
    assert {("gzip", "application/json"), (None, "application/x-ndjson")} <= kinds
    assert json.loads((tmp_path / "out/progress.json").read_text())["sent"] == 200


def test_connections_of_one_request_say_so_and_are_new_each_time(tmp_path: Path) -> None:
    wire = Wire()

    async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        while (events := await wire.read(reader)) is not None:
            wire.answer(writer, OK, receipt(events))  # the client must close, we don't
        writer.close()

    records = drive(tmp_path / "out", honest, keep_alive=0, one_shot=2)
    assert wire.connections == len(records) == 12
    assert {headers["connection"] for headers, _ in wire.requests} == {"close"}
    assert {record.connection for record in records} == {Connection.ONE_SHOT}


def test_connection_close_is_honoured_and_no_failure(tmp_path: Path) -> None:
    wire = Wire()

    async def draining(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        if (events := await wire.read(reader)) is not None:
            wire.answer(writer, OK, receipt(events), "Connection: close")
        await reader.read()  # until the client closes
        writer.close()

    records = drive(tmp_path / "out", draining)
    assert outcomes(records) == {"acked": 12}
    assert wire.connections == 12


def test_a_reused_connection_that_is_closed_has_failed_and_nothing_is_sent_again(
    tmp_path: Path,
) -> None:
    wire = Wire()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the first request, takes the second and closes without a word."""
        if (events := await wire.read(reader)) is not None:
            wire.answer(writer, OK, receipt(events))
            await wire.read(reader)
        writer.close()

    records = drive(tmp_path / "out", rude, keep_alive=1)
    assert outcomes(records) == {"acked": 6, "reset": 6}
    assert len(wire.requests) == 12


def test_a_reset_a_cut_answer_and_a_garbled_one_are_resets(tmp_path: Path) -> None:
    wire = Wire()

    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read(reader)
        place = len(wire.requests) % 3
        if place == 0:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif place == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        else:
            writer.write(b"no such protocol\r\n\r\n")
        writer.close()

    assert outcomes(drive(tmp_path / "out", resetting)) == {"reset": 12}
    assert len(wire.requests) == 12


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("500 Internal Server Error", "5xx"),
        ("503 Service Unavailable", "5xx"),
        ("429 Too Many Requests", "4xx"),
        ("400 Bad Request", "4xx"),
        ("307 Temporary Redirect", "4xx"),
    ],
)
def test_a_refusal_is_counted_by_its_status(tmp_path: Path, status: str, kind: str) -> None:
    wire = Wire()

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await wire.read(reader) is not None:
            wire.answer(writer, status, {}, "Location: /elsewhere")
        writer.close()

    records = drive(tmp_path / "out", refusing)
    assert outcomes(records) == {kind: 12}
    assert {record.status for record in records} == {int(status[:3])}
    assert len(wire.requests) == 12


@pytest.mark.parametrize(
    "answer", [{"accepted": 0, "pack": PACK}, {"accepted": 1}, {"pack": "x", "accepted": 1}, [], 3]
)
def test_a_receipt_for_something_else_acknowledges_nothing(tmp_path: Path, answer: object) -> None:
    wire = Wire()

    async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await wire.read(reader) is not None:
            wire.answer(writer, OK, answer)
        writer.close()

    assert outcomes(drive(tmp_path / "out", lying)) == {"receipt": 12}


def test_silence_is_a_timeout(tmp_path: Path) -> None:
    wire = Wire()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read(reader)
        await reader.read()
        writer.close()

    records = drive(tmp_path / "out", silent, requests=4, timeout_s=0.3)
    assert outcomes(records) == {"timeout": 4}
    assert all(record.duration_ms >= 300 for record in records)


def test_a_closed_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        target = f"http://127.0.0.1:{bound.getsockname()[1]}"
        plan = Plan((target,), 500, keep_alive=1, one_shot=1, timeout_s=5, requests_max=6)
        progress = asyncio.run(run_load(plan, tmp_path / "out", quiet=True))
    assert outcomes(list(read_requests(tmp_path / "out"))) == {"refused": 6}
    assert progress.failed == {"refused": 6}


def start(url: str, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "demo.load", "--targets", url, "--out", str(out), "--quiet"]
    pace = ["--rate", "600", "--keepalive", "4", "--one-shot", "2"]
    return subprocess.Popen([*command, *pace], cwd=REPOSITORY)


def wait_for_records(out: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while not (out / "requests.bin").exists() or len(list(read_requests(out))) < count:
        assert time.monotonic() < deadline, "the load client has written no records"
        time.sleep(0.05)


def stored_numbers(url: str) -> set[int]:
    from eventstore import engines, packing
    from eventstore.settings import Settings

    queue = engines.open_queue(Settings(data=url))
    numbers: set[int] = set()
    while leases := queue.claim(100, 60):
        for lease in leases:
            numbers.update(json.loads(event)["n"] for event in packing.unpack(lease.body).events)
    queue.close()
    return numbers


def test_sigterm_ends_it_with_every_answer_in_the_ledger(tmp_path: Path, collector: Any) -> None:
    with collector(tmp_path / "data") as serving:
        client = start(serving.url, tmp_path / "out")
        wait_for_records(tmp_path / "out", 200)
        client.terminate()
        assert client.wait(30) == 0
        assert serving.stop() == 0
    records = list(read_requests(tmp_path / "out"))
    assert {record.outcome for record in records} == {Outcome.ACKED}
    acked = {record.first + k for record in records for k in range(record.count)}
    assert acked == stored_numbers(f"file://{tmp_path}/data")
    assert json.loads((tmp_path / "out/progress.json").read_text())["state"] == "done"


def test_a_killed_client_leaves_whole_records_and_no_number_unreserved(
    tmp_path: Path, collector: Any
) -> None:
    out = tmp_path / "out"
    with collector(tmp_path / "data") as serving:
        client = start(serving.url, out)
        wait_for_records(out, 200)
        os.kill(client.pid, signal.SIGKILL)
        client.wait(30)
        serving.stop()
    records = list(read_requests(out))
    acked = {record.first + k for record in records if record.acked for k in range(record.count)}
    stored = stored_numbers(f"file://{tmp_path}/data")
    assert len(records) >= 200
    assert acked <= stored
    assert max(stored) < read_reserved(out)


def test_a_torn_record_is_left_out(tmp_path: Path) -> None:
    wire = Wire()

    async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (events := await wire.read(reader)) is not None:
            wire.answer(writer, OK, receipt(events))
        writer.close()

    drive(tmp_path / "out", honest)
    with (tmp_path / "out/requests.bin").open("ab") as file:
        file.write(b"torn")
    assert len(list(read_requests(tmp_path / "out"))) == 12


def test_a_ledger_is_never_written_over(tmp_path: Path, load: Any) -> None:
    out = tmp_path / "out"
    assert load("http://127.0.0.1:9", out, requests=1).returncode == 0
    before = (out / "requests.bin").read_bytes()
    again = load("http://127.0.0.1:9", out, requests=1)
    assert again.returncode == 2
    assert b"holds a ledger already" in again.stderr
    assert (out / "requests.bin").read_bytes() == before

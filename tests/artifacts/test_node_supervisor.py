"""The supervisor's parts that its contract suite doesn't reach."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts import supervisor_log
from artifacts.errors import EvctlError
from artifacts.layout import Layout
from artifacts.node_errors import ServicesUnavailable
from artifacts.services_supervisor import CONTROL, SupervisorServices
from artifacts.supervisor import Supervisor, answer, serve
from artifacts.supervisor_log import GenerationLog
from artifacts.supervisor_notify import NotifySocket
from tests.contracts.process_apps import APPS, DRAIN_S, place, release_id
from tests.contracts.process_engines import SupervisorEngine

FOREIGN = APPS["foreign"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SupervisorEngine]:
    made = SupervisorEngine(tmp_path, FOREIGN)
    yield made
    made.down()


def test_a_taken_address_is_told(engine: SupervisorEngine) -> None:
    place(engine.layout, FOREIGN, release_id(1))
    with socket.socket() as holder:
        holder.bind(engine.address)
        holder.listen()
        with pytest.raises(EvctlError) as raised:
            engine.services.start("web", release_id(1), ready_s=1)
    assert f"web can't have 127.0.0.1:{engine.address[1]}" in raised.value.what
    assert "in use" in raised.value.why


def test_who_gets_through_to_it_finds_the_roles_sockets_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path, tmp_path)

    class NotYetHeld(Exception):
        pass

    def boot(_supervisor: Supervisor) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            assert probe.connect_ex(str(layout.run / CONTROL)) != 0
        raise NotYetHeld

    monkeypatch.setattr(Supervisor, "boot", boot)
    with pytest.raises(NotYetHeld):
        asyncio.run(serve(layout))


def test_an_unplaced_release_and_an_unknown_role_are_told(engine: SupervisorEngine) -> None:
    with pytest.raises(EvctlError, match="isn't on this node") as raised:
        engine.services.start("web", release_id(7), ready_s=1)
    assert raised.value.code == "E1201"
    with pytest.raises(EvctlError) as raised:
        engine.services.start("other", release_id(7), ready_s=1)
    assert raised.value.code == "E1001"


def test_a_program_that_cannot_run_is_told(engine: SupervisorEngine) -> None:
    place(engine.layout, FOREIGN, release_id(1))
    (engine.layout.release(release_id(1)) / "roles/web").chmod(0o644)
    with pytest.raises(EvctlError) as raised:
        engine.services.start("web", release_id(1), ready_s=5)
    assert raised.value.code == "E1301"
    assert "Permission" in raised.value.why


def test_no_supervisor_is_told_with_the_next_step(tmp_path: Path) -> None:
    services = SupervisorServices(Layout(tmp_path, tmp_path))
    with pytest.raises(ServicesUnavailable) as raised:
        services.generations("web")
    assert "artifacts.supervisor" in raised.value.next_step


def test_only_its_owner_may_ask(engine: SupervisorEngine) -> None:
    assert (engine.run / "supervisor.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"do": "start"}',
        b'{"do": "reboot"}',
        b'{"do": "start", "role": "web", "release": "../..", "ready_s": 1.0}',
        b'{"do": "stop", "role": "web", "release": 1, "drain_s": 1.0}',
    ],
)
def test_a_bad_request_is_an_error_and_nothing_else(tmp_path: Path, line: bytes) -> None:
    async def ask() -> object:
        return await answer(Supervisor(Layout(tmp_path, tmp_path)), line)

    said = asyncio.run(ask())
    assert isinstance(said, dict)
    assert said["error"]["code"].startswith("E1")
    assert json.dumps(said)


def test_at_its_start_it_starts_what_is_current(engine: SupervisorEngine) -> None:
    for number in (1, 2):
        place(engine.layout, FOREIGN, release_id(number))
    engine.layout.set_current("web", release_id(2))
    engine.process.terminate()
    engine.process.wait(DRAIN_S + 10)
    engine.power_on()
    (generation,) = engine.services.generations("web")
    assert generation.release == release_id(2)


def test_a_new_address_is_bound_for_the_next_generation(engine: SupervisorEngine) -> None:
    for number in (1, 2):
        place(engine.layout, FOREIGN, release_id(number))
    engine.services.start("web", release_id(1), ready_s=10)
    engine.move()
    engine.services.start("web", release_id(2), ready_s=10)
    with socket.create_connection(engine.address, timeout=5) as connection:
        connection.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
        assert release_id(2).encode() in connection.recv(1000)


def test_a_log_is_bounded_and_keeps_the_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_log, "FILE_BYTES_MAX", 1000)
    log = GenerationLog(tmp_path / "logs" / "web.log")
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.write(b"x" * 100_000)
    files = list((tmp_path / "logs").iterdir())
    assert {file.name for file in files} <= {"web.log", "web.log.1"}
    assert sum(file.stat().st_size for file in files) < 12_000
    last = log.last_lines()
    assert (len(last), last[0], last[18]) == (20, "line 481", "line 499")
    assert len(last[19]) == supervisor_log.LINE_BYTES_MAX


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    log = GenerationLog(Path("/proc/none/web.log"))
    log.write(b"still remembered\n")
    assert log.last_lines() == ["still remembered"]


@pytest.fixture
def short() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="evs-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("messages", "is_main", "ready"),
    [
        ([b"READY=1"], lambda pid: pid == os.getpid(), True),
        ([b"STATUS=x\nREADY=1\n"], lambda pid: True, True),
        ([b"READY=1"], lambda pid: False, False),
        ([b"READY=0", b"NOTREADY=1", b""], lambda pid: True, False),
    ],
)
def test_who_says_ready(
    short: Path, messages: list[bytes], is_main: Callable[[int], bool], ready: bool
) -> None:
    async def listen() -> bool:
        heard = asyncio.Event()
        notify = NotifySocket(short / "n", is_main, heard.set)
        notify.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message, str(short / "n"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        notify.close()
        return heard.is_set()

    assert asyncio.run(listen()) is ready


def test_what_a_process_says_before_the_supervisor_knows_it_is_heard(short: Path) -> None:
    """A quick one is ready while the supervisor still waits for its start to be over."""

    async def ready_early() -> None:
        main: list[int] = []
        heard = asyncio.Event()
        notify = NotifySocket(short / "n", main.__contains__, heard.set)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", str(short / "n"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not heard.is_set()
            main.append(os.getpid())
            notify.listen()
            await asyncio.wait_for(heard.wait(), 30)
        notify.close()

    asyncio.run(ready_early())

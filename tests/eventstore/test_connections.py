"""A connection is closed for being idle only when nothing of its client's waits to be read."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
import uvloop
from aiohttp.web import BaseRequest

from eventstore.collector.connections import UNREAD_BYTES_MAX, App, Connection, Connections
from eventstore.collector.reply import Reply, text
from eventstore.settings import Settings

SHORT_S = 0.2
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Scenario = Callable[[Connection, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


async def answer(_request: BaseRequest) -> Reply:
    return text(200, "served")


def test_aiohttps_private_parts_are_those_that_were_read():
    """Before another version: its web_protocol.py and base_protocol.py, beside connections.py,
    known_heads.py and one_task.py."""
    assert aiohttp.__version__ == "3.14.5"


def test_at_the_bound_of_unread_bytes_no_connection_is_admitted() -> None:
    asyncio.run(a_server_at_its_bound())


async def a_server_at_its_bound() -> None:
    server = Connections(answer, lambda why: text(400, why), Settings())
    connection, told = Connection(server, Settings(), asyncio.get_running_loop()), asyncio.Event()
    server.came(connection, UNREAD_BYTES_MAX + 1)
    assert not server.admits(told.set)
    assert not told.is_set()
    server.taken(UNREAD_BYTES_MAX + 1)
    assert told.is_set()
    assert server.admits(told.set)


async def with_a_connection(
    scenario: Scenario, kind: type[Connection] = Connection, app: App = answer
) -> None:
    settings = Settings(keep_alive_s=SHORT_S, header_s=SHORT_S)
    server = Connections(app, lambda why: text(400, why), settings)
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    connection = kind(server, settings, loop)
    assert server.admits(lambda: None)
    await loop.connect_accepted_socket(lambda: connection, ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    await scenario(connection, reader, writer)
    writer.close()


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
    writer.write(sent)
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"served"), 30)


async def held_before_its_first_request(connection: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    connection.hold()
    writer.write(REQUEST)
    await asyncio.sleep(2 * SHORT_S)
    connection.let_go()
    await served(reader, writer, b"")


async def held_between_requests(connection: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    await served(reader, writer, REQUEST)
    await held_before_its_first_request(connection, reader, writer)


async def during_a_long_turn_of_the_loop(_: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    await served(reader, writer, REQUEST)
    writer.write(REQUEST)
    time.sleep(2 * SHORT_S)  # the loop is busy with something else
    await served(reader, writer, b"")


async def let_go_of_before_the_clock(connection: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    await served(reader, writer, REQUEST)
    connection.hold()
    writer.write(REQUEST)
    asyncio.get_running_loop().call_soon(connection.let_go)
    time.sleep(2 * SHORT_S)
    await served(reader, writer, b"")


async def idle(_: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    await served(reader, writer, REQUEST)
    assert await asyncio.wait_for(reader.read(), 30) == b""


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "scenario",
    [
        held_before_its_first_request,
        held_between_requests,
        during_a_long_turn_of_the_loop,
        let_go_of_before_the_clock,
        idle,
    ],
)
def test_what_has_come_is_read_before_its_connection_is_closed_for_being_idle(
    new_loop: NewLoop, scenario: Scenario
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(with_a_connection(scenario))


class HeldAtOnce(Connection):
    """Half a large head comes, and nothing more is read, before its task has begun."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.data_received(REQUEST[:-2] + b"X: " + b"y" * 4000)
        self.hold()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_no_handler_will_take_keeps_nobody_waiting(new_loop: NewLoop) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(with_a_connection(idle_to_its_end, HeldAtOnce))


async def idle_to_its_end(connection: Connection, reader, _writer) -> None:  # type: ignore[no-untyped-def]
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), SHORT_S / 2) == b""
    assert connection.transport is None


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_body_that_has_come_whole_is_answered_though_nothing_more_is_read(
    new_loop: NewLoop,
) -> None:
    reading = asyncio.Event()

    async def read(request: BaseRequest) -> Reply:
        reading.set()
        while await request.content.readany():
            pass
        return text(200, "served")

    async def held_with_all_of_it(connection: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n")
        await asyncio.wait_for(reading.wait(), 30)
        connection.data_received(b"x" * 8000)
        connection.hold()  # at the bound of all, and before the handler's turn
        connection.let_go()
        await served(reader, writer, b"")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(with_a_connection(held_with_all_of_it, app=read))

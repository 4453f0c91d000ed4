"""A connection is closed for being idle only when nothing of its client's waits to be read."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from aiohttp.web import BaseRequest, Response

from eventstore.collector.connections import Connection, Connections
from eventstore.settings import Settings

SHORT_S = 0.2
HEAD, REST = b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"
Scenario = Callable[[Connection, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer(_request: BaseRequest) -> Response:
    return Response(text="served")


async def with_a_connection(scenario: Scenario) -> None:
    settings = Settings(keep_alive_s=SHORT_S, header_s=SHORT_S)
    server = Connections(answer, lambda why: Response(text=why), settings)
    ours, theirs = socket.socketpair()
    connection = server()
    assert server.admits(lambda: None)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    await served(reader, writer, HEAD + REST)
    await scenario(connection, reader, writer)
    writer.close()


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
    writer.write(sent)
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"served"), 30)


async def held_while_a_request_comes(connection: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    connection.hold()
    writer.write(HEAD + REST)
    await asyncio.sleep(2 * SHORT_S)
    connection.go_on()
    await served(reader, writer, b"")


async def held_in_the_middle_of_a_head(connection: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    writer.write(HEAD)
    await asyncio.sleep(0.1 * SHORT_S)
    connection.hold()
    writer.write(REST)
    await asyncio.sleep(2 * SHORT_S)
    connection.go_on()
    await served(reader, writer, b"")


async def during_a_long_turn_of_the_loop(_: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    writer.write(HEAD + REST)
    time.sleep(2 * SHORT_S)  # the loop is busy with something else
    await served(reader, writer, b"")


async def idle(_: Connection, reader, writer) -> None:  # type: ignore[no-untyped-def]
    assert await asyncio.wait_for(reader.read(), 30) == b""


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "scenario",
    [
        held_while_a_request_comes,
        held_in_the_middle_of_a_head,
        during_a_long_turn_of_the_loop,
        idle,
    ],
)
def test_what_has_come_is_read_before_its_connection_is_closed_for_being_idle(
    new_loop: Callable[[], asyncio.AbstractEventLoop], scenario: Scenario
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(with_a_connection(scenario))

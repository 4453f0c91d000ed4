"""Letting go of a shared socket in the very moment of an accept."""

import asyncio
import socket

import pytest
import uvloop
from aiohttp.web import BaseRequest

from eventstore.collector.connections import Connections
from eventstore.collector.drain import Listener, until_no_connections
from eventstore.collector.reply import Reply, text
from eventstore.settings import Settings


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_was_just_accepted_is_still_served(new_loop: object):
    async def answer(request: BaseRequest) -> Reply:
        response = text(200, "served")
        response.force_close()
        return response

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as shared:
            server = Connections(answer, lambda why: text(400, why), Settings())
            listener = Listener(shared, server)
            reader, writer = await asyncio.open_connection(*shared.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            listener._accept()  # accepted; attaching it takes another turn of the loop
            await listener.stop()
            answered = await asyncio.wait_for(reader.read(), 30)
            assert answered.endswith(b"served")
            writer.close()
            assert await until_no_connections(server, 30) == 0
            # What comes now is for the next generation: it waits in the socket's own queue.
            _, later = await asyncio.open_connection(*shared.getsockname())
            assert await until_no_connections(server, 0) == 0
            connection, _ = shared.accept()
            connection.close()
            later.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
        runner.run(scenario())

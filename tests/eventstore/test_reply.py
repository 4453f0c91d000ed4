"""An answer on the wire: what is written for each kind of request, and who keeps the connection."""

import asyncio

import pytest
from aiohttp.web import BaseRequest

from eventstore.collector.connections import Connections
from eventstore.collector.reply import Reply, text
from eventstore.settings import Settings

ALIVE = ["Content-Length: 6", "Content-Type: text/plain; charset=utf-8"]


async def answer(request: BaseRequest) -> Reply:
    return Reply(204, headers={"Allow": "GET"}) if request.path == "/none" else text(200, "alive\n")


async def answered(sent: bytes) -> tuple[str, list[str], bytes, bool]:
    """Status line, sorted headers without Date and Server, body, whether the connection is kept."""
    server = Connections(answer, lambda why: text(400, why), Settings())
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    writer.write(sent)
    status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    named = dict(line.split(": ", 1) for line in headers)
    assert named.pop("Date").endswith("GMT")
    assert named.pop("Server")
    writer.write(b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    body, found, _ = (await reader.read()).partition(b"HTTP/1.1 204 No Content\r\n")
    writer.close()
    listening.close()
    await server.shutdown(1)
    return status, sorted(f"{name}: {value}" for name, value in named.items()), body, bool(found)


@pytest.mark.parametrize(
    ("sent", "status", "headers", "body", "kept"),
    [
        ("GET / HTTP/1.1", "HTTP/1.1 200 OK", ALIVE, b"alive\n", True),
        ("HEAD / HTTP/1.1", "HTTP/1.1 200 OK", ALIVE, b"", True),
        ("GET /none HTTP/1.1", "HTTP/1.1 204 No Content", ["Allow: GET"], b"", True),
        (
            "GET / HTTP/1.1\r\nConnection: close",
            "HTTP/1.1 200 OK",
            ["Connection: close", *ALIVE],
            b"alive\n",
            False,
        ),
        ("GET / HTTP/1.0", "HTTP/1.0 200 OK", ALIVE, b"alive\n", False),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive",
            "HTTP/1.0 200 OK",
            ["Connection: keep-alive", *ALIVE],
            b"alive\n",
            True,
        ),
    ],
)
def test_an_answer_fits_its_request(
    sent: str, status: str, headers: list[str], body: bytes, kept: bool
):
    request = f"{sent}\r\nHost: x\r\n\r\n".encode()
    assert asyncio.run(answered(request)) == (status, headers, body, kept)

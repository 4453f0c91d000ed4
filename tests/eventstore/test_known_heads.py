"""A head that is known leads where its parsing leads: whatever comes, in whatever pieces."""

import asyncio
from functools import partial
from typing import Any

import pytest
from aiohttp.web import BaseRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.collector.body import read_body
from eventstore.collector.connections import Connection, Connections
from eventstore.collector.fairness import Shares
from eventstore.collector.body import Held
from eventstore.collector.known_heads import HEAD_BYTES_MAX, HEADS_MAX, KnownHeads
from eventstore.collector.reply import Again, Reply, text
from eventstore.errors import Refused
from eventstore.settings import Settings
from tests.eventstore.fuzz_requests import HEADER_TOKENS, mutated
from tests.eventstore.hostile import REQUESTS

HEADS = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nX-Key: 1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: %d\r\n\r\n",
    b"POST /b?q=1 HTTP/1.1\r\nHost: x\r\nX-Key: 2\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d"
    b"\r\n\r\n",
)
BODIES = (b"", b"{}", b"\r\n\r\n", b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
TURNS = 30  # of the loop, until all that can be answered is answered


class Transport:
    """What a connection has written, and whether it is open."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None


class Forgetful(KnownHeads):
    """Knows none."""

    def get(self, head: tuple[bytes, bytes]) -> Again | None:
        return None


class Server:
    """Answers with all that it was told; known: how often without parsing."""

    def __init__(self, *, forgetful: bool = False) -> None:
        self.connections = Connections(self, lambda why: closing(text(400, why)), Settings())
        if forgetful:
            self.connections.known_heads = Forgetful()
        self.known = 0

    async def __call__(self, request: BaseRequest) -> Reply:
        head = f"{request.method} {request.raw_path} {sorted(others(request))}"
        held = Held(Shares(1 << 20), "tenant")
        try:
            body = await read_body(request, held, bytes_max=1000, body_s=30)
        except Refused as refused:
            return closing(text(refused.status, refused.code))
        reply = text(200, f"{head} {body!r}")
        reply.again = partial(self._again, head)
        return reply

    async def _again(self, head: str, body: bytes, address: str) -> Reply:
        assert address == "192.0.2.1"
        self.known += 1
        await asyncio.sleep(0)  # as one that waits for its commit
        return text(200, f"{head} {body!r}")

    async def conversation(self, pieces: list[bytes]) -> tuple[list[str], bool]:
        """All that a connection which sends these pieces is answered, without the date; and whether
        it stays open."""
        transport = Transport()
        connection = self.connections()
        connection.connection_made(transport)  # type: ignore[arg-type]
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        lines = transport.written.decode("latin-1").split("\r\n")
        open_still = not transport.closed
        connection.connection_lost(None)
        return [line for line in lines if not line.startswith("Date: ")], open_still


def others(request: BaseRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers.items() if name != "Content-Length"
            and name != "content-length"]  # fmt: skip


def closing(reply: Reply) -> Reply:
    reply.force_close()
    return reply


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in zip(places, places[1:], strict=False)]


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Requests that are alike, some of them damaged; each whole, cut up, or with the next ones."""
    head = draw(st.sampled_from(HEADS))
    pieces: list[bytes] = []
    for _ in range(draw(st.integers(1, 5))):
        ahead = b""
        for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
            body = draw(st.sampled_from(BODIES))
            one = (draw(st.sampled_from((head, head, head, *HEADS))) % len(body)) + body
            if draw(st.sampled_from((False, False, True))):
                one = draw(mutated(one, HEADER_TOKENS))
            ahead += one
        pieces += pieces_of(ahead, draw(st.lists(st.integers(0, 200), max_size=2)) if
                            draw(st.booleans()) else [])  # fmt: skip
    return pieces


def answers(conversations: list[list[bytes]], *, forgetful: bool) -> tuple[list[Any], int]:
    async def scenario() -> tuple[list[Any], int]:
        server = Server(forgetful=forgetful)
        said = [await server.conversation(pieces) for pieces in conversations]
        return said, server.known

    return asyncio.run(scenario())


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(conversations(), min_size=2, max_size=4))
def test_who_is_known_and_who_is_not_are_answered_alike(several: list[list[bytes]]) -> None:
    assert answers(several, forgetful=False)[0] == answers(several, forgetful=True)[0]

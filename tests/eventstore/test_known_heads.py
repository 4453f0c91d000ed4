"""A head that is known leads where its parsing leads: whatever comes, in whatever pieces."""

import asyncio
import hmac
import json
import socket
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from aiohttp.web import BaseRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.collector.body import Held, read_body
from eventstore.collector.connections import Connections
from eventstore.collector.fairness import Shares
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
# Of the loop: between two pieces, when some answers may still be made, and until all are written.
FEW_TURNS, ALL_TURNS = 4, 60


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

    def _again(self, head: str, body: bytes, address: str, answer: Callable[[Reply], None]) -> None:
        assert address == "192.0.2.1"
        self.known += 1
        # Later, as after a commit.
        asyncio.get_running_loop().call_soon(answer, text(200, f"{head} {body!r}"))

    async def conversation(self, pieces: list[bytes]) -> tuple[list[str], bool]:
        """All that a connection which sends these pieces is answered, without the date; and whether
        it stays open."""
        transport = Transport()
        connection = self.connections()
        connection.connection_made(transport)  # type: ignore[arg-type]
        for piece in pieces:
            if piece and not transport.closed:
                connection.data_received(piece)
            for _ in range(FEW_TURNS):
                await asyncio.sleep(0)
        for _ in range(ALL_TURNS):
            await asyncio.sleep(0)
        lines = transport.written.decode("latin-1").split("\r\n")
        open_still = not transport.closed
        connection.connection_lost(None)
        return [line for line in lines if not line.startswith("Date: ")], open_still


def others(request: BaseRequest) -> list[tuple[str, str]]:
    """Its headers but the length, which is the body's."""
    return [pair for pair in request.headers.items() if pair[0].lower() != "content-length"]


def closing(reply: Reply) -> Reply:
    reply.force_close()
    return reply


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Requests that are alike, some of them damaged; each whole, cut up, or with the next one.
    Begun at once, or after a while (nothing)."""
    head = draw(st.sampled_from(HEADS))
    pieces = draw(st.sampled_from(([], [b""])))
    for _ in range(draw(st.integers(1, 5))):
        several = b""
        for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
            body = draw(st.sampled_from(BODIES))
            one = (draw(st.sampled_from((head, head, head, *HEADS))) % len(body)) + body
            if draw(st.sampled_from((False, False, True))):
                one = draw(mutated(one, HEADER_TOKENS))
            several += one
        cuts = draw(st.sampled_from(([], [], [0.5], [0.1, 0.9])))
        places = [0, *(int(cut * len(several)) for cut in cuts), len(several)]
        pieces += [several[start:end] for start, end in pairwise(places) if end > start]
    return pieces


def answers(conversations: list[list[bytes]], *, forgetful: bool = False) -> tuple[list[Any], int]:
    """What is said in each, and how many requests were known."""

    async def scenario() -> tuple[list[Any], int]:
        server = Server(forgetful=forgetful)
        said = [await server.conversation(pieces) for pieces in conversations]
        return said, server.known

    return asyncio.run(scenario())


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(conversations(), min_size=2, max_size=3))
def test_who_is_known_and_who_is_not_are_answered_alike(several: list[list[bytes]]):
    assert answers(several)[0] == answers(several, forgetful=True)[0]


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_hostile_stays_so_after_its_like_was_answered(name: str):
    """As it is, and with what follows it in the same piece."""
    whole, hostile = HEADS[0] % 2 + b"{}", REQUESTS[name][0]
    several = [[whole], [whole, hostile, whole], [whole, whole + hostile], [hostile + whole, whole]]
    assert answers(several)[0] == answers(several, forgetful=True)[0]


@pytest.mark.parametrize(
    ("pieces", "known"),
    [
        ([HEADS[0] % 2 + b"{}", HEADS[0] % 0, HEADS[0] % 3 + b"{ }"], 2),
        # Another header, another spelling, another path: another head.
        ([HEADS[0] % 2 + b"{}", HEADS[1] % 2 + b"{}", HEADS[2] % 2 + b"{}"], 0),
        # After a message without a body, and after one in two pieces, it is known where one begins.
        ([HEADS[0] % 0, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HEADS[0] % 0], 1),
        ([HEADS[0] % 0, HEADS[0] % 2, b"{}", HEADS[0] % 0], 1),
        # One that is cut within its head, or that the next one comes with, ends that.
        ([HEADS[0] % 0, HEADS[0][:20], HEADS[0][20:] % 0, HEADS[0] % 0], 0),
        ([HEADS[0] % 0, HEADS[0] % 0 + HEADS[0] % 0, HEADS[0] % 0], 0),
        # So does one in chunks: where it ends only a parser can tell.
        (
            [
                HEADS[0] % 0,
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                HEADS[0] % 0,
            ],
            0,
        ),
        ([HEADS[5] % 0, HEADS[5] % 0], 1),
        # Nor one that is too long to be kept.
        ([HEADS[0].replace(b"/a", b"/" + b"a" * HEAD_BYTES_MAX) % 0] * 3, 0),
    ],
)
def test_which_requests_are_known(pieces: list[bytes], known: int):
    said, found = answers([pieces])
    assert found == known
    assert said == answers([pieces], forgetful=True)[0]


def test_another_connection_knows_it_too():
    assert answers([[b"", HEADS[0] % 0]] * 3)[1] == 2


@pytest.mark.parametrize("head", [HEADS[3], HEADS[4], HEADS[6]])
def test_who_closes_or_might_leave_http_or_speaks_an_older_one_is_not_learned(head: bytes):
    several = [[b"", head % 0]] * 3
    assert answers(several) == (answers(several, forgetful=True)[0], 0)


def test_a_length_is_spelled_in_one_way_only():
    spelled = [HEADS[0].replace(b"%d", length) for length in (b"02", b"2 ", b" 2", b"00000000002")]
    pieces = [HEADS[0] % 2 + b"{}", *(head + b"{}" for head in spelled)]
    said, known = answers([pieces])
    assert known == 0
    assert said == answers([pieces], forgetful=True)[0]


def test_what_is_known_is_bounded():
    heads = KnownHeads()

    def again(_body: bytes, _address: str, answer: Callable[[Reply], None]) -> None:
        answer(text(200, ""))

    for number in range(3 * HEADS_MAX):
        heads.learn((b"%d" % number, b""), again)
        assert len(heads) <= HEADS_MAX
        assert heads.get((b"%d" % number, b"")) is again


class Client:
    """One connection to a collector, whose requests go out whole, each with the same head."""

    def __init__(self, port: int, path: str, headers: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: " % (path.encode(), headers)

    def send(self, body: bytes) -> None:
        self._socket.sendall(self._head + b"%d\r\n\r\n" % len(body) + body)

    def receive(self) -> tuple[int, bytes, Any]:
        """Status, head and decoded body of an answer."""
        with self._socket.makefile("rb", 0) as lines:
            head = b"".join(iter(lines.readline, b"\r\n"))
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
            return int(head.split()[1]), head, json.loads(lines.read(length))

    def ask(self, body: bytes) -> int:
        self.send(body)
        return self.receive()[0]


JSON = b"Content-Type: application/json\r\n"


def test_a_known_head_is_judged_anew_with_each_body(new_node: Callable[..., Any]):
    """Keys and signatures, what is no event, what is too much; and all that was acknowledged is
    in the queue."""
    secret = "s3cret"
    signed = b'{"a":1}'
    signature = hmac.new(secret.encode(), signed, "sha256").hexdigest().encode()
    node = new_node(
        endpoints=[
            {"path": "/v1/events", "body_bytes_max": 1000},
            {"path": "/segment", "format": "segment", "keys": ["right"]},
            {"path": "/signed", "signature": {"scheme": "hmac", "secret": secret}},
        ]
    )
    generation = node.start("collector")
    port = node.port("collector")
    plain = Client(port, "/v1/events", JSON)
    bodies = (b'{"a":1}', b'{"b":2}', b'{"c":3', b"{}", b'{"d":"%s"}' % (b"x" * 1000))
    assert [plain.ask(body) for body in bodies] == [200, 200, 400, 200, 413]
    keyed = Client(port, "/segment/v1/track", JSON)
    track = b'{"type":"track","event":"x","userId":"u","messageId":"%d","writeKey":"%s"}'
    keys = ((1, b"right"), (2, b"right"), (3, b"wrong"), (4, b"right"))
    assert [keyed.ask(track % one) for one in keys] == [200, 200, 401, 200]
    hook = Client(port, "/signed", JSON + b"X-Signature-256: %s\r\n" % signature)
    assert [hook.ask(body) for body in (signed, signed, b'{"a":2}', signed)] == [200, 200, 401, 200]
    page = generation.ask("/metrics")[1]
    for code, count in ((200, 9), (400, 1), (401, 2), (413, 1)):
        assert f'ev_requests_total{{code="{code}"}} {count}\n' in page
    assert "ev_request_seconds_count 13\n" in page
    assert "ev_events_acked_total 9\n" in page


def test_a_known_head_is_told_of_the_drain(
    new_node: Callable[..., Any], event_loop_name: str, until: Any
):
    node = new_node(event_loop=event_loop_name)
    generation = node.start("collector", drain_s=20)
    client = Client(node.port("collector"), "/v1/events", JSON)
    assert [client.ask(b"{}") for _ in range(3)] == [200, 200, 200]
    generation.terminate()
    until(lambda: generation.ask("/readyz") == (503, "draining\n"))
    client.send(b"{}")
    status, head, answer = client.receive()
    assert (status, answer["accepted"]) == (200, 1)
    assert b"\r\nConnection: close\r\n" in head
    assert generation.wait() == 0
    assert "0 connections were left" in generation.log.read_text()

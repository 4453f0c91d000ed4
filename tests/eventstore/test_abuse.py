"""What a hostile or broken client gets from a real collector: a 4xx with a reason or a close, in
bounded memory, while others are answered as ever."""

import http.client
import json
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.eventstore.hostile import BODY, CHUNKED, HEAD, REQUESTS
from tests.eventstore.senders import Sender

NewNode = Callable[..., Any]
MORE_KIB_MAX = 64 << 10
SHORT = {
    "header_s": 1,
    "body_s": 3,
    "answer_s": 1,
    "keep_alive_s": 2,
    "commit_s": 60,  # the machine may be busy: this is not about the queue
    "endpoints": [
        {"path": "/v1/events"},
        {"path": "/other", "tenant": "other"},
        {"path": "/segment", "format": "segment"},
    ],
}
# As much as Python can be made to make of a megabyte.
OBJECTS = b'{"":0},' * 140_000
NEARLY_TOO_MANY = b'{"ab":1.5},' * 65_000 + b'"abc",' * 45_000
ANSWERS = {b"HTTP/1.1 %d" % status for status in (200, 408, 413, 429)}
NAMES = b",".join(b'"%x":0' % number for number in range(104_000))


@pytest.fixture
def collector(new_node: NewNode, event_loop_name: str) -> Any:
    node = new_node(event_loop=event_loop_name, **SHORT)
    node.start("collector")
    return node


@pytest.fixture
def sockets(collector: Any) -> Iterator[Callable[[int], list[socket.socket]]]:
    """Many connections to the collector; not run where so many files can't be open."""
    with ExitStack() as stack:

        def connect(count: int) -> list[socket.socket]:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if hard < count + 500:
                pytest.skip(f"not run: only {hard} open files are allowed")
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return [stack.enter_context(connected(collector)) for _ in range(count)]

        yield connect


def connected(node: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port("collector")), timeout=30)


def status_kib(node: Any, name: str) -> int:
    status = Path(f"/proc/{node.generations[0].pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


@contextmanager
def others_are_answered_in_bounded_memory(node: Any) -> Iterator[None]:
    """One that behaves is answered all the while; no more than 64 MiB are needed at any time."""
    other = Sender("other", node.port("collector"), "/other")
    other.start()
    wait_for(lambda: len(other.acked) > 20)
    Path(f"/proc/{node.generations[0].pid}/clear_refs").write_text("5")  # forget the highest so far
    before_kib = status_kib(node, "VmRSS")
    yield
    acked = len(other.acked)
    wait_for(lambda: len(other.acked) > acked + 20)
    other.stop()
    assert set(other.answers) == {200}
    assert node.generations[0].poll() is None
    assert status_kib(node, "VmHWM") - before_kib <= MORE_KIB_MAX


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def is_closed(sock: socket.socket) -> bool:
    """Reads to its end, within the socket's time."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def push(socks: list[socket.socket], data: bytes, within_s: float) -> None:
    """Writes data to each of them, as fast as they take it, until it is done or they are closed."""
    deadline = time.monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        left = {}
        for sock in socks:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_WRITE)
            left[sock] = memoryview(data)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    left[sock] = left[sock][sock.send(left[sock][: 256 << 10]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    left[sock] = left[sock][:0]
                if not left[sock]:
                    selector.unregister(sock)
    for sock in socks:
        sock.settimeout(30)


def test_each_is_refused_with_a_reason_or_taken_or_closed(collector: Any):
    for name, (request, status) in REQUESTS.items():
        with connected(collector) as sock:
            sock.sendall(request)
            response = http.client.HTTPResponse(sock)
            if status is None:
                assert sock.recv(1) == b"", name
                continue
            response.begin()
            assert response.status == status, name
            answer = json.loads(response.read())
            if status != 200:
                assert answer["error"]["reason"], name
                assert answer["error"]["next"], name
    page = collector.generations[0].ask("/metrics")[1]
    assert 'ev_requests_total{code="5' not in page
    assert "Traceback" not in collector.generations[0].log.read_text()


def test_heads_that_never_end_are_closed(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    with others_are_answered_in_bounded_memory(collector):
        silent, dripping, large = (sockets(200) for _ in range(3))
        push(large, HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 8000) for n in range(30)), 10)
        open_at_s = time.monotonic()
        while dripping and time.monotonic() < open_at_s + 20:
            for sock in list(dripping):
                try:
                    sock.sendall(b"P" if sock.getsockname()[1] % 2 else b"\r\n")
                except OSError:
                    dripping.remove(sock)
            time.sleep(0.05)
        assert dripping == []
        assert all(is_closed(sock) for sock in silent + large)


def test_a_head_that_comes_slowly_after_a_request_is_closed_too(collector: Any):
    with connected(collector) as sock:
        sock.sendall(HEAD + BODY)
        assert b"200 OK" in sock.recv(1000)
        sock.sendall(HEAD)
        assert is_closed(sock)


def test_an_idle_connection_is_closed_and_one_in_use_is_not(collector: Any):
    with connected(collector) as idle, connected(collector) as used:
        idle.sendall(HEAD + BODY)
        assert b"200 OK" in idle.recv(1000)
        closed_at_s = time.monotonic() + 2 * SHORT["keep_alive_s"]
        while time.monotonic() < closed_at_s:
            used.sendall(HEAD + BODY)
            assert b"200 OK" in used.recv(1000)
            time.sleep(0.1)
        assert idle.recv(1) == b""


def test_a_thousand_large_bodies_at_once_are_not_a_thousand_large_buffers(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    with others_are_answered_in_bounded_memory(collector):
        socks = sockets(1000)
        head = HEAD + b"Content-Length: 1000000\r\n\r\n"
        push(socks, head + b"{", 10)
        push(socks, b"x" * 999_999, 10)
        push(sockets(300), CHUNKED + b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n", 10)
    page = collector.generations[0].ask("/metrics")[1]
    assert 'ev_requests_total{code="429"}' in page
    assert 'ev_requests_total{code="5' not in page


def test_forty_large_bodies_of_tiny_values_are_not_forty_times_what_is_made_of_them(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    segment = HEAD.replace(b"/v1/events", b"/segment/v1/batch")
    with others_are_answered_in_bounded_memory(collector):
        for head, body in (
            (HEAD, b'{"a":[%b0]}' % OBJECTS),
            (segment, b'{"batch":[{"a":[%b0]}]}' % NEARLY_TOO_MANY),
            (segment, b'{"batch":[{}],%b}' % NAMES),
        ):
            socks = sockets(40)
            push(socks, head + b"Content-Length: %d\r\n\r\n" % len(body) + body, 30)
            assert {sock.recv(12) for sock in socks} <= ANSWERS
    assert 'ev_requests_total{code="5' not in collector.generations[0].ask("/metrics")[1]


def test_bodies_in_tiny_chunks_are_not_huge(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    with others_are_answered_in_bounded_memory(collector):
        push(sockets(50), CHUNKED + b"1\r\nx\r\n" * 200_000, 10)


def test_what_is_sent_ahead_is_bounded(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    with others_are_answered_in_bounded_memory(collector):
        ahead = HEAD + BODY + HEAD + b"Content-Length: 1000000\r\n\r\n{"
        push(sockets(1000), ahead + b"x" * 1_000_000, 10)


def test_a_few_requests_sent_ahead_are_answered_in_order(collector: Any):
    with connected(collector) as sock:
        sock.sendall((HEAD + BODY) * 5 + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while not received.endswith(b"alive\n"):
            received += (more := sock.recv(65536))
            assert more, received
        assert received.count(b'{"accepted":1,') == 5


def test_answers_that_nobody_reads_are_given_up(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with others_are_answered_in_bounded_memory(collector):
        socks = sockets(50)
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(200):
            push(socks, ask, 10)
        generation = collector.generations[0]
        wait_for(lambda: "ev_connections 1\n" in generation.ask("/metrics")[1])


def test_thousands_of_idle_connections_cost_little(
    collector: Any, sockets: Callable[[int], list[socket.socket]]
):
    with others_are_answered_in_bounded_memory(collector):
        socks = sockets(5000)
        assert all(is_closed(sock) for sock in socks)


def test_at_the_bound_of_connections_new_ones_wait_until_one_is_closed(
    new_node: NewNode, event_loop_name: str
):
    node = new_node(event_loop=event_loop_name, connections_max=20)
    node.start("collector")
    with ExitStack() as stack:
        held = [stack.enter_context(connected(node)) for _ in range(20)]
        for sock in held:
            sock.sendall(HEAD + BODY)
            assert b"200 OK" in sock.recv(1000)
        waiting = [stack.enter_context(connected(node)) for _ in range(3)]
        for sock in waiting:
            sock.sendall(HEAD + BODY)
        assert "ev_connections 20\n" in node.generations[0].ask("/metrics")[1]
        waiting[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting[0].recv(1)
        waiting[0].settimeout(30)
        for sock, gone in zip(waiting, held, strict=False):
            gone.close()
            assert b"200 OK" in sock.recv(1000)
    node.generations[0].terminate()
    assert node.generations[0].wait() == 0


def test_clients_that_leave_in_the_middle_of_a_body_leave_nothing_behind(collector: Any):
    generation = collector.generations[0]
    for _ in range(20):
        with connected(collector) as sock:
            sock.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")
    wait_for(lambda: "ev_connections 0\n" in generation.ask("/metrics")[1])
    assert "Traceback" not in generation.log.read_text()


def test_a_body_is_asked_for_only_when_it_would_be_taken(collector: Any):
    with connected(collector) as sock:
        sock.sendall(HEAD + b"Expect: 100-continue\r\n" + BODY[:-2])
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"{}")
        assert b"200 OK" in sock.recv(1000)
    with connected(collector) as sock:
        sock.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")

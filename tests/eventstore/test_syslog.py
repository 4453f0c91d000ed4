"""Syslog over TCP: framed either way, read no faster than committed, kept through a swap."""

import socket
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import Refused, SettingsError
from eventstore.formats import READERS, Limits, Sent
from eventstore.formats.format import Run
from eventstore.formats.syslog import Framing, Message, read
from eventstore.query.read import Reader, open_reader
from eventstore.settings import from_dict

ENDPOINT = {"path": "/syslog", "format": "syslog", "tags": {"app": "shop"}}
HEAD = b"<165>1 2026-11-25T18:00:00.123Z host app 4711 "
LINE_BYTES_MAX = 500


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


lines = st.binary(min_size=1, max_size=30).map(
    lambda raw: b"<" + raw.replace(b"\n", b"").replace(b"\r", b"").replace(b"\0", b"")
)
anything = st.binary(min_size=1, max_size=30)
frames = st.lists(
    lines.map(lambda line: (line, line + b"\n")) | anything.map(lambda text: (text, counted(text))),
    max_size=8,
)


@given(frames, st.lists(st.integers(1, 40), max_size=20))
def test_messages_are_found_however_the_stream_is_cut(framed: Any, cuts: list[int]):
    stream = b"".join(frame for _, frame in framed)
    framing = Framing(64)
    found, at = [], 0
    for size in [*cuts, len(stream)]:
        found += framing.feed(stream[at : at + size])
        at += size
    found += framing.finish()
    assert found == [Message(message) for message, _ in framed]


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=9))
def test_no_stream_makes_more_wait_than_one_message(stream: bytes, cuts: list[int]):
    framing = Framing(16)
    at = 0
    for size in [*cuts, len(stream)]:
        messages = framing.feed(stream[at : at + size])
        at += size
        assert all(len(one.body) <= 16 for one in messages)
        assert len(framing._waiting) <= 16 + len("999999999 ")


def test_what_is_too_long_or_cut_is_kept_as_unusable():
    framing = Framing(4)
    found = framing.feed(b"<abcdef\n<a\n9 123")
    found += framing.feed(b"456789<b\n<1234")
    found += framing.feed(b"56")
    found += framing.feed(b"7\n3 ab")
    found += framing.finish()
    assert [(one.body, one.why.partition(":")[0]) for one in found] == [
        (b"<abc", "too_long"),
        (b"<a", ""),
        (b"1234", "too_long"),
        (b"<b", ""),
        (b"<123", "too_long"),
        (b"3 ab", "cut_short"),
    ]


def test_a_message_is_read_as_rfc_5424_has_it():
    body = HEAD + b'PAID [a@1 k="\\"x\\]" ip="::1" ip="::2"][b@1] \xef\xbb\xbfp\xc3\xa4id\nnow'
    nothing = b"<0>1 - - - - - -"
    block = [body, nothing, b"<13>Nov 25 18:00:00 host app: hello", b"<999>1 - - - - - -", b"\xff"]
    run = Run(b"".join(block), len(block), [len(one) for one in block], b"", {})
    reader = READERS["syslog"]
    first, second, *others = reader.fields(run)
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    assert (first.name, first.time) == ("PAID", "2026-11-25T18:00:00.123Z")
    assert (second.name, second.time) == ("-", "-")
    assert all("not_rfc5424" in str(one) for one in others)
    assert reader.value(body, b"") == {
        "facility": 20,
        "severity": 5,
        "timestamp": "2026-11-25T18:00:00.123Z",
        "hostname": "host",
        "app_name": "app",
        "proc_id": "4711",
        "msg_id": "PAID",
        "structured_data": {"a@1": {"k": '"x]', "ip": ["::1", "::2"]}, "b@1": {}},
        "message": "päid\nnow",
    }
    assert reader.value(nothing, b"")["message"] == ""


def test_a_body_of_too_many_messages_is_not_divided_to_its_end():
    body = b"a\n" * (1 << 19)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="too_many_events"):
            read(Sent("POST", "", "", {}, body, 0), Limits(64, 10_000, 1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_body_is_bounded_like_a_stream():
    def events(body: bytes) -> Any:
        return read(Sent("POST", "", "", {}, body, 0), Limits(64, 2, 1000))

    assert events(b"<1>1\n<1>2").count == 2
    for body in (b"", b"<1>1\n<1>2\n<1>3"):
        with pytest.raises(Refused):
            events(body)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"syslog_port": 6514}, "exactly one endpoint with format: syslog"),
        (
            {"syslog_port": 6514, "endpoints": [ENDPOINT, {**ENDPOINT, "path": "/other"}]},
            "there are 2",
        ),
        ({"syslog_address": "localhost"}, "syslog_address"),
    ],
)
def test_settings_that_cannot_work_are_named(document: Any, complaint: str):
    with pytest.raises(SettingsError, match=complaint):
        from_dict(document)


class Sender:
    """A connection; finish() returns once the collector has committed everything and closed."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def send(self, data: bytes) -> "Sender":
        self.socket.sendall(data)
        return self

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)
        assert self.socket.recv(1) == b""
        self.socket.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def node(new_node: Callable[..., Any], port: int, event_loop_name: str) -> Any:
    return new_node(
        endpoints=[ENDPOINT],
        syslog_port=port,
        syslog_line_bytes_max=LINE_BYTES_MAX,
        syslog_connections_max=3,
        event_loop=event_loop_name,
        poll_s=0.01,
    )


@pytest.fixture
def reader(node: Any) -> Iterator[Reader]:
    reader = open_reader(node.data)
    yield reader
    reader.close()


def message(text: object) -> bytes:
    return HEAD + b"PAID - " + str(text).encode()


def test_messages_are_stored_byte_for_byte_with_their_tags(
    node: Any, reader: Reader, port: int, until: Any
):
    node.start("collector")
    node.start("processor")
    sender = Sender(port)
    two_lines = message("one\ntwo")
    for part in (message(1) + b"\r\n", counted(two_lines), message(2)[:30], message(2)[30:]):
        sender.send(part)
    sender.send(b"\n<13>Nov 25 18:00:00 old style\n" + b"<" + b"x" * 2000 + b"\n9 cut")
    sender.finish()
    until(lambda: reader.pending().packs == 0)
    events = list(reader.events())
    assert Counter(one.body for one in events) == Counter([message(1), two_lines, message(2)])
    assert events[0].tags["app"] == "shop"
    assert events[0].tags["endpoint"] == "/syslog"
    assert reader.enrichment(events[0].id)["name"] == "PAID"
    letters = {one.reason.partition(":")[0]: one.body for one in reader.dead_letters()}
    assert letters == {
        "not_rfc5424": b"<13>Nov 25 18:00:00 old style",
        "too_long": b"<" + b"x" * (LINE_BYTES_MAX - 1),
        "cut_short": b"9 cut",
    }


def test_only_so_many_connections_are_open(node: Any, port: int, until: Any):
    generation = node.start("collector")
    open_ones = [Sender(port).send(message(n)) for n in range(3)]
    until(lambda: "ev_syslog_connections 3" in generation.ask("/metrics")[1])
    one_more = socket.create_connection(("127.0.0.1", port), timeout=30)
    assert one_more.recv(1) == b""
    one_more.close()
    open_ones.pop().finish()
    until(lambda: "ev_syslog_connections 2" in generation.ask("/metrics")[1])
    Sender(port).send(message(9)).finish()
    for one in open_ones:
        one.finish()


def test_reading_pauses_while_the_queue_is_full(
    new_node: Callable[..., Any], port: int, until: Any
):
    node = new_node(endpoints=[ENDPOINT], syslog_port=port, queue_packs_max=1, poll_s=0.01)
    generation = node.start("collector")
    reader = open_reader(node.data)
    texts = [message(f"{n} {'x' * 2000}") for n in range(5000)]
    sent = threading.Event()

    def send() -> None:
        sender = Sender(port)
        sender.socket.settimeout(100)
        sender.send(b"".join(map(counted, texts))).finish()
        sent.set()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    until(lambda: reader.pending().packs == 1)
    until(lambda: "ev_syslog_connections 1" in generation.ask("/metrics")[1])
    with open(f"/proc/{generation.pid}/status") as file:  # noqa: PTH123 -- a /proc file
        rss_kib = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    assert rss_kib < 150 * 1024
    assert not sent.is_set()  # 10 MB are more than the sockets' buffers hold
    node.start("processor")
    thread.join(100)
    assert sent.is_set()
    until(lambda: reader.pending().packs == 0)
    assert Counter(one.body for one in reader.events()) == Counter(texts)
    reader.close()


def test_what_was_sent_before_the_drain_is_stored(node: Any, reader: Reader, port: int, until: Any):
    old = node.start("collector")
    node.start("processor")
    idle, busy = Sender(port), Sender(port)
    until(lambda: "ev_syslog_connections 2" in old.ask("/metrics")[1])
    texts = [message(n) for n in range(2000)]
    busy.send(b"".join(map(counted, texts)) + b"30 <165>1 never")
    new = node.start("collector")
    old.terminate()
    assert old.wait() == 0
    assert "could not be committed" not in old.log.read_text()
    for one in (idle, busy):
        assert one.socket.recv(1) == b""
        one.socket.close()
    Sender(port).send(message("after")).finish()
    until(lambda: reader.pending().packs == 0)
    assert Counter(one.body for one in reader.events()) == Counter([*texts, message("after")])
    assert [one.body for one in reader.dead_letters()] == [b"30 <165>1 never"]
    assert {one.tags["release"] for one in reader.events()} == {"1.0.1", "1.0.3"}
    assert new.poll() is None


def test_there_is_always_somebody_who_listens(new_node: Callable[..., Any], port: int, until: Any):
    node = new_node(endpoints=[ENDPOINT], syslog_port=port, poll_s=0.01)
    serving = node.start("collector")
    node.start("processor")
    reader = open_reader(node.data)
    sent: list[bytes] = []
    wrong: list[str] = []
    stopping = threading.Event()

    def send() -> None:
        while not stopping.is_set():
            text = message(len(sent))
            try:
                Sender(port).send(counted(text)).finish()
            except ConnectionRefusedError as error:
                wrong.append(str(error))
                return
            except OSError:
                continue  # cut by an end: senders connect anew
            sent.append(text)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    for _ in range(3):
        new = node.start("collector")
        progress = len(sent) + 20
        until(lambda: len(sent) > progress or wrong)  # noqa: B023 -- used up before it changes
        serving.terminate()
        assert serving.wait() == 0
        serving = new
    stopping.set()
    thread.join(30)
    assert wrong == []
    until(lambda: reader.pending().packs == 0)
    stored = Counter(one.body for one in reader.events())
    assert set(sent) <= set(stored)
    reader.close()


def test_a_port_that_cannot_be_had_ends_the_process(new_node: Callable[..., Any], port: int):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        generation = new_node(endpoints=[ENDPOINT], syslog_port=port).start(
            "collector", ready=False
        )
        assert generation.wait() == 1
    assert f"syslog on 127.0.0.1 port {port}" in generation.log.read_text()

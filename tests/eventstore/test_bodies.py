"""What a running collector does with bodies: refused with a reason, or readable byte for byte."""

import gzip
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eventstore import packing
from eventstore.backends.embedded.queue import EmbeddedQueue

BODY_BYTES_MAX = 20_000
NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}
deep = b'{"a":' * 64 + b"1" + b"}" * 64
WHITE_SPACE = b" \t\r\n"


@pytest.fixture
def collector(new_node: Callable[..., Any]) -> Iterator[Any]:
    node = new_node(body_bytes_max=BODY_BYTES_MAX, body_s=0.3, request_events_max=100)
    node.start("collector")
    queue = EmbeddedQueue(node.root / "data" / "queue.sqlite", packs_max=10**6, bytes_max=1 << 40)
    node.queue = queue
    yield node
    queue.close()


def take(node: Any) -> list[bytes]:
    """All events that wait in the queue."""
    leases = node.queue.claim(1000, 60)
    node.queue.ack(leases)
    return [event for lease in leases for event in packing.unpack(lease.body).events]


REFUSED: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("empty", b"", {}, 400, "empty"),
    ("white space", b" \n\t ", {}, 400, "empty"),
    ("empty array", b"[]", {}, 400, "empty"),
    ("empty ndjson", b"\n\n", NDJSON, 400, "empty"),
    ("no json", b"hello", {}, 400, "not_json"),
    ("two objects", b"{}{}", {}, 400, "not_json"),
    ("two objects a line", b"{}{}\n", NDJSON, 400, "not_json"),
    ("an object over two lines", b'{"a":\n1}', NDJSON, 400, "not_json"),
    ("a raw newline in a string", b'{"a":"\n"}', {}, 400, "not_json"),
    ("cut short", b'{"a":', {}, 400, "not_json"),
    ("a number", b"7", {}, 400, "not_an_object"),
    ("null", b"null", {}, 400, "not_an_object"),
    ("array of arrays", b"[[]]", {}, 400, "not_an_object"),
    ("one bad line", b'{}\n"x"\n{}', NDJSON, 400, "not_an_object"),
    ("too deep", b'{"a":' + deep + b"}", {}, 400, "too_deep"),
    ("too deep in arrays", b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", {}, 400, "too_deep"),
    ("brackets in strings hide it", b'{"x":"]]]]]]]]","a":' + deep + b"}", {}, 400, "too_deep"),
    ("too deep for any parser", b"[" * 9000 + b"]" * 9000, {}, 400, "not_json"),
    ("too large", b'{"a":"' + b"x" * BODY_BYTES_MAX + b'"}', {}, 413, "too_large"),
    ("too many", b"[" + b",".join([b"{}"] * 101) + b"]", {}, 413, "too_many_events"),
    ("too many lines", b"{}\n" * 101, NDJSON, 413, "too_many_events"),
    ("latin-1", b'{"a":"\xe9"}', {}, 400, "not_json"),
    ("utf-16", '{"a":1}'.encode("utf-16"), {}, 400, "not_json"),
    ("byte order mark", b"\xef\xbb\xbf{}", {}, 400, "not_json"),
    ("encoded surrogate", b'{"a":"\xed\xa0\x80"}', {}, 400, "not_json"),
    ("lone surrogate", b'{"a":"\\ud800"}', {}, 400, "not_json"),
    ("NaN", b'{"a":NaN}', {}, 400, "not_json"),
    ("Infinity", b'{"a":-Infinity}', {}, 400, "not_json"),
    ("1e999", b'{"a":1e999}', {}, 400, "not_json"),
    ("5000 digits", b'{"a":' + b"9" * 5000 + b"}", {}, 400, "not_json"),
    ("no gzip", b"{}", GZIP, 400, "bad_gzip"),
    ("empty gzip", b"", GZIP, 400, "bad_gzip"),
    ("cut gzip", gzip.compress(b'{"a":1}')[:-4], GZIP, 400, "bad_gzip"),
    ("damaged gzip", gzip.compress(b'{"a":1}' * 9)[:-8] + b"\0" * 8, GZIP, 400, "bad_gzip"),
    ("gzip and more", gzip.compress(b"{}") + b"x", GZIP, 400, "bad_gzip"),
    ("gzip bomb", gzip.compress(b" " * 10_000_000), GZIP, 413, "too_large"),
    ("unknown encoding", b"{}", {"Content-Encoding": "br"}, 415, "content_encoding"),
    ("double encoding", b"{}", {"Content-Encoding": "gzip, gzip"}, 415, "content_encoding"),
    ("unknown type", b"{}", {"Content-Type": "text/plain"}, 415, "content_type"),
]


def test_unusable_bodies_are_refused_with_a_reason(collector: Any, post: Any):
    for name, body, headers, status, code in REFUSED:
        answer_status, answer = post(collector.port("collector"), body, headers)
        assert (answer_status, answer["error"]["code"]) == (status, code), name
        assert answer["error"]["reason"], name
        assert answer["error"]["next"], name
    assert take(collector) == []
    assert 'ev_requests_total{code="5' not in collector.generations[0].ask("/metrics")[1]


TAKEN: list[tuple[bytes, dict[str, str], list[bytes]]] = [
    (b'  {"a" :1, "a":2}\n', {}, [b'{"a" :1, "a":2}']),
    (b'{\n  "pretty": 1\n}', {}, [b'{\n  "pretty": 1\n}']),
    (b'[ {"a":1} , {\n"b":2}]', {}, [b'{"a":1}', b'{\n"b":2}']),
    (b'{"a":1}\r\n\r\n {"b":2} ', NDJSON, [b'{"a":1}', b'{"b":2}']),
    (deep, {}, [deep]),
    (b"[" + deep + b"]", {}, [deep]),
    (b'{"a":"[[[[' + b"{[" * 100 + b'"}', {}, [b'{"a":"[[[[' + b"{[" * 100 + b'"}']),
    (
        b'{"a":12345678901234567890123,"b":"\\u0000"}',
        {},
        [b'{"a":12345678901234567890123,"b":"\\u0000"}'],
    ),
    (gzip.compress(b'{"z":1}'), GZIP, [b'{"z":1}']),
    (
        '{"ü":"😀"}'.encode(),
        {"Content-Type": "application/json; charset=utf-8"},
        ['{"ü":"😀"}'.encode()],
    ),
]


def test_what_is_taken_is_kept_byte_for_byte(collector: Any, post: Any):
    for body, headers, events in TAKEN:
        status, receipt = post(collector.port("collector"), body, headers)
        assert (status, receipt["accepted"], receipt["first"]) == (200, len(events), 0), body
        (lease,) = collector.queue.claim(10, 60)
        assert str(lease.pack_id) == receipt["pack"]
        pack = packing.unpack(lease.body)
        assert pack.events == events
        assert (pack.tags["endpoint"], pack.tags["release"]) == ("/v1/events", "1.0.1")
        collector.queue.ack([lease])


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=4)
texts = st.builds(
    lambda value, indent, ascii_only: json.dumps(
        value, indent=indent, ensure_ascii=ascii_only
    ).encode("utf-8", "surrogatepass"),
    objects | st.lists(objects, max_size=4) | values,
    st.sampled_from([None, 1]),
    st.booleans(),
)
bodies = (
    texts
    | st.binary(max_size=60)
    | st.lists(texts, max_size=4).map(b"\n".join)
    | st.tuples(texts, st.integers(0, 99), st.binary(max_size=2)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
    )
    | texts.map(gzip.compress)
)
content_headers = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(["application/json", "application/x-ndjson"])},
    optional={"Content-Encoding": st.sampled_from(["gzip", "identity", "deflate", ""])},
)


def test_no_body_is_ever_our_fault_or_lost(collector: Any):
    connection = http.client.HTTPConnection("127.0.0.1", collector.port("collector"), timeout=30)

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @example(b'[{"a":1}]', {"Content-Type": "application/json"})
    @given(bodies, content_headers)
    def check(body: bytes, headers: dict[str, str]) -> None:
        connection.request("POST", "/v1/events", body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        events = take(collector)
        if response.status != 200:
            assert response.status in (400, 413, 415)
            assert events == []
            return
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert answer["accepted"] == len(events) > 0
        start = 0
        for event in events:  # in order, whole, with nothing but separators between them
            assert isinstance(json.loads(event), dict)
            at = body.index(event, start)
            assert body[start:at].strip(WHITE_SPACE + b"[,") == b""
            start = at + len(event)
        assert body[start:].strip(WHITE_SPACE + b"]") == b""

    check()
    connection.close()


def _answer(sock: socket.socket) -> tuple[int, dict[str, Any]]:
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response.status, json.loads(response.read())


def _raw(node: Any, data: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", node.port("collector")), timeout=30)
    sock.sendall(data)
    return sock


HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_slow_huge_and_broken_bodies_are_answered_in_bounded_time(collector: Any):
    slow = _raw(collector, HEAD + b"Content-Length: 9\r\n\r\n{")
    assert _answer(slow)[0] == 408
    announced = _raw(collector, HEAD + b"Content-Length: 99999999\r\n\r\n")
    assert _answer(announced)[1]["error"]["code"] == "too_large"
    chunked = _raw(
        collector,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"2000\r\n" + b"x" * 8192 + b"\r\n") * 3,
    )
    assert _answer(chunked)[1]["error"]["code"] == "too_large"
    expecting = _raw(collector, HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert expecting.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    expecting.sendall(b"{}")
    assert _answer(expecting)[0] == 200
    broken = _raw(collector, HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert broken.recv(100).split()[1] == b"400"
    gone = _raw(collector, HEAD + b"Content-Length: 9\r\n\r\n{")
    gone.close()
    for sock in (slow, announced, chunked, expecting, broken):
        sock.close()


def test_other_paths_and_methods(collector: Any):
    connection = http.client.HTTPConnection("127.0.0.1", collector.port("collector"), timeout=30)
    for method, path, status in [
        ("POST", "/elsewhere", 404),
        ("GET", "/v1/events", 405),
        ("PUT", "/v1/events", 405),
        ("GET", "/" + "x" * 9000, 400),
    ]:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        assert response.status == status, (method, path)
    connection.close()


def test_overload_is_said_with_retry_after_and_passes(new_node: Callable[..., Any], post: Any):
    node = new_node(queue_packs_max=1)
    generation = node.start("collector")
    assert post(node.port("collector"), b"{}")[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", node.port("collector"), timeout=30)
    connection.request("POST", "/v1/events", b"{}", {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert (response.status, response.getheader("Retry-After")) == (429, "1")
    assert json.loads(response.read())["error"]["code"] == "overloaded"
    connection.close()
    assert generation.ask("/readyz")[0] == 200
    queue = EmbeddedQueue(node.root / "data" / "queue.sqlite", packs_max=9, bytes_max=999)
    queue.ack(queue.claim(9, 60))
    assert post(node.port("collector"), b"{}")[0] == 200
    queue.close()


def test_a_queue_that_is_locked_for_too_long_is_503_and_passes(
    new_node: Callable[..., Any], post: Any
):
    node = new_node(commit_s=0.1)
    node.start("collector")
    queue = EmbeddedQueue(node.root / "data" / "queue.sqlite", packs_max=9, bytes_max=999)
    with queue._database.transaction():
        status, answer = post(node.port("collector"), b"{}")
        assert (status, answer["error"]["code"]) == (503, "queue_unavailable")
        assert node.generations[0].ask("/readyz")[0] == 503
    assert post(node.port("collector"), b"{}")[0] == 200
    assert node.generations[0].ask("/readyz")[0] == 200
    assert queue.depth().packs == 1
    queue.close()

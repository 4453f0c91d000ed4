"""Every format through a running collector and processor: what was sent is found byte for byte,
once, also when the client sends it again, and means what the sender meant."""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.event import EventId
from eventstore.formats import csv_rows, form
from eventstore.formats.format import Limits, Run, Sent
from eventstore.query.read import Reader, open_reader
from tests.eventstore.exchange import Answer, send

NewNode = Callable[..., Any]
FORM = "application/x-www-form-urlencoded"
ENDPOINTS = [
    {"path": "/any"},
    {"path": "/p.gif", "format": "pixel"},
    {"path": "/renamed", "fields": {"client_id": "key", "name": "what"}},
    {"path": "/github", "format": "github"},
    {"path": "/stripe", "format": "stripe"},
]


@dataclass
class Pipeline:
    """Collector and processor, and a reader of what they keep. before: whose events were there
    before the test."""

    node: Any
    reader: Reader
    until: Callable[..., None]
    before: set[EventId] = field(default_factory=set)

    def send(self, *arguments: Any, **options: Any) -> Answer:
        return send(self.node.port("collector"), *arguments, **options)

    def stored(self, events: int) -> list[Any]:
        """All visible events of the test, once nothing waits any more; they must be so many."""
        self.until(lambda: self.reader.pending().packs == 0)
        found = [event for event in self.reader.events() if event.id not in self.before]
        assert len(found) == events
        return found


@pytest.fixture(scope="module")
def node(new_shared_node: NewNode) -> Any:
    node = new_shared_node(endpoints=ENDPOINTS)
    node.start("collector")
    node.start("processor")
    return node


@pytest.fixture
def pipeline(node: Any, until: Any) -> Iterator[Pipeline]:
    reader = open_reader(node.data)
    until(lambda: reader.pending().packs == 0)
    yield Pipeline(node, reader, until, {event.id for event in reader.events()})
    assert list(reader.dead_letters()) == []
    reader.close()


@dataclass(frozen=True)
class Case:
    """A request, the events in it, what they say, and what was read of the first of them."""

    name: str
    body: bytes
    headers: dict[str, str]
    events: list[bytes]
    values: list[dict[str, Any]]
    path: str = "/any"
    read: dict[str, Any] = field(default_factory=dict)


AT_S = 1795530600  # 2026-11-24T14:30:00Z; believable or not, it is the minute of a client's key
MAPS: list[dict[str, Any]] = [{"id": "m1", "n": [1, None]}, {"id": "m2", "blob": b"\n\xff"}]
PACKED = [msgpack.packb(one) for one in MAPS]
MAP_VALUES = [MAPS[0], {"id": "m2", "blob": "Cv8="}]

CASES = [
    Case(
        "form",
        b"id=f1&type=signup&plan=a+b%20%C3%BC&tag=x&tag=y&done=100%&empty",
        {"Content-Type": FORM + "; charset=UTF-8"},
        [b"id=f1&type=signup&plan=a+b%20%C3%BC&tag=x&tag=y&done=100%&empty"],
        [
            {
                "id": "f1",
                "type": "signup",
                "plan": "a b ü",
                "tag": ["x", "y"],
                "done": "100%",
                "empty": "",
            }
        ],
        read={"name": "signup"},
    ),
    Case(
        "csv",
        b'\xef\xbb\xbfid,type,"what, ever"\r\nc1,view,plain\r\n\r\nc2,view,"two\nlines, ""q"""\r\n',
        {"Content-Type": "text/csv"},
        [b"c1,view,plain", b'c2,view,"two\nlines, ""q"""'],
        [
            {"id": "c1", "type": "view", "what, ever": "plain"},
            {"id": "c2", "type": "view", "what, ever": 'two\nlines, "q"'},
        ],
        read={"name": "view"},
    ),
    Case(
        "csv with its own names and no newline at its end",
        b"what,key\nopened,c3\nclosed,",
        {"Content-Type": "text/csv"},
        [b"opened,c3", b"closed,"],
        [{"what": "opened", "key": "c3"}, {"what": "closed", "key": ""}],
        "/renamed",
        read={"name": "opened"},
    ),
    Case(
        "one map",
        PACKED[0],
        {"Content-Type": "application/msgpack"},
        [PACKED[0]],
        [MAP_VALUES[0]],
    ),
    Case(
        "an array of maps",
        msgpack.packb([{"id": "m3", "type": "a"}, {"id": "m4"}]),
        {"Content-Type": "application/vnd.msgpack"},
        [msgpack.packb({"id": "m3", "type": "a"}), msgpack.packb({"id": "m4"})],
        [{"id": "m3", "type": "a"}, {"id": "m4"}],
        read={"name": "a"},
    ),
    Case(
        "a stream of maps",
        b"".join([*PACKED[1:], msgpack.packb({"at": msgpack.Timestamp(AT_S), "id": "m5"})]),
        {"Content-Type": "application/x-msgpack"},
        [PACKED[1], msgpack.packb({"at": msgpack.Timestamp(AT_S), "id": "m5"})],
        [MAP_VALUES[1], {"at": "2026-11-24T14:30:00Z", "id": "m5"}],
    ),
    Case(
        "github as json",
        b'{\n "sender": {"login": "mona"}\n}',
        {
            "Content-Type": "application/json",
            "X-GitHub-Delivery": "72d3162e",
            "X-GitHub-Event": "push",
        },
        [b'{\n "sender": {"login": "mona"}\n}'],
        [{"id": "72d3162e", "type": "push", "payload": {"sender": {"login": "mona"}}}],
        "/github",
        read={"name": "push"},
    ),
    Case(
        "github as a form",
        b"payload=%7B%22zen%22%3A%22a+b%22%7D",
        {"Content-Type": FORM, "X-GitHub-Delivery": "72d3162f", "X-GitHub-Event": "ping"},
        [b"payload=%7B%22zen%22%3A%22a+b%22%7D"],
        [{"id": "72d3162f", "type": "ping", "payload": {"zen": "a b"}}],
        "/github",
        read={"name": "ping"},
    ),
    Case(
        "stripe",
        b'{\n  "id": "evt_1",\n  "type": "charge.succeeded"\n}',
        {"Content-Type": "application/json; charset=utf-8"},
        [b'{\n  "id": "evt_1",\n  "type": "charge.succeeded"\n}'],
        [{"id": "evt_1", "type": "charge.succeeded"}],
        "/stripe",
        read={"name": "charge.succeeded"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_sent_is_found_byte_for_byte_and_once(pipeline: Pipeline, case: Case):
    for _ in range(2):  # the client has heard nothing, and tries again
        answer = pipeline.send(case.path, case.body, case.headers)
        assert (answer.status, answer.json["accepted"]) == (200, len(case.events)), answer.body
    keyless = sum(1 for one in case.values if not ({"id", "key"} & {k for k in one if one[k]}))
    events = pipeline.stored(len(case.events) + keyless)[: len(case.events)]
    assert [event.body for event in events] == case.events
    assert [event.value for event in events] == case.values
    found = pipeline.reader.enrichment(events[0].id)
    assert {name: found[name] for name in case.read} == case.read


def test_times_that_can_only_be_texts_are_times(pipeline: Pipeline):
    """Seconds, milliseconds, ISO 8601; all within what is believed of the past."""
    now_ms = pipeline.send("/any", "x=1", {"Content-Type": FORM}) and _received_ms(pipeline)
    second = now_ms // 1000 - 60
    rows = f"at\n{second}\n{second}.5\n{second}250\n"
    pipeline.send("/any", rows, {"Content-Type": "text/csv"})
    pipeline.send("/any", f"at={second}", {"Content-Type": FORM})
    times = [pipeline.reader.enrichment(event.id)["time_ms"] for event in pipeline.stored(5)[1:]]
    assert times == [second * 1000, second * 1000 + 500, second * 1000 + 250, second * 1000]


def _received_ms(pipeline: Pipeline) -> int:
    (event,) = pipeline.stored(1)
    return int(event.received_at_ms)


def test_a_pixel_is_an_image_and_its_query_an_event(pipeline: Pipeline):
    for _ in range(2):
        answer = pipeline.send("/p.gif?id=p1&type=open&q=%C3%BC+%2B", method="GET")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.body[:6] == b"GIF89a"
        assert len(answer.body) == 42
    (event,) = pipeline.stored(1)
    assert event.body == b"id=p1&type=open&q=%C3%BC+%2B"
    assert event.value == {"id": "p1", "type": "open", "q": "ü +"}
    assert pipeline.reader.enrichment(event.id)["name"] == "open"


def test_head_of_a_pixel_says_what_get_would_and_keeps_nothing(pipeline: Pipeline):
    connection = http.client.HTTPConnection(
        "127.0.0.1", pipeline.node.port("collector"), timeout=30
    )
    for _ in range(3):  # on one connection: a body would be taken for the next answer
        connection.request("HEAD", "/p.gif?id=h1", headers={"Content-Length": "0"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
        assert response.headers["Content-Type"] == "image/gif"
        assert response.headers["Content-Length"] == "42"
        assert "X-Event-Id" not in response.headers
        assert "X-Event-Receipt" not in response.headers
    connection.request("HEAD", "/p.gif?a=%FF")
    response = connection.getresponse()
    assert (response.status, response.read()) == (400, b"")
    connection.request("GET", "/p.gif?id=g1")
    assert connection.getresponse().read()[:6] == b"GIF89a"
    connection.close()
    (event,) = pipeline.stored(1)
    assert event.value == {"id": "g1"}


def test_a_refused_pixel_is_an_image_too_and_says_why_in_a_header(pipeline: Pipeline):
    for query in ("", "?", "?a=%FF"):
        answer = pipeline.send("/p.gif" + query, method="GET")
        assert (answer.status, answer.headers["content-type"]) == (400, "image/gif")
        assert answer.headers["cache-control"] == "no-store"
        refused = Answer(answer.status, {}, answer.headers["x-refused"].encode())
        assert refused.code in ("empty", "not_form")
    posted = pipeline.send("/p.gif", b"a=1", {"Content-Type": FORM})
    assert (posted.status, posted.headers["content-type"]) == (405, "image/gif")


def test_each_receipt_names_an_event_that_can_be_read(pipeline: Pipeline):
    receipt = pipeline.send("/any", "a,b\n1,2\n3,4\n", {"Content-Type": "text/csv"}).json
    pixel = pipeline.send("/p.gif?x=1", method="GET").headers["x-event-id"]
    pipeline.stored(3)
    second = pipeline.reader.event(EventId.parse(f"{receipt['pack']}:{receipt['first'] + 1}"))
    image = pipeline.reader.event(EventId.parse(pixel))
    assert second is not None
    assert image is not None
    assert (second.body, image.body) == (b"3,4", b"x=1")


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6)
)


@given(tables, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_of_any_writer_is_divided_and_read_as_it_was_meant(
    table: list[list[str]], newline: str, quote_all: bool
):
    def row(values: list[str]) -> bytes:
        plain = not quote_all and not any(set(text) & set(',"\r\n') for text in values)
        if plain and any(values):
            return ",".join(values).encode()
        return ",".join('"' + text.replace('"', '""') + '"' for text in values).encode()

    header = [f"c{n}" for n in range(len(table[0]))]
    rows = [row(values) for values in table]
    body = newline.encode().join([row(header), *rows])
    sent = Sent("POST", "", "", {}, body, 0)
    events = csv_rows.read(sent, Limits(depth_max=64, events_max=100, bytes_max=1 << 20))
    ((count, context),) = events.contexts
    run = Run(events.block, events.count, events.lengths, context, {"user": "c0"})
    assert (run.events(), count) == (rows, len(rows))
    found = [csv_rows.value(event, context) for event in rows]
    assert found == [dict(zip(header, values, strict=True)) for values in table]
    assert [one.user for one in csv_rows.fields(run)] == [values[0] for values in table]  # type: ignore[union-attr]


form_texts = st.text("aü+ %&=;\0\n") | st.text(max_size=8)


@given(st.lists(st.tuples(form_texts, form_texts), min_size=1, max_size=6))
def test_forms_of_any_writer_are_read_as_they_were_meant(pairs: list[tuple[str, str]]):
    value = form.value(urlencode(pairs).encode(), b"")
    assert {name: texts if type(texts) is list else [texts] for name, texts in value.items()} == {
        name: [text for other, text in pairs if other == name] for name, _ in pairs
    }


@given(st.binary(max_size=20) | st.text("%4aZ&=+;", max_size=12).map(str.encode))
def test_forms_that_nobody_encoded_are_read_as_urllib_reads_them(body: bytes):
    try:
        expected = parse_qs(body.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        with pytest.raises(ValueError, match="decode"):
            form.value(body, b"")
        return
    value = form.value(body, b"")
    assert {name: texts if type(texts) is list else [texts] for name, texts in value.items()} == (
        expected
    )

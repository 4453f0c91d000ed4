"""CloudEvents with the project's own library as the client, in all three modes."""

import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent

from eventstore.formats import READERS
from eventstore.formats.format import Fields, Run
from eventstore.query.read import Reader, open_reader
from tests.eventstore.exchange import Answer, send

NewNode = Callable[..., Any]
AT = datetime(2026, 11, 24, 14, 30, 0, 123000, tzinfo=UTC)
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
REQUIRED = {"ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0"}


@pytest.fixture
def node(new_node: NewNode) -> Any:
    node = new_node(
        endpoints=[{"path": "/ce", "format": "cloudevents"}, {"path": "/any"}],
        late_max_s=366 * 86400,
    )
    node.start("collector")
    return node


@pytest.fixture
def reader(node: Any) -> Iterator[Reader]:
    node.start("processor")
    reader = open_reader(node.data)
    yield reader
    assert list(reader.dead_letters()) == []
    reader.close()


def event(number: str, data: Any, content_type: str = "", **more: Any) -> CloudEvent:
    if content_type:
        more["datacontenttype"] = content_type
    known = {"id": number, "source": "/shop", "type": "order.placed", "time": AT}
    return CloudEvent({**known, **more}, data)


def deliver(node: Any, path: str, message: HTTPMessage) -> Answer:
    return send(node.port("collector"), path, message.body, message.headers)


DATA: list[tuple[str, Any, str]] = [
    ("json", {"user": "ada", "total": [1, 2.5, None]}, "application/json"),
    ("json of a vendor", {"user": "bob"}, "application/vnd.shop+json; charset=utf-8"),
    ("json that is no object", [1, 2], "application/json"),
    ("text", "Grüße\nand lines", "text/plain"),
    ("binary", b"\x00\xff\n\x80", "application/octet-stream"),
    ("none", None, ""),
    ("json unsaid", {"user": "eve"}, ""),
    ("xml", "<a>1</a>", "application/xml"),
]


@pytest.mark.parametrize("path", ["/ce", "/any"])
def test_binary_events_keep_attributes_and_data(node: Any, reader: Reader, until: Any, path: str):
    sent = [
        event(name, data, kind, subject='50 % "ü"', traceparent="00-1") for name, data, kind in DATA
    ]
    messages = [to_binary_event(one) for one in sent]
    for message in [*messages, *messages]:  # every one is sent again
        assert deliver(node, path, message).status == 200
    until(lambda: reader.pending().packs == 0)
    stored = list(reader.events())
    assert [one.body for one in stored] == [message.body or b"" for message in messages]
    for kept, message, meant in zip(stored, messages, sent, strict=True):
        value = kept.value
        for name in ("id", "source", "type", "specversion", "subject", "traceparent"):
            assert value[name] == meant.get_attributes()[name], name
        assert value.get("datacontenttype") == meant.get_attributes().get("datacontenttype")
        headers = json.loads(kept.context)  # as they came, to be read by anyone
        assert headers == {name.lower(): text for name, text in message.headers.items()}
        again = from_http_event(HTTPMessage(headers, kept.body))
        assert again.get_attributes()["id"] == meant.get_id()
        assert again.get_data() in (meant.get_data(), kept.body)
        data = value.get("data")
        if "data_base64" in value:
            data = base64.b64decode(value["data_base64"])
        assert data == meant.get_data()
        found = reader.enrichment(kept.id)
        assert (found["name"], found["time_ms"]) == ("order.placed", AT.timestamp() * 1000)


def test_structured_events_and_batches_are_kept_byte_for_byte(
    node: Any, reader: Reader, until: Any
):
    messages = [to_structured_event(event(name, data, kind)) for name, data, kind in DATA]
    bodies = [message.body for message in messages]
    for message in [*messages, *messages]:
        assert deliver(node, "/ce", message).status == 200
    batch = [to_structured_event(event(f"b{n}", {"user": "ada"})).body for n in range(3)]
    body = b"[ " + b" , \n".join([*batch, bodies[0]]) + b"]"  # the last one is known by now
    for _ in range(2):
        assert send(node.port("collector"), "/ce", body, BATCH).json["accepted"] == 4
    until(lambda: reader.pending().packs == 0)
    stored = list(reader.events())
    assert [one.body for one in stored] == [*bodies, *batch]
    assert [one.value for one in stored] == [json.loads(one.body) for one in stored]
    assert {reader.enrichment(one.id)["name"] for one in stored} == {"order.placed"}


def test_the_same_id_of_another_source_is_another_event(node: Any, reader: Reader, until: Any):
    for source in ("/a", "/b", "/a"):
        for to_message in (to_binary_event, to_structured_event):
            assert deliver(node, "/ce", to_message(event("1", {}, source=source))).status == 200
    until(lambda: reader.pending().packs == 0)
    assert sorted(one.value["source"] for one in reader.events()) == ["/a", "/b"]


def test_an_empty_batch_is_valid(node: Any):
    for body in (b"[]", b" [\n] "):
        answer = send(node.port("collector"), "/ce", body, BATCH)
        assert (answer.status, answer.json["accepted"]) == (200, 0)


def test_fields_of_data_have_the_endpoints_names():
    structured = b'{"id":"1","source":"s","type":"t","user":"no","data":{"who":"ada","url":"u"}}'
    binary = b'{"who":"ada","url":"u"}'
    context = json.dumps({**REQUIRED, "ce-source": '"s"', "content-type": "text/json"}).encode()
    read = READERS["cloudevents"].fields
    expected = [Fields("s 1", "t", None, url="u", user="ada")]
    assert read(Run(structured, 1, None, b"", {"user": "who", "name": "x"})) == expected
    assert read(Run(binary, 1, None, context, {"user": "who", "name": "x"})) == expected
    for data in (b'"text"', b"[" * 5000, b"7", b"{"):  # whatever it is, it harms nobody
        undeclared = context.replace(b"content-type", b"ce-x")
        assert read(Run(data, 1, None, undeclared, {})) == [Fields("s 1", "t")]
        assert READERS["cloudevents"].value(data, undeclared)["id"] == "1"


REFUSED: list[tuple[str, bytes, dict[str, str], int, str]] = [
    *(
        (f"no {name}", b"{}", {k: v for k, v in REQUIRED.items() if k != name}, 400, "")
        for name in REQUIRED
    ),
    ("an empty id", b"{}", {**REQUIRED, "ce-id": ""}, 400, ""),
    ("another version", b"{}", {**REQUIRED, "ce-specversion": "0.3"}, 400, ""),
    ("an id that is not UTF-8", b"", {**REQUIRED, "ce-id": "%ff"}, 400, ""),
    ("an id of latin-1", b"", {**REQUIRED, "ce-id": "\xff"}, 400, ""),
    ("bad data", b"{", {**REQUIRED, "Content-Type": "application/json"}, 400, "not_json"),
    (
        "deep data",
        b"[" * 99 + b"]" * 99,
        {**REQUIRED, "Content-Type": "a/b+json"},
        400,
        "too_deep",
    ),
    ("no attributes", b"{}", STRUCTURED, 400, ""),
    (
        "a number as id",
        b'{"id":1,"source":"s","type":"t","specversion":"1.0"}',
        STRUCTURED,
        400,
        "",
    ),
    ("no json", b"{", STRUCTURED, 400, "not_json"),
    ("nothing", b"", STRUCTURED, 400, "empty"),
    ("a batch as an event", b"[]", STRUCTURED, 400, "not_an_object"),
    ("an event as a batch", b"{}", BATCH, 400, "not_an_array"),
    ("half a batch", b"[", BATCH, 400, "not_json"),
    ("a batch with another", b"[{}]", BATCH, 400, ""),
    ("a batch of numbers", b"[1]", BATCH, 400, "not_an_object"),
    ("avro", b"", {"Content-Type": "application/cloudevents+avro"}, 415, "content_type"),
    ("xml batch", b"", {"Content-Type": "application/cloudevents-batch+xml"}, 415, "content_type"),
]


def test_what_is_no_cloudevent_is_refused(node: Any):
    for name, body, headers, status, code in REFUSED:
        answer = send(node.port("collector"), "/ce", body, headers)
        assert (answer.status, answer.code) == (status, code or "not_a_cloudevent"), name
    head = b"POST /ce HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nce-id: 1\r\nce-id: 2\r\n"
    with socket.create_connection(("127.0.0.1", node.port("collector")), timeout=30) as sock:
        sock.sendall(head + b"ce-source: s\r\nce-type: t\r\nce-specversion: 1.0\r\n\r\n")
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert "twice" in json.loads(response.read())["error"]["reason"]

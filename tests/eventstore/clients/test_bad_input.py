"""What no protocol can take: a 4xx in its own shape, never a fault of ours, never a lost event."""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from eventstore.formats import FORMATS, Limits, Sent
from tests.eventstore.memory import peak_kib

PAYLOAD_DATA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}
CLOUD_EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "t"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# A good request of each, whose every part is then broken.
GOOD: dict[str, dict[str, Any]] = {
    "/segment/v1/batch": {"batch": [{"type": "page", "context": {"page": {}}}], "sentAt": "x"},
    "/segment/v1/track": {"event": "e", "sentAt": "x", "context": {}},
    "/snowplow/com.snowplowanalytics.snowplow/tp2": {
        "schema": PAYLOAD_DATA,
        "data": [{"e": "pv", "eid": "1", "stm": "1"}],
    },
    "/posthog/batch/": {"batch": [{"event": "e", "properties": {}}], "sent_at": 1, "api_key": "k"},
    "/mixpanel/track": {"event": "e", "properties": {"time": 1}},
    "/mixpanel/import": {"event": "e", "properties": {"time": 1}},
    "/amplitude/2/httpapi": {"events": [{"event_type": "e", "session_id": 1}], "options": {}},
    "/ga4/mp/collect": {
        "client_id": "c",
        "user_properties": {},
        "timestamp_micros": 1,
        "events": [{"name": "e", "params": {}}],
    },
    "/ga4/debug/mp/collect": {"client_id": "c", "events": [{"name": "e", "params": {}}]},
    "/otlp_logs/v1/logs": {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "k", "value": {"stringValue": "s"}}]},
                "schemaUrl": "",
                "scopeLogs": [
                    {
                        "scope": {},
                        "logRecords": [
                            {
                                "timeUnixNano": "1",
                                "severityText": "",
                                "body": {"arrayValue": {"values": [{"intValue": "1"}]}},
                            }
                        ],
                    }
                ],
            }
        ]
    },
}
WRONG: list[Any] = [
    None,
    True,
    7,
    -1e300,
    10**30,
    "x",
    "",
    [],
    {},
    [[]],
    [None],
    {"": {}},
    "9" * 30,
]


def broken(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced by something else, or missing."""
    yield from WRONG
    if not isinstance(value, dict | list):
        return
    for key, part in list(value.items() if isinstance(value, dict) else enumerate(value)):
        for other in broken(part):
            changed = value.copy()
            changed[key] = other
            yield changed
        if isinstance(value, dict):
            yield {name: value[name] for name in value if name != key}


def assert_refused_in_its_own_words(target: str, status: int, answer: bytes) -> None:
    """status: 4xx, or what the protocol has instead."""
    protocol = target.split("/")[1]
    if target == "/ga4/mp/collect":
        assert (status, answer) == (204, b"")
        return
    said = json.loads(answer)
    if protocol == "ga4":
        assert (status, said["validationMessages"] != []) == (200, True)
        return
    assert 400 <= status < 500, (target, status, answer)
    if protocol == "segment":
        assert said["code"]
        assert said["message"]
    elif protocol == "snowplow":
        assert status in (400, 401, 403, 410, 422)
        assert said["error"]["reason"]
    elif protocol == "posthog":
        assert said["type"]
        assert said["detail"]
    elif target == "/mixpanel/import":
        assert said["code"] == status
        assert said["status"]
        assert said["error"]
    elif protocol == "mixpanel":
        assert said["status"] == 0
        assert said["error"]
    elif protocol == "amplitude":
        assert said["code"] == status
        assert said["error"]
    else:
        assert said["code"]
        assert said["message"]


@pytest.fixture
def store(shared_store: Any) -> Any:
    return shared_store


def test_wrong_types_anywhere_are_refused_or_kept(store: Any):
    taken = 0
    for target, good in GOOD.items():
        for body in broken(good):
            status, _, answer = store.request(target, body)
            if status == 200 and not target.startswith("/ga4/debug"):
                taken += 1
            elif status != 204 and not (status == 200 and b"[]" in answer):
                assert_refused_in_its_own_words(target, status, answer)
    assert taken > 100
    assert_no_fault(store)


UNUSABLE: list[bytes] = [
    b"",
    b" \n",
    b"x",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b"\xff\xfe",
    b'{"batch":[{}],"data":[{}],"events":[{}]',
    b"[" * 5000 + b"]" * 5000,
    b'{"a":' * 990 + b"1" + b"}" * 990,
    b'{"batch":' + b"[" * 700 + b"]" * 700 + b"}",
    b'{"batch":[{"a":NaN}],"data":[{"a":NaN}],"events":[{"a":NaN}]}',
    b'{"batch":[{"a":"\\ud800"}],"data":[{"a":"\\ud800"}],"events":[{"a":"\\ud800"}]}',
    b'{"batch":[' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"]}",
    b'{"batch":[{}],"events":[{}],"client_id":"c","x":' + b"[" * 99 + b"]" * 99 + b"}",
    b'{"batch":[{}],"events":[{}],"client_id":"c","x":' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"batch":{},"data":{},"events":{}}',
    b'{"batch":[],"data":[],"events":[],"client_id":"c"}',
    b'{"batch":[1],"data":[2],"events":["x"],"client_id":"c"}',
]
NOT_FOR = {  # where it is taken all the same: one event, or no records
    b"{}": ("/segment/v1/track", "/mixpanel/track", "/mixpanel/import", "/otlp_logs/v1/logs"),
}
ONE_EVENT = ("/segment/v1/track", "/mixpanel/track", "/mixpanel/import")


def test_what_is_no_request_is_refused(store: Any):
    for target in GOOD:
        for body in UNUSABLE:
            if target in NOT_FOR.get(body, ()) or (
                (body.startswith(b'{"batch":{}') or body.startswith(b'{"batch":['))
                and target in (*ONE_EVENT, "/otlp_logs/v1/logs")
            ):
                continue
            status, _, answer = store.request(target, body)
            assert_refused_in_its_own_words(target, status, answer)
        events = b",".join([b"{}"] * 10_001)
        status = store.request(
            target,
            b'{"client_id":"c","schema":"%s","batch":[%s],"data":[%s],"events":[%s]}'
            % (PAYLOAD_DATA.encode(), events, events, events),
        )[0]
        assert status in (200, 204, 413, 422), target
    assert store.request("/segment/v1/batch", {}, {"Content-Encoding": "br"})[0] == 415
    assert store.request("/segment/v1/batch", b"", method="GET")[0] == 405
    assert json.loads(store.request("/segment/v1/batch", b"", method="GET")[2])["code"] == "method"
    assert_no_fault(store)


def test_what_wraps_a_body_is_refused_when_it_is_broken(store: Any):
    bomb = gzip.compress(b"[" + b" " * 5_000_000 + b"]")
    for target, body, headers, status in (
        ("/posthog/e/", bomb, {}, 413),
        ("/posthog/e/", gzip.compress(b"[{}]")[:-4], {}, 400),
        ("/posthog/e/", b"\x1f\x8bxxxxxxxxxxxx", {}, 400),
        ("/posthog/e/", gzip.compress(b"[{}]") + gzip.compress(b"[{}]"), {}, 400),
        ("/posthog/e/", b"data=%%%", FORM, 400),
        ("/posthog/e/", b"data=" + b"&x=1" * 99, FORM, 400),
        ("/posthog/e/", b"data=\xff", FORM, 400),
        ("/mixpanel/track", b"data=", FORM, 400),
        ("/mixpanel/track", b"data=e30", FORM, 400),
        ("/mixpanel/track", b"\xff\xfe&" * 99, FORM, 400),
        ("/mixpanel/import", b"{}\n{", NDJSON, 400),
        ("/mixpanel/import", b"\n\n", NDJSON, 400),
        ("/mixpanel/import", b"{}\n" * 10_001, NDJSON, 413),
        ("/syslog", b"", {}, 400),
        ("/syslog", b"\r\n\0", {}, 400),
    ):
        assert store.request(target, body, headers)[0] == status, (target, body[:20])
    many = "&".join(f"a{n}=1" for n in range(300))
    assert store.request(f"/snowplow/i?e=pv&{many}", method="GET")[0] == 400
    assert store.request("/snowplow/i?e=pv&eid=%FF%00%ed%a0%80", method="GET")[0] == 200
    for headers in (
        {"Authorization": "Basic ä"},
        {"Authorization": "Basic"},
        {"Cookie": 'sp="; =;'},
    ):
        assert store.request("/segment/v1/batch", b"{}", headers)[0] == 400
    assert_no_fault(store)


def test_a_key_is_looked_for_in_any_body(new_store: Callable[..., Any]):
    store = new_store(processor=False, endpoint={"keys": ["right"]})
    for target in GOOD:
        for body in UNUSABLE:
            status, _, answer = store.request(target, body)
            if target != "/ga4/debug/mp/collect":
                assert_refused_in_its_own_words(target, status, answer)
                assert status in (204, 401), (target, body)
    assert_no_fault(store)


def request_bytes() -> bytes:
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    logs.resource.attributes.add(key="k").value.string_value = "v"
    logs.scope_logs.add(log_records=[LogRecord(time_unix_nano=n + 1) for n in range(3)])
    return request.SerializeToString()


def too_deep() -> bytes:
    """A log record with arrays in arrays in its body, deeper than any reader goes."""
    value = b""
    for _ in range(200):
        value = b"\x0a" + varint(len(value)) + value  # ArrayValue.values
        value = b"\x2a" + varint(len(value)) + value  # AnyValue.array_value
    for tag in (b"\x2a", b"\x12", b"\x12", b"\x0a"):  # body, log_records, scope_logs, resource_logs
        value = tag + varint(len(value)) + value
    return value


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


PROTOBUF_BODIES = [
    b"\xff" * 11,
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0b\x08\x01\x0c",  # a group in place of the resource's logs
    b"\x0a\x04\x13\x08\x01\x14",  # and in place of a scope's
    b"\x00\x01",
    b"\x0f",
    b"\x0a\x05\x0a\x03\x0a\x01\xff",
    b'{"resourceLogs":[]}',
]


def test_protobuf_that_is_cut_or_damaged_is_refused(store: Any):
    whole = request_bytes()
    bodies = [*PROTOBUF_BODIES, *(whole[:size] for size in range(1, len(whole)))]
    for body in bodies:
        status, headers, answer = store.request("/otlp_logs/v1/logs", body, PROTOBUF)
        assert status == 400, body
        assert headers["content-type"] == "application/x-protobuf"
        said = Status.FromString(answer)
        assert (said.code, "not_otlp" in said.message) == (3, True)
    assert store.request("/otlp_logs/v1/logs", whole, {"Content-Type": "text/plain"})[0] == 415
    assert store.request("/otlp_logs/v1/logs", too_deep(), PROTOBUF)[0] == 400
    assert store.events() == []
    assert_no_fault(store)


def test_fields_that_are_no_records_are_bounded_too(store: Any):
    """Half a million of them are a megabyte: neither read one by one, nor parsed to objects."""
    unknown, empty = b"\x78\x01" * 400_000, b"\x12\x00" * 400_000
    scopes = b"\x12" + varint(len(empty)) + empty
    for body in (unknown, b"\x0a\x00" * 400_000, b"\x0a" + varint(len(scopes)) + scopes):
        status, _, answer = store.request("/otlp_logs/v1/logs", body, PROTOBUF)
        assert (status, b"too_many_fields" in answer) == (413, True)
    apart = ExportLogsServiceRequest()
    for _ in range(9_000):
        logs = apart.resource_logs.add(schema_url="u")
        logs.resource.dropped_attributes_count = 1
        scope = logs.scope_logs.add(schema_url="u")
        scope.scope.name = "n"
        scope.log_records.add(flags=1)
    assert store.request("/otlp_logs/v1/logs", apart.SerializeToString(), PROTOBUF)[0] == 200


def filled(before: bytes, piece: bytes, after: bytes = b"") -> bytes:
    """As many pieces as a request may have bytes."""
    return before + piece * ((1_000_000 - len(before) - len(after)) // len(piece)) + after


def test_a_megabyte_of_anything_takes_no_more_than_its_bound(new_store: Callable[..., Any]):
    store = new_store(processor=False)
    assert store.request("/segment/v1/batch", {"batch": [{}]})[0] == 200
    collector = store.node.generations[0]
    before_kib = peak_kib(collector.pid)
    logs, end = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[', b"{}]}]}]}"
    for target, body, headers in (
        ("/mixpanel/track", filled(b"data=", b"%41"), FORM),
        ("/mixpanel/track", filled(b"data=", b"%F0%9F%98%80"), FORM),
        ("/posthog/e/", filled(b"data=", b"%41"), FORM),
        ("/segment/v1/batch", filled(b'{"batch":[', b"{},", b"{}]}"), {}),
        ("/segment/v1/batch", filled(b'{"x":[', b"{},", b'{}],"batch":[{}]}'), {}),
        ("/segment/v1/track", filled(b'{"x":"', b'[\\"', b'"}'), {}),
        ("/amplitude/batch", filled(b'{"options":[', b"[],", b'{}],"events":[{}]}'), {}),
        ("/mixpanel/import", filled(b"", b"{}\n"), NDJSON),
        ("/otlp_logs/v1/logs", filled(b'{"resourceLogs":[', b"{},", b"{}]}"), {}),
        ("/otlp_logs/v1/logs", filled(logs, b"{},", end), {}),
        (
            "/otlp_logs/v1/logs",
            filled(logs + b'{"attributes":[', b'{"key":"a"},', b"{}]}," + end),
            {},
        ),
        ("/syslog", filled(b"", b"a\n"), {}),
    ):
        assert store.request(target, body, headers)[0] in (200, 400, 413), (target, body[:60])
    assert peak_kib(collector.pid) - before_kib < 64 << 10


def test_what_waits_for_its_commit_takes_what_is_counted():
    objects, texts = filled(b"[", b'{"b":"01234567"},', b"{}]"), filled(b"[", b'"abc",', b'""]')
    record = b'"scopeLogs":[{"logRecords":[{}]}]'
    post = {"X-GitHub-Delivery": "d", "X-GitHub-Event": "e"}
    for name, path, headers, body in (
        ("segment", "/v1/batch", {}, b'{"batch":[{}],"context":%b}' % objects),
        ("amplitude", "/batch", {}, b'{"events":[{}],"options":%b}' % texts),
        ("ga4", "/mp/collect", {}, b'{"client_id":"c","events":[{}],"x":[%b1]}' % (b"1," * 9999)),
        ("otlp_logs", "/v1/logs", JSON, b'{"resourceLogs":[{%b,"resource":{"x":%b}}]}'
         % (record, texts)),
        ("otlp_logs", "/v1/logs", JSON, b'{"resourceLogs":[%b]}'
         % b",".join([b"{%b}" % record] * 5000)),
        ("github", "", post, b"{}"),
        ("cloudevents", "", CLOUD_EVENT, b"{}"),
    ):  # fmt: skip
        sent = Sent("POST", path, "", headers, body, 0)
        limits = Limits(64, 10_000, 1 << 20)
        FORMATS[name].read(sent, limits)  # what is made once is made
        tracemalloc.start()
        events = FORMATS[name].read(sent, limits)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        each = len(events.contexts) + events.count
        assert held < 1.6 * events.size_bytes + 300 * each + 2000, (name, held, events.size_bytes)


def test_a_resource_is_not_multiplied_without_bound(store: Any):
    """It is kept once for each scope: half a megabyte times ten thousand would be 5 GB."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    logs.resource.attributes.add(key="k").value.string_value = "v" * 500_000
    for _ in range(9000):
        logs.scope_logs.add()
    headers = PROTOBUF
    for body in (request.SerializeToString(), json.dumps(MessageToDict(request)).encode()):
        status, _, answer = store.request("/otlp_logs/v1/logs", body, headers)
        assert (status, b"too_large" in answer) == (413, True)
        headers = {}
    many = ExportLogsServiceRequest()
    many.resource_logs.add().scope_logs.add(log_records=[LogRecord()] * 10_001)
    assert store.request("/otlp_logs/v1/logs", many.SerializeToString(), PROTOBUF)[0] == 413
    assert_no_fault(store)


@pytest.mark.parametrize("kind", ["bytes", "protobuf", "json"])
def test_no_body_is_ever_our_fault(kind: str, store: Any):
    whole = request_bytes()
    bodies = {
        "bytes": st.binary(max_size=80),
        "protobuf": st.tuples(
            st.integers(0, len(whole)), st.binary(max_size=3), st.integers(0, 3)
        ).map(lambda cut: whole[: cut[0]] + cut[1] + whole[cut[0] + cut[2] :]),
        "json": st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["batch", "data", "events", "event", "properties", "context"]),
                    inner,
                )
            ),
            max_leaves=9,
        ).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    }[kind]
    targets = ["/otlp_logs/v1/logs"] if kind == "protobuf" else [*GOOD, "/posthog/e/", "/syslog"]

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(targets), bodies)
    def check(target: str, body: bytes) -> None:
        headers = PROTOBUF if kind == "protobuf" else {}
        assert store.request(target, body, headers)[0] in (200, 204, 400, 413, 422)

    check()
    assert_no_fault(store)


def assert_no_fault(store: Any) -> None:
    """Neither the collector nor the processor has anything to be sorry for."""
    store.until(lambda: store.reader.pending().packs == 0)
    for generation in store.node.generations:
        log = generation.log.read_text()
        assert "Traceback" not in log, log
    assert all(letter.index is not None for letter in store.reader.dead_letters())
    assert 'ev_requests_total{code="5' not in store.node.generations[0].ask("/metrics")[1]

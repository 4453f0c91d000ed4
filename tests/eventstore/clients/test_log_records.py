"""What OTLP's log records are answered and become, in both of its encodings."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from eventstore import packing
from eventstore.formats import FORMATS, READERS, Limits, Run, Sent
from tests.eventstore.clients.client_requests import PROTOBUF, otlp, record


def test_an_unreadable_log_record_is_a_partial_success(store: Any):
    good, other = record(1), record(2, severity_text="e")
    request = otlp(good, other).SerializeToString()
    damaged = request.replace(b"\x1a\x01e", b"\x1a\x01\xff")  # its text is no UTF-8
    status, _, answer = store.request("/otlp_logs/v1/logs", damaged, PROTOBUF)
    partial = ExportLogsServiceResponse.FromString(answer).partial_success
    assert (status, partial.rejected_log_records) == (200, 1)
    assert "log record 1" in partial.error_message
    # Protocol Buffers' JSON allows any number as text.
    kept = {"flags": "1", "droppedAttributesCount": "2"}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": 7}, {"flags": 1}, kept]}]}]}
    status, _, answer = store.request("/otlp_logs/v1/logs", body)
    assert (status, json.loads(answer)["partialSuccess"]["rejectedLogRecords"]) == (200, "1")
    assert [one.body for one in store.events()] == [
        good.SerializeToString(),
        b'{"flags": 1}',
        json.dumps(kept).encode(),
    ]
    assert len(list(store.reader.dead_letters())) == 2


def test_unknown_fields_of_a_log_record_are_kept(shared_store: Any):
    whole = record(1).SerializeToString() + b"\xf8\x07\x01"  # field 127
    grouped = record(2).SerializeToString() + b"\x7b\x08\x01\x7c"  # a group, field 15
    request = otlp()
    scope = request.resource_logs[0].scope_logs[0]
    body = request.SerializeToString()
    inner = scope.SerializeToString()
    for event in (whole, grouped):
        inner += b"\x12" + bytes([len(event)]) + event
    logs = request.resource_logs[0]
    logs.ClearField("scope_logs")
    outer = logs.SerializeToString() + b"\x12" + bytes([len(inner)]) + inner + b"\xfa\x07\x01x"
    body = b"\x0a" + bytes([len(outer)]) + outer
    assert shared_store.request("/otlp_logs/v1/logs", body, PROTOBUF)[0] == 200
    assert [one.body for one in shared_store.events()] == [whole, grouped]


def test_log_records_are_told_apart_though_they_are_alike(shared_store: Any):
    """Two alike in one request are two; the request again is none; another request is more."""
    first, second = otlp(record(), record()), otlp(record(), record(), host="b")
    for request in (first, first, second, first):
        body = request.SerializeToString()
        assert shared_store.request("/otlp_logs/v1/logs", body, PROTOBUF)[0] == 200
    undated = otlp(LogRecord(severity_text="x")).SerializeToString()
    for _ in range(2):  # without a time nothing says that they are the same
        assert shared_store.request("/otlp_logs/v1/logs", undated, PROTOBUF)[0] == 200
    assert len(shared_store.events()) == 4 + 2


def test_a_request_that_is_in_a_pack_twice_has_each_record_twice():
    """Its second copy joins the run of its first."""
    body = otlp(record(1), record(2), record(2)).SerializeToString()
    sent = Sent("POST", "/v1/logs", "", PROTOBUF, body, 0)
    events = FORMATS["otlp_logs"].read(sent, Limits(64, 9, 9999))
    ((_, context),) = events.contexts
    run = Run(events.block * 2, 6, [*(events.lengths or ())] * 2, context, {})
    ids = [
        one if isinstance(one, str) else one.client_id for one in READERS["otlp_logs"].fields(run)
    ]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


def test_both_encodings_of_a_log_record_are_the_same_object(store: Any):
    request = otlp(record(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, event_name="e"), host="a")
    assert store.request("/otlp_logs/v1/logs", request.SerializeToString(), PROTOBUF)[0] == 200
    as_json = MessageToDict(request)
    (json_record,) = as_json["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    json_record |= {"traceId": "01" * 16, "spanId": "02" * 8}
    assert store.request("/otlp_logs/v1/logs", as_json)[0] == 200
    store.events()
    values = [
        READERS[pack.format].value(body, share.context)
        for stored in store.reader._store.packs()
        for pack in [packing.unpack(stored.body)]
        for body, share in pack.per_event()
    ]
    assert values[0] == values[1]
    assert values[0]["traceId"] == "01" * 16
    assert values[0]["scope"] == {"name": "scope"}

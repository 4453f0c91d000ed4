"""OTLP/HTTP logs: ExportLogsServiceRequest as protobuf or as JSON. https://opentelemetry.io/docs/specs/otlp

An event is one LogRecord's own bytes. What its resource and scope say is the run's context: in the
request's encoding a ResourceLogs with one ScopeLogs without records.

A record has no id of its own, but an exporter sends the same request again when it got no answer: a
digest of the request and the record's place in it recognise that.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import orjson
import xxhash
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs

from eventstore.errors import Refused
from eventstore.formats import otlp_json, protobuf_wire
from eventstore.formats.checks import loads
from eventstore.formats.format import JSON, Answer, Events, Format, Limits, Receipt, Sent

PROTOBUF = "application/x-protobuf"
# How a context begins: its encoding, the request's digest, its first record's place, their count.
PREFIX = struct.Struct("<c16sII")
AS_PROTOBUF, AS_JSON = b"p", b"j"
# A record in a resource and a scope of its own needs seven: with their names, and their schemas'.
FIELDS_A_RECORD_MAX = 8
RESOURCE_LOGS, SCOPE_LOGS, LOG_RECORDS = 1, 2, 2  # numbers of the fields that lead to a record
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 3, 8, 13, 14, 16
RPC_CODES = {401: UNAUTHENTICATED, 413: RESOURCE_EXHAUSTED, 500: INTERNAL, 503: UNAVAILABLE}

Scope = tuple[bytes, list[bytes]]  # a context without its prefix, and its records


def read(sent: Sent, limits: Limits) -> Events:
    """The request's log records. One that can't be read is refused in its place."""
    as_json = _is_json(sent)
    if as_json:
        runs, refused = _from_json(sent.body, limits)
    elif _content_type(sent) == PROTOBUF:
        runs, refused = _from_protobuf(sent.body, limits)
    else:
        raise Refused(
            415, "content_type", "logs are protobuf or JSON", f"send {PROTOBUF} or {JSON}"
        )
    records = [record for _, some in runs for record in some]
    if records and len(refused) == len(records):
        raise _not_otlp(refused[0])
    return Events(
        b"".join(records),
        len(records),
        [len(record) for record in records],
        _contexts(runs, AS_JSON if as_json else AS_PROTOBUF, xxhash.xxh3_128_digest(sent.body)),
        refused=refused,
    )


def _contexts(runs: list[Scope], encoding: bytes, digest: bytes) -> tuple[tuple[int, bytes], ...]:
    contexts, first = [], 0
    for context, records in runs:
        prefix = PREFIX.pack(encoding, digest, first, len(records))
        contexts.append((len(records), prefix + context))
        first += len(records)
    return tuple(contexts)


def _within(runs: Iterable[Scope], limits: Limits) -> list[Scope]:
    """Those with records. A resource is repeated for each of its scopes, so that is bounded."""
    taken = []
    records_left, bytes_left = limits.events_max, limits.bytes_max
    for context, records in runs:
        records_left -= len(records)
        bytes_left -= len(context)
        if records_left < 0:
            raise Refused(
                413,
                "too_many_events",
                f"more than {limits.events_max} log records in one request",
                "send them in several requests",
            )
        if bytes_left < 0:
            raise Refused(
                413,
                "too_large",
                f"resources, for each of their scopes, are more than {limits.bytes_max} bytes",
                "send fewer scopes in one request",
            )
        if records:
            taken.append((context, records))
    return taken


def _from_protobuf(body: bytes, limits: Limits) -> tuple[list[Scope], dict[int, str]]:
    try:
        # Before it is parsed: each of half a million empty records takes far more than its bytes.
        runs = _within(_runs(body, limits), limits)
        try:
            ExportLogsServiceRequest.FromString(body)
            sound = True
        except DecodeError:
            sound = False  # because of single records, or as a whole: that is found out below
        refused = {} if sound else _unreadable([one for _, some in runs for one in some])
        if not sound:
            _check_contexts(runs)
    except (ValueError, DecodeError) as error:
        raise _not_otlp(str(error)) from None
    if not sound and not refused:
        raise _not_otlp("it is not as its schema says")
    return runs, refused


def _runs(body: bytes, limits: Limits) -> Iterator[Scope]:
    fields = _counted(FIELDS_A_RECORD_MAX * limits.events_max)
    for resource_logs in fields(body):
        if resource_logs.number != RESOURCE_LOGS or resource_logs.content is None:
            continue
        resource, scopes = _apart(fields(resource_logs.content), SCOPE_LOGS)
        for scope_logs in scopes:
            scope, records = _apart(fields(scope_logs), LOG_RECORDS)
            yield resource + protobuf_wire.bytes_field(SCOPE_LOGS, scope), records


def _counted(fields_max: int) -> Callable[[bytes], Iterator[protobuf_wire.Field]]:
    """What reads the fields of messages, so many of all together: two bytes can be a field."""
    left = iter(range(fields_max))

    def fields(message: bytes) -> Iterator[protobuf_wire.Field]:
        for field in protobuf_wire.fields(message):
            if next(left, None) is None:
                raise Refused(
                    413,
                    "too_many_fields",
                    f"more than {fields_max} fields outside of log records",
                    "send them in several requests",
                )
            yield field

    return fields


def _apart(fields: Iterable[protobuf_wire.Field], number: int) -> tuple[bytes, list[bytes]]:
    """A message without its fields of this number, and what those hold."""
    rest, found = [], []
    for field in fields:
        if field.number == number and field.content is not None:
            found.append(field.content)
        else:
            rest.append(field.whole)
    return b"".join(rest), found


def _unreadable(records: Sequence[bytes]) -> dict[int, str]:
    refused = {}
    for index, record in enumerate(records):
        try:
            LogRecord.FromString(record)
        except DecodeError as error:
            refused[index] = f"not_otlp: log record {index} can't be read: {error}"
    return refused


def _check_contexts(runs: list[Scope]) -> None:
    for context, _ in runs:
        ResourceLogs.FromString(context)


def _from_json(body: bytes, limits: Limits) -> tuple[list[Scope], dict[int, str]]:
    if type(loads(body, "the body")) is not dict:
        raise _not_otlp("it is not a JSON object")
    try:
        runs = _within(otlp_json.runs(body, limits.depth_max), limits)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_otlp(str(error)) from None
    every = (record for _, records in runs for record in records)
    return runs, {
        index: f"not_otlp: log record {index} can't be read: {why}"
        for index, record in enumerate(every)
        if (why := otlp_json.unreadable(record, limits.depth_max))
    }


def answer(sent: Sent, _receipt: Receipt, events: Events) -> Answer:
    """ExportLogsServiceResponse: how many records were rejected, if any, and why the first was."""
    response = ExportLogsServiceResponse()
    if events.refused:
        response.partial_success.CopyFrom(
            ExportLogsPartialSuccess(
                rejected_log_records=len(events.refused),
                error_message=next(iter(events.refused.values())),
            )
        )
    if _is_json(sent):
        return Answer(200, orjson.dumps(MessageToDict(response)))
    return Answer(200, response.SerializeToString(), PROTOBUF)


def refuse(sent: Sent, refused: Refused) -> Answer:
    """google.rpc.Status in the request's encoding. Overload is 503: exporters drop after 429."""
    status = 503 if refused.status == 429 else refused.status
    code = RPC_CODES.get(status, INVALID_ARGUMENT)
    message = f"{refused.code}: {refused.reason}: {refused.next_step}"
    if _is_json(sent):
        return Answer(status, orjson.dumps({"code": code, "message": message}), JSON)
    number_1 = protobuf_wire.varint(1 << 3) + protobuf_wire.varint(code)
    body = number_1 + protobuf_wire.bytes_field(2, message.encode())
    return Answer(status, body, PROTOBUF)


def _not_otlp(why: str) -> Refused:
    return Refused(
        400,
        "not_otlp",
        f"the body is no ExportLogsServiceRequest: {why}"[:500],
        "see the OTLP docs",
    )


def _is_json(sent: Sent) -> bool:
    return _content_type(sent) == JSON


def _content_type(sent: Sent) -> str:
    return sent.headers.get("Content-Type", "").partition(";")[0].strip().lower()


FORMAT = Format(read, stored_as="otlp_logs", paths=("/v1/logs",), answer=answer, refuse=refuse)

"""OTLP's JSON encoding: its shapes, and a request's log records byte for byte.

It is Protocol Buffers' own JSON but for ids (hexadecimal) and enumerations (numbers only); members
that aren't known are passed over. https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from eventstore.formats.checks import is_deeper


class ArrayValue(msgspec.Struct, gc=False):
    values: "list[AnyValue] | None" = None


class KeyValueList(msgspec.Struct, gc=False):
    values: "list[KeyValue] | None" = None


class AnyValue(msgspec.Struct, gc=False, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: AnyValue | None = None


class Record(msgspec.Struct, gc=False, rename="camel"):
    """A LogRecord."""

    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: int | str | None = None
    flags: int | str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class Resource(msgspec.Struct, gc=False):
    attributes: list[KeyValue] | None = None


class Context(msgspec.Struct, gc=False):
    """A ResourceLogs without records."""

    resource: Resource | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: msgspec.Raw = msgspec.Raw(b"null")
    schema_url: str | None = None
    log_records: list[msgspec.Raw] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: msgspec.Raw = msgspec.Raw(b"null")
    schema_url: str | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


RECORD = msgspec.json.Decoder(Record)
CONTEXT = msgspec.json.Decoder(Context)
REQUEST = msgspec.json.Decoder(_Request)


def runs(body: bytes, depth_max: int) -> Iterator[tuple[bytes, list[bytes]]]:
    """Each context and its records. body: sound JSON.

    Raises msgspec.DecodeError or RecursionError when it can't be read.
    """
    for logs in REQUEST.decode(body).resource_logs or ():
        for scope in logs.scope_logs or ():
            context = msgspec.json.encode(_context(logs, scope))
            CONTEXT.decode(context)
            if is_deeper(context, depth_max):
                raise RecursionError("a resource or scope is nested too deep")
            yield context, [bytes(record) for record in scope.log_records or ()]


def unreadable(record: bytes, depth_max: int) -> str:
    """Why a record can't be read; "" when it can."""
    try:
        RECORD.decode(record)
    except msgspec.DecodeError as error:
        return str(error)
    return f"it is nested deeper than {depth_max} levels" if is_deeper(record, depth_max) else ""


def _context(logs: _ResourceLogs, scope: _ScopeLogs) -> dict[str, Any]:
    return {
        "resource": logs.resource,
        "schemaUrl": logs.schema_url,
        "scopeLogs": [{"scope": scope.scope, "schemaUrl": scope.schema_url}],
    }


def texts(attributes: list[KeyValue] | None) -> dict[str, str]:
    """The attributes that are texts."""
    return {
        one.key: one.value.string_value
        for one in attributes or ()
        if one.value is not None and one.value.string_value is not None
    }


def number(value: int | str | None) -> int:
    """A 64-bit number, which this encoding writes as text; 0 when it is none."""
    if type(value) is str:
        return int(value) if value.isascii() and value.isdecimal() and len(value) <= 20 else 0
    return value if type(value) is int else 0

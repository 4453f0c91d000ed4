"""OTLP logs, the processor's half: what the pipeline reads of a record; the record as an object.

Contexts begin as otlp_logs.py writes them.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs

from eventstore.formats import otlp_json
from eventstore.formats.format import Fields, Reader, Run
from eventstore.formats.otlp_logs import AS_JSON, PREFIX

NS_A_MS = 1_000_000
IDS = ("traceId", "spanId")  # JSON has them in hexadecimal, Protocol Buffers' own JSON in base64


@dataclass(frozen=True, slots=True)
class _Record:
    """name: of the event, otherwise the severity. texts: the attributes that are texts."""

    name: str
    time_ns: int
    texts: Mapping[str, str]


def fields(run: Run) -> list[Fields | str]:
    """As the semantic conventions call it, among the record's attributes or its resource's."""
    encoding, digest, first, count = PREFIX.unpack_from(run.context)
    context = run.context[PREFIX.size :]
    shared = _shared_of_json(context) if encoding == AS_JSON else _shared_of_protobuf(context)
    read = _of_json if encoding == AS_JSON else _of_protobuf
    request = digest.hex()
    return [
        # The same request twice in one pack is one run: its places begin again.
        _fields(event, read, shared, f"{request}:{first + index % count}")
        for index, event in enumerate(run.events())
    ]


def _fields(
    event: bytes, read: Callable[[bytes], _Record], shared: Mapping[str, str], place: str
) -> Fields | str:
    try:
        record = read(event)
    except (DecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"not_otlp: {error}"
    found = {**shared, **record.texts}
    return Fields(
        # Without any time two requests may be alike and yet not the same.
        client_id=place if record.time_ns else None,
        name=record.name,
        time=record.time_ns // NS_A_MS or None,
        user_agent=found.get("user_agent.original"),
        url=found.get("url.full"),
        user=found.get("user.id") or found.get("enduser.id"),
        session=found.get("session.id"),
        address=found.get("client.address"),
    )


def _of_protobuf(event: bytes) -> _Record:
    record = LogRecord.FromString(event)
    texts = _texts(record.attributes)
    return _Record(
        record.event_name or texts.get("event.name") or record.severity_text,
        record.time_unix_nano or record.observed_time_unix_nano,
        texts,
    )


def _of_json(event: bytes) -> _Record:
    record = otlp_json.RECORD.decode(event)
    texts = otlp_json.texts(record.attributes)
    return _Record(
        record.event_name or texts.get("event.name") or record.severity_text or "",
        otlp_json.number(record.time_unix_nano) or otlp_json.number(record.observed_time_unix_nano),
        texts,
    )


def _shared_of_protobuf(context: bytes) -> dict[str, str]:
    return _texts(ResourceLogs.FromString(context).resource.attributes)


def _shared_of_json(context: bytes) -> dict[str, str]:
    resource = otlp_json.CONTEXT.decode(context).resource
    return otlp_json.texts(resource.attributes if resource else None)


def _texts(attributes: Any) -> dict[str, str]:
    return {
        one.key: one.value.string_value
        for one in attributes
        if one.value.WhichOneof("value") == "string_value"
    }


def value(event: bytes, context: bytes) -> dict[str, Any]:
    """The record in OTLP's JSON, with its resource and scope."""
    body = context[PREFIX.size :]
    if context[:1] == AS_JSON:
        record, logs = orjson.loads(event), orjson.loads(body)
    else:
        record = MessageToDict(LogRecord.FromString(event))
        record |= {name: b64decode(record[name]).hex() for name in IDS if name in record}
        logs = MessageToDict(ResourceLogs.FromString(body))
    scope = logs["scopeLogs"][0].get("scope")
    return {"resource": logs.get("resource"), "scope": scope, **record}


READER = Reader(fields, value)

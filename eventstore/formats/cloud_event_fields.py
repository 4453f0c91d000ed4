"""The processor's half of CloudEvents, in all their modes.

Without a context the event is the whole JSON object. Otherwise the event is the data, and the
context are the headers with the attributes, as they came.

The client's own id is source and id together: that is what the specification makes unique. Names of
fields are those of `data`; time and type are the specification's.
"""

import re
from base64 import b64encode
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
import orjson

from eventstore.event import FIELDS
from eventstore.formats import json_fields
from eventstore.formats.format import Fields, Reader, Run

PREFIX = "ce-"
TYPE_HEADER = "content-type"
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
IN_DATA = tuple(name for name in FIELDS if name not in ("client_id", "name", "time"))


class Attributes(msgspec.Struct, gc=False):
    """Those that the pipeline reads."""

    id: Any = None
    source: Any = None
    type: Any = None
    time: Any = None


def fields(run: Run) -> list[Fields | str]:
    """The attributes, and of `data` by the endpoint's own names."""
    names = tuple({**FIELDS, **run.names}.values())
    if not run.context:
        found = json_fields.decoded(_event_decoder(names), run)
        return [one if isinstance(one, str) else _fields(one, one.data) for one in found]
    attributes = msgspec.convert(attributes_of(run.context), Attributes)
    data: list[Any] = [None] * run.count
    if run.block and may_be_json(content_type_of(run.context)):
        data = json_fields.decoded(_data_decoder(names), run)
    return [_fields(attributes, one) for one in data]


def value(event: bytes, context: bytes) -> dict[str, Any]:
    """The event as in structured mode."""
    if not context:
        return json_fields.value(event, context)
    found: dict[str, Any] = attributes_of(context)
    content_type = content_type_of(context)
    if content_type:
        found["datacontenttype"] = content_type
    if not event:
        return found
    if may_be_json(content_type):
        with suppress(orjson.JSONDecodeError):  # without a Content-Type it need not be any
            return {**found, "data": orjson.loads(event)}
    try:
        return {**found, "data": event.decode()}
    except UnicodeDecodeError:
        return {**found, "data_base64": b64encode(event).decode()}


def attributes_of(context: bytes) -> dict[str, Any]:
    """Name → text, of the headers as they came: quoted or not, percent-encoded UTF-8."""
    return {
        name.removeprefix(PREFIX): _decoded(text)
        for name, text in orjson.loads(context).items()
        if name.startswith(PREFIX)
    }


def content_type_of(context: bytes) -> str:
    """Of the data; "" when nobody has said it."""
    return str(orjson.loads(context).get(TYPE_HEADER, ""))


def media_type(content_type: str) -> str:
    """Without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def may_be_json(content_type: str) -> bool:
    """Without a Content-Type data is JSON, if it is any: so the specification's own libraries."""
    return not content_type or media_type(content_type).endswith(("/json", "+json"))


def _decoded(text: str) -> str:
    quoted = QUOTED.fullmatch(text)
    if quoted:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    return unquote(text, errors="strict")


def _fields(attributes: Any, data: Any) -> Fields:
    found = Fields(f"{attributes.source} {attributes.id}", attributes.type, attributes.time)
    if isinstance(data, msgspec.Struct):
        for name in IN_DATA:
            setattr(found, name, getattr(data, name))
    return found


@lru_cache(maxsize=256)
def _data_decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """An object's fields that the pipeline reads, or any other JSON value."""
    return msgspec.json.Decoder(_data_type(names))


@lru_cache(maxsize=256)
def _event_decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    data = [("data", _data_type(names), None)]
    return msgspec.json.Decoder(msgspec.defstruct("Event", data, bases=(Attributes,), gc=False))


def _data_type(names: tuple[str, ...]) -> Any:
    renamed = {what: name for what, name in zip(FIELDS, names, strict=True) if what in IN_DATA}
    columns = [(name, Any, None) for name in IN_DATA]
    struct = msgspec.defstruct("Data", columns, rename=renamed, gc=False)
    return struct | list | str | int | float | bool | None


READER = Reader(fields, value)

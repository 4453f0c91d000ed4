"""application/vnd.msgpack: one map, an array of maps, or a stream of maps; an event is the map's
own bytes.

They are read as the JSON that they would be: binary as base64, timestamps as ISO 8601, keys that
are numbers as text, NaN and infinities as null.
"""

from typing import Any

import msgpack
import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats import json_fields
from eventstore.formats.checks import (
    check_count,
    check_depth,
    containers_max,
    too_many_values,
)
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent
from eventstore.formats.json_body import block_of

ARRAYS = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})
MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
CONTAINERS = bytes(ARRAYS | MAPS)


def read(sent: Sent, limits: Limits) -> Events:
    """Each map, exactly as it was sent."""
    if not sent.body:
        raise Refused(400, "empty", "the body is empty", "send a map or an array of maps")
    try:
        _check_containers(sent.body)
        events = _maps(sent.body, limits)
    except (msgpack.UnpackException, ValueError) as error:
        why = str(error) or "it is cut short"
        raise _not_msgpack(f"the body: {why}") from None
    for index, event in enumerate(events):
        if event[0] not in MAPS:
            raise Refused(400, "not_an_object", f"event {index} is not a map", "send maps only")
        try:
            text = as_json(event)
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
            raise _not_msgpack(f"event {index}: {error}") from None
        check_depth(text, 1, limits.depth_max)
    return block_of(events)


def fields(run: Run) -> list[Fields | str]:
    """Top-level fields, by the endpoint's own names."""
    block = b"\n".join(map(as_json, run.events()))
    return json_fields.fields(Run(block, run.count, None, b"", run.names))


def value(event: bytes, _context: bytes) -> dict[str, Any]:
    """The map as a JSON object."""
    found: dict[str, Any] = orjson.loads(as_json(event))
    return found


def as_json(event: bytes) -> bytes:
    """On one line."""
    return msgspec.json.encode(msgspec.msgpack.decode(event))


def _maps(body: bytes, limits: Limits) -> list[bytes]:
    """The body's values, found by walking over them: a length that is declared and not there costs
    nothing, while a decoder might make room for it."""
    walker = msgpack.Unpacker(max_buffer_size=len(body))
    walker.feed(body)
    count = walker.read_array_header() if body[0] in ARRAYS else None
    if count == 0:
        raise Refused(400, "empty", "the array is empty", "send at least one map")
    check_count(count or 1, limits)
    events: list[bytes] = []
    start = walker.tell()
    while start < len(body) if count is None else len(events) < count:
        check_count(len(events) + 1, limits)
        walker.skip()
        events.append(body[start : walker.tell()])
        start = walker.tell()
    if start != len(body):
        raise ValueError("there are bytes after its end")
    return events


def _check_containers(body: bytes) -> None:
    """Refuses more arrays and maps than JSON may have: here an empty one is a byte."""
    count_max = containers_max(len(body))
    if len(body) - len(body.translate(None, CONTAINERS)) <= count_max:
        return  # not even if each byte that can begin one did
    left = iter(range(count_max))

    def one(_: object) -> None:
        if next(left, None) is None:
            raise too_many_values(f"more than {count_max}", len(body))

    walker = msgpack.Unpacker(
        max_buffer_size=len(body), list_hook=one, object_hook=one, raw=True, strict_map_key=False
    )
    walker.feed(body)
    for _ in walker:
        pass


def _not_msgpack(why: str) -> Refused:
    return Refused(
        400, "not_msgpack", f"{why} (as MessagePack)"[:300], "send maps that JSON could say too"
    )


FORMAT = Format(read, stored_as="msgpack")
READER = Reader(fields, value)

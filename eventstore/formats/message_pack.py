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
from eventstore.formats.checks import check_count, check_depth
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent
from eventstore.formats.json_body import block_of

EMPTY_ARRAY, EMPTY_MAP = b"\x90", b"\x80"
JSON_CONTAINER_BYTES = 3  # `[],`
ARRAYS = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})
MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})


def read(sent: Sent, limits: Limits) -> Events:
    """Each map, exactly as it was sent."""
    if not sent.body:
        raise Refused(400, "empty", "the body is empty", "send a map or an array of maps")
    try:
        events = _maps(sent.body, limits)
    except (msgpack.UnpackException, ValueError) as error:
        why = str(error) or "it is cut short"
        raise _not_msgpack(f"the body: {why}") from None
    for index, event in enumerate(events):
        if event[0] not in MAPS:
            raise Refused(400, "not_an_object", f"event {index} is not a map", "send maps only")
        try:
            _check_containers(event, limits.bytes_max // JSON_CONTAINER_BYTES)
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


def _check_containers(event: bytes, count_max: int) -> None:
    """Refuses more arrays and maps than JSON of the same bound could have: here an empty one is a
    byte, and decoded it takes 64."""
    if event.count(EMPTY_ARRAY) + event.count(EMPTY_MAP) <= count_max:
        return  # those with something in them are two bytes at least
    left = iter(range(count_max))

    def one(_: object) -> None:
        if next(left, None) is None:
            raise Refused(
                413,
                "too_large",
                f"an event has more than {count_max} arrays and maps",
                "send smaller events",
            )

    msgpack.unpackb(event, list_hook=one, object_hook=one, raw=True, strict_map_key=False)


def _not_msgpack(why: str) -> Refused:
    return Refused(
        400, "not_msgpack", f"{why} (as MessagePack)"[:300], "send maps that JSON could say too"
    )


FORMAT = Format(read, stored_as="msgpack")
READER = Reader(fields, value)

"""application/json: one object, or an array of objects."""

import msgspec

from eventstore.errors import Refused
from eventstore.formats.checks import check_depth, check_objects, loads
from eventstore.formats.format import Events, Format, Limits, Sent

WHITE_SPACE = b" \t\r\n"
ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


def read(sent: Sent, limits: Limits) -> Events:
    """The object, or the array's elements, exactly as they were sent."""
    text = sent.body.strip(WHITE_SPACE)
    if not text:
        raise Refused(400, "empty", "the body is empty", "send a JSON object or an array of them")
    value = loads(text, "the body")
    if type(value) is dict:
        check_depth(text, 1, limits.depth_max)
        return Events(text, 1, [len(text)] if b"\n" in text else None)
    check_objects(value if type(value) is list else (value,), limits)
    check_depth(text, len(value), limits.depth_max + 1)
    return block_of([bytes(element) for element in ELEMENTS.decode(text)])


def block_of(events: list[bytes]) -> Events:
    """Events as one block: divided by newlines, unless one of them contains a newline."""
    block = b"\n".join(events)
    if block.count(b"\n") >= len(events) > 0:  # pretty-printed: newlines cannot divide them
        return Events(b"".join(events), len(events), [len(event) for event in events])
    return Events(block, len(events))


FORMAT = Format(read, stored_as="json")

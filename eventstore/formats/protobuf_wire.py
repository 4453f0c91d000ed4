"""Protocol Buffers on the wire: which bytes of a message are which field, so that they can be kept.

https://protobuf.dev/programming-guides/encoding. Groups, long deprecated, are refused.
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
VARINT_BYTES_MAX = 10


class Field(NamedTuple):
    """whole: the field with its tag, as it stands in the message. content: what a field of wire
    type BYTES holds (a message, a text); None for the others."""

    number: int
    whole: bytes
    content: bytes | None


def fields(message: bytes) -> Iterator[Field]:
    """A message's fields, in order. ValueError when it is no message."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        content = None
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == BYTES:
            size, at = _varint(message, at)
            content = message[at : at + size]
            at += size
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"field {number} has wire type {kind}, which is not taken")
        if at > len(message) or number == 0:
            raise ValueError("the message is cut short or damaged")
        yield Field(number, message[start:at], content)


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of wire type BYTES."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + VARINT_BYTES_MAX, len(message))):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place + 1
    raise ValueError("the message is cut short or damaged")

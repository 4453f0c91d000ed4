"""The view: what transforms have made of a pack's events, where that differs from what was sent.

A line for each event. Empty: it is seen as it was sent. Otherwise JSON: an object is seen instead;
an array of objects, these are; null, it isn't seen. With a + in front: what was sent without its
last byte, then this, for most transforms add members to a compact object. One zstd frame; no bytes
at all when every line is empty.
"""

from collections.abc import Collection, Sequence
from typing import Any

import orjson
import zstandard

ZSTD_LEVEL = 1
BYTES_MAX = 64 << 20
AS_SENT = b""
DROPPED = b"null"
ADDED = b"+"
ONCE = {AS_SENT, ADDED, b"{"}  # what the line of an event that is one still begins with


def encode(lines: Sequence[bytes]) -> bytes:
    """The same input gives the same bytes."""
    if not any(lines):
        return b""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"\n".join(lines))


def decode(view: bytes, events: int) -> list[bytes]:
    """A line for each of a pack's events, as it is kept."""
    if not view:
        return [AS_SENT] * events
    lines = zstandard.ZstdDecompressor().decompress(view, max_output_size=BYTES_MAX)
    return lines.split(b"\n")


def shortened(line: bytes, sent: bytes) -> bytes:
    """What is kept of JSON that is seen instead of what was sent."""
    left = line.removeprefix(sent[:-1])
    return line if len(left) == len(line) else ADDED + left


def whole(line: bytes, sent: bytes) -> bytes:
    """The JSON again."""
    return sent[:-1] + line[1:] if line[:1] == ADDED else line


def several(line: bytes) -> list[Any] | None:
    """The events that one has become, by its whole line; None when it is one still."""
    if line == DROPPED:
        return []
    return list(orjson.loads(line)) if line[:1] == b"[" else None


def times(lines: Sequence[bytes]) -> list[int] | None:
    """As how many events each is seen; None: each as one."""
    if {line[:1] for line in lines} <= ONCE:
        return None
    parts = map(several, lines)
    return [1 if one is None else len(one) for one in parts]


def merged(old: bytes, new: bytes, chosen: Collection[int], events: int) -> list[bytes]:
    """The old view's lines, but the new one's of the chosen events."""
    lines = decode(old, events)
    fresh = decode(new, events)
    for index in chosen:
        lines[index] = fresh[index]
    return lines


def blanked(view: bytes, chosen: Collection[int], events: int) -> bytes:
    """Without what is seen of the chosen events: no more than as how many."""
    lines = decode(view, events)
    for index in chosen:
        line = lines[index]
        if line[:1] in ONCE:
            lines[index] = AS_SENT
        elif line != DROPPED:
            lines[index] = orjson.dumps([{} for _ in orjson.loads(line)])
    return encode(lines)

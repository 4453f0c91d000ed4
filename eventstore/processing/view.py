"""The view: what transforms have made of a pack's events, where that differs from what was sent.

A line for each event. Empty: it is seen as it was sent. Otherwise JSON: an object is seen instead;
an array of objects, these are; null, it isn't seen. One zstd frame; no bytes at all when every line
is empty.
"""

from collections.abc import Collection, Sequence
from typing import Any

import orjson
import zstandard

ZSTD_LEVEL = 1
BYTES_MAX = 64 << 20
AS_SENT = b""
DROPPED = b"null"


def encode(lines: Sequence[bytes]) -> bytes:
    """The same input gives the same bytes."""
    if not any(lines):
        return b""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"\n".join(lines))


def decode(view: bytes, events: int) -> list[bytes]:
    """A line for each of a pack's events."""
    if not view:
        return [AS_SENT] * events
    return _whole(view).split(b"\n")


def several(line: bytes) -> list[Any] | None:
    """The events that one has become; None when it is one still."""
    if line == DROPPED:
        return []
    return list(orjson.loads(line)) if line[:1] == b"[" else None


def times(view: bytes, events: int) -> list[int] | None:
    """As how many events each is seen; None: each as one."""
    if not view:
        return None
    whole = b"\n" + _whole(view)
    if b"\n[" not in whole and b"\nnull" not in whole:
        return None
    parts = map(several, decode(view, events))
    return [1 if one is None else len(one) for one in parts]


def merged(old: bytes, new: bytes, chosen: Collection[int], events: int) -> bytes:
    """The old view, with the new lines of the chosen events."""
    lines = decode(old, events)
    fresh = decode(new, events)
    for index in chosen:
        lines[index] = fresh[index]
    return encode(lines)


def _whole(view: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(view, max_output_size=BYTES_MAX)

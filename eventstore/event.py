"""An event's identity and the few fields that the pipeline reads of it.

All functions here are pure: what they say of an event depends on its pack alone, so a pack that is
delivered again gives the same bytes again.
"""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

TEXT_CHARS_MAX = 512
# What the pipeline reads of an event → its field's name, unless the settings or an endpoint say so.
FIELDS = {
    "client_id": "id",
    "name": "type",
    "time": "at",
    "user_agent": "user_agent",
    "url": "url",
    "referrer": "referrer",
    "user": "user",
    "session": "session",
    "address": "ip",
}


@dataclass(frozen=True, slots=True)
class EventId:
    """Pack id and index in the pack: any event is found from its id alone. part: which of the
    several events that a transform has made of one. Text: `<uuid>:<index>` or
    `<uuid>:<index>.<part>`."""

    pack: UUID
    index: int
    part: int | None = None

    def __str__(self) -> str:
        return f"{self.pack}:{self.index}" + ("" if self.part is None else f".{self.part}")

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """Raises ValueError on anything else."""
        pack, _, place = text.partition(":")
        index, dot, part = place.partition(".")
        with suppress(ValueError):
            if index.isdecimal() and (part.isdecimal() or not dot):
                return cls(UUID(pack), int(index), int(part) if dot else None)
        raise ValueError(f"not an event id: {text[:100]!r}: expected <uuid>:<index>")


def parse_id(text: str) -> tuple[UUID, int | None]:
    """A pack's id, or an event's: then with its index. Raises ValueError."""
    if ":" in text:
        event_id = EventId.parse(text)
        return event_id.pack, event_id.index
    try:
        return UUID(text), None
    except ValueError:
        raise ValueError(
            f"no id: {text[:100]!r}: expected a pack's <uuid>, or an event's <uuid>:<index>"
        ) from None


class CountKey(NamedTuple):
    """What events are counted by: the start of the window (Unix seconds), endpoint, name."""

    window_start_s: int
    endpoint: str
    name: str


def new_pack_id() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def divided(block: bytes, lengths: Sequence[int] | None) -> list[bytes]:
    """A block's events. lengths None: divided by newlines, of which no event contains one."""
    if lengths is None:
        return block.split(b"\n")
    events, start = [], 0
    for length in lengths:
        events.append(block[start : start + length])
        start += length
    return events


def text_of(value: object) -> str:
    """Text of at most TEXT_CHARS_MAX characters; "" when the value is no text."""
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else ""


def window_start_s(time_ms: int, window_s: int) -> int:
    """The start of the window that holds this time, in Unix seconds."""
    return time_ms // 1000 // window_s * window_s

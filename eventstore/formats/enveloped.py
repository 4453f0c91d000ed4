"""JSON objects in an array of an envelope: what the analytics protocols send.

An event is its own bytes in the array. What the envelope says of all of them is the run's context.
An element that is no usable event is refused in its place, and the others are taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import msgspec
import orjson
from msgspec import structs

from eventstore.errors import Refused
from eventstore.formats.checks import is_deeper, loads
from eventstore.formats.format import Events, Limits
from eventstore.formats.json_body import block_of
from eventstore.formats.json_fields import value as object_of
from eventstore.times import stated_ms

WHITE_SPACE = b" \t\r\n"
ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
# What may stand where an object is expected: such a member says nothing, and the event is kept.
Other = bool | int | float | str | list[Any] | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """said: the envelope's members, without the array. elements: the array's, as they were sent;
    values: the same, parsed."""

    said: dict[str, Any]
    elements: list[bytes]
    values: list[Any]

    def rest(self, ours: Sequence[str]) -> dict[str, Any]:
        """What it says beside these, which are forgotten: no copy, for it may be very much."""
        for name in ours:
            self.said.pop(name, None)
        return self.said

    def events(
        self, limits: Limits, *, context: Mapping[str, Any], sent_at: object = None
    ) -> Events:
        """The elements as events; Refused (400) when none of them is usable."""
        refused = self.unusable(limits)
        if len(refused) == len(self.elements):
            code, _, reason = refused[0].partition(": ")
            raise Refused(400, code, reason, "send at least one event, as a JSON object")
        return self._as_events(refused, limits, context, sent_at)

    def only_unusable(
        self, limits: Limits, *, context: Mapping[str, Any], sent_at: object = None
    ) -> Events | None:
        """Those that can't be used, where some can: the others are for their sender to send again.
        None: it is not so."""
        refused = self.unusable(limits)
        if not 0 < len(refused) < len(self.elements):
            return None
        some = Envelope(
            self.said,
            [self.elements[index] for index in refused],
            [self.values[index] for index in refused],
        )
        whys = dict(enumerate(refused.values()))
        events = some._as_events(whys, limits, context, sent_at)
        return structs.replace(events, places=tuple(refused))

    def unusable(self, limits: Limits) -> dict[int, str]:
        """Index → why it is no usable event."""
        return {
            index: why
            for index, value in enumerate(self.values)
            if (why := self._unusable(index, value, limits.depth_max))
        }

    def _as_events(
        self,
        refused: Mapping[int, str],
        limits: Limits,
        context: Mapping[str, Any],
        sent_at: object,
    ) -> Events:
        block = block_of(self.elements)
        return Events(
            block.block,
            block.count,
            block.lengths,
            contexts=((block.count, _dumped(context, limits.depth_max)),) if context else (),
            sent_at_ms=stated_ms(sent_at),
            refused=refused,
        )

    def _unusable(self, index: int, value: object, depth_max: int) -> str:
        if type(value) is not dict:
            return f"not_an_object: event {index} is not a JSON object"
        if is_deeper(self.elements[index], depth_max):
            return f"too_deep: event {index} is nested deeper than {depth_max} levels"
        return ""


def parsed(body: bytes) -> tuple[bytes, Any]:
    """A body that is one JSON value: its text and the value; Refused (400) when it is none."""
    text = body.strip(WHITE_SPACE)
    if not text:
        raise Refused(400, "empty", "the body is empty", "send at least one event")
    return text, loads(text, "the body")


def opened(body: bytes, key: str, limits: Limits) -> Envelope:
    """The envelope whose array of events is called so; Refused (400, 413) when it is none."""
    text, value = parsed(body)
    if type(value) is not dict:
        raise Refused(400, "not_an_object", "the body is not a JSON object", f"send {{{key}: […]}}")
    values = value.pop(key, None)
    if type(values) is not list:
        raise Refused(400, "no_events", f"{key} is not an array", f"send the events as {key}: […]")
    check_count(values, limits)
    try:
        return Envelope(value, _elements(_member(text, key)), values)
    except RecursionError:
        raise _too_deep() from None


def bare(body: bytes, limits: Limits) -> Envelope:
    """A body that is one event, or an array of events, in no envelope."""
    text, value = parsed(body)
    if type(value) is not list:
        return Envelope({}, [text], [value])
    check_count(value, limits)
    try:
        return Envelope({}, _elements(text), value)
    except RecursionError:
        raise _too_deep() from None


def _elements(array: bytes | msgspec.Raw) -> list[bytes]:
    return [bytes(one) for one in ELEMENTS.decode(array)]


def _dumped(context: Mapping[str, Any], depth_max: int) -> bytes:
    try:
        # Not orjson's: that keeps the buffer which it grew in, up to 32 times as large.
        text = msgspec.json.encode(context)
    except RecursionError:
        raise _too_deep() from None
    if is_deeper(text, depth_max):
        raise _too_deep()
    return text


def _too_deep() -> Refused:
    return Refused(400, "too_deep", "the body is nested too deep", "flatten the events")


def check_count(values: Sequence[object], limits: Limits) -> None:
    """Refuses no events, and too many."""
    if not values:
        raise Refused(400, "empty", "there is no event in the body", "send at least one event")
    if len(values) > limits.events_max:
        raise Refused(
            413,
            "too_many_events",
            f"{len(values)} events in one request: at most {limits.events_max}",
            "send them in several requests",
        )


def text_at(body: bytes, *keys: str) -> str | None:
    """The text that a body's object has under these keys, each within the last; None without."""
    value: Any = body
    try:
        for key in keys:
            value = _member(value, key)
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None


def _member(value: bytes | msgspec.Raw, key: str) -> msgspec.Raw:
    """An object's member; KeyError without. What else it has costs no more than to pass it over."""
    found = _decoder(key).decode(value).found
    if found is msgspec.UNSET:
        raise KeyError(key)
    return cast(msgspec.Raw, found)


@cache
def _decoder(key: str) -> msgspec.json.Decoder[Any]:
    """key: one that a format looks for."""
    column = ("found", msgspec.Raw, msgspec.UNSET)
    return msgspec.json.Decoder(msgspec.defstruct("Member", [column], rename={"found": key}))


def said_of(context: bytes) -> dict[str, Any]:
    """What a run's envelope says of its events."""
    return orjson.loads(context) if context else {}


def value(event: bytes, context: bytes) -> dict[str, Any]:
    """The event's own members, over what its envelope says of all."""
    return {**said_of(context), **object_of(event, b"")}

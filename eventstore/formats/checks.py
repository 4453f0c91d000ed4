"""What every JSON format checks: objects only, how many, how deep."""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import orjson

from eventstore.errors import Refused
from eventstore.formats.format import Limits

# Possessive: what could be given back would be remembered, at a hundred times its bytes.
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
NO_BRACKETS = bytes(code for code in range(256) if code not in b"{}[]")
STEP = [(code in b"{[") - (code in b"}]") for code in range(256)]


def loads(text: bytes, where: str) -> Any:
    """Strict JSON: UTF-8 only, no NaN, no number beyond a double, no lone surrogate."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(
            400, "not_json", f"{where}: {error}", "send one JSON object for each event"
        ) from None


def check_count(count: int, limits: Limits) -> None:
    """Refuses too many events."""
    if count > limits.events_max:
        raise Refused(
            413,
            "too_many_events",
            f"{count} or more events in one request: at most {limits.events_max}",
            "send them in several requests",
        )


def check_objects(values: Sequence[object], limits: Limits) -> None:
    """Refuses no events, too many events, and events that are no objects."""
    if not values:
        raise Refused(400, "empty", "there is no event in the body", "send at least one event")
    check_count(len(values), limits)
    for index, value in enumerate(values):
        if type(value) is not dict:
            raise Refused(
                400,
                "not_an_object",
                f"event {index} is not a JSON object",
                "wrap the value: an event is an object",
            )


def check_depth(body: bytes, objects: int, depth_max: int) -> None:
    """Refuses events nested too deep, in a body of so many valid objects.

    Each event opens at least one bracket, so what is left over bounds the depth of the deepest:
    nearly always enough to know, at the speed of counting bytes. Finding none is quicker still.
    """
    if body.rfind(b"{") <= 0 and body.find(b"[") < 0:
        return
    opened = body.count(b"{") + body.count(b"[")
    if opened - (objects - 1) > depth_max and depth_of(body) > depth_max:
        raise Refused(
            400,
            "too_deep",
            f"an event is nested deeper than {depth_max} levels",
            "flatten the event",
        )


def is_deeper(text: bytes, depth_max: int) -> bool:
    """Whether valid JSON is nested deeper. Counting its brackets nearly always suffices."""
    if text.count(b"{") + text.count(b"[") <= depth_max:
        return False
    return depth_of(text) > depth_max


def depth_of(text: bytes) -> int:
    """How deep valid JSON is nested."""
    brackets = STRING.sub(b"", text).translate(None, NO_BRACKETS)
    return max(accumulate(map(STEP.__getitem__, brackets)), default=0)

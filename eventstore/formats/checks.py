"""What every JSON format checks: objects only, how many, how much is in them, how deep."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from eventstore.errors import Refused
from eventstore.formats.format import Limits

# Python makes 240 bytes of an object, in which 8 that were sent can be one.
CONTAINERS_ANYWAY, CONTAINER_BYTES = 1 << 16, 16
AT_ONCE_BYTES_MIN = 4096  # of fewer, counting is as fast
QUOTE = 0x22
NOT_READ = bytes(code for code in range(256) if code not in b'{}[]"')
STEP = np.array([(code in b"{[") - (code in b"}]") for code in range(256)], dtype=np.int8)


def loads(text: bytes, where: str) -> Any:
    """Strict JSON: UTF-8 only, no NaN, no number beyond a double, no lone surrogate."""
    check_containers(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(
            400, "not_json", f"{where}: {error}", "send one JSON object for each event"
        ) from None


def check_containers(text: bytes) -> None:
    """Refuses more objects and arrays than may be parsed to Python's own.

    text: JSON, as far as one knows; what is wrong with it is found out by parsing it.
    """
    if len(text) <= 2 * CONTAINERS_ANYWAY:
        return
    count_max = containers_max(len(text))
    if _opening(text) <= count_max:
        return
    count = np.count_nonzero(_steps(text) > 0)
    if count > count_max:
        raise too_many_values(str(count), len(text))


def containers_max(size: int) -> int:
    """How many objects and arrays there may be in so many bytes."""
    return max(CONTAINERS_ANYWAY, size // CONTAINER_BYTES)


def too_many_values(count: str, size: int) -> Refused:
    """More objects and arrays than there may be."""
    return Refused(
        413,
        "too_many_values",
        f"{count} objects and arrays in {size} bytes: at most {containers_max(size)}",
        "send them in several requests, or as texts and numbers",
    )


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
    if _opening(body) - (objects - 1) > depth_max and depth_of(body) > depth_max:
        raise Refused(
            400,
            "too_deep",
            f"an event is nested deeper than {depth_max} levels",
            "flatten the event",
        )


def is_deeper(text: bytes, depth_max: int) -> bool:
    """Whether valid JSON is nested deeper. Counting its brackets nearly always suffices."""
    if _opening(text) <= depth_max:
        return False
    return depth_of(text) > depth_max


def _opening(text: bytes) -> int:
    """How many brackets there are that open something, also those in strings."""
    if len(text) < AT_ONCE_BYTES_MIN:
        return text.count(b"{") + text.count(b"[")
    # The two differ in one bit.
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) | 0x20 == ord("{")))


def depth_of(text: bytes) -> int:
    """How deep valid JSON is nested."""
    return int(np.cumsum(_steps(text), dtype=np.int32).max(initial=0))


def _steps(text: bytes) -> npt.NDArray[np.int8]:
    """1 for each bracket that opens, -1 for each that closes, 0 for those within strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # then each quote is a string's end
    read = np.frombuffer(text.translate(None, NOT_READ), dtype=np.uint8)
    steps = STEP[read]
    steps[np.cumsum(read == QUOTE, dtype=np.uint8) & 1 == 1] = 0
    return steps

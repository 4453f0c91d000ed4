"""A user's own step on an event: `def transform(event) -> event | list | None`.

event is the JSON object that the format reads; a function that takes two arguments also gets what
enrichment found out about the event, as a second object. It returns an event, the same or another;
a list of events; or None, and then nobody sees this one. It must be pure: the same event gives the
same result whenever and wherever it runs, for a pack may be processed twice.

Runs in a process of its own: see transform_worker.py.
"""

import importlib
import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from eventstore.errors import SettingsError
from eventstore.processing.view import AS_SENT, shortened

REASON_CHARS_MAX = 4000
LINE_CHARS_MAX = 300
PARTS_MAX = 1000
LINE_BYTES_MAX = 1 << 20
ARGUMENTS_MAX = 2

Event = dict[str, Any]
Read = Callable[[bytes, bytes], Event]


@dataclass(frozen=True, slots=True)
class Transform:
    """A loaded function, and whether it takes what enrichment found out."""

    function: Callable[..., object]
    takes_enriched: bool


class Unusable(Exception):
    """What a transform returned is no event."""


def load(name: str) -> Transform:
    """From "package.module:function", found as `python -m` finds modules: in a release, the app's
    own tree first. SettingsError when it can't be loaded."""
    module, colon, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function) if colon else None
    except Exception as error:
        raise SettingsError(f"transforms: {name}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise SettingsError(f"transforms: {name!r}: expected package.module:function")
    arguments = len(inspect.signature(found).parameters)
    if not 1 <= arguments <= ARGUMENTS_MAX:
        raise SettingsError(
            f"transforms: {name}: takes {arguments} arguments: expected event, or event, enriched"
        )
    return Transform(found, arguments == ARGUMENTS_MAX)


def line_of(
    transforms: Sequence[Transform],
    event: Event,
    sent: bytes,
    context: bytes,
    read: Read,
    *,
    enriched: Event | None,
) -> bytes:
    """An event's line of the view. read: what has made its value of its bytes and context, as a
    Reader's. Raises whatever a transform raises, Unusable, and TypeError when a result is no JSON.
    """
    before = event.copy()  # of the first level: what a mutation below it changes is found out below
    found: object = event
    for one in transforms:
        if type(found) is dict:  # nearly always; and a call for each event costs as much as this
            found = one.function(found, enriched) if one.takes_enriched else one.function(found)
            if type(found) is not dict:
                found = _checked(found)
        else:
            found = _applied(one, found, enriched)
    line = orjson.dumps(found)
    # Most clients send compact JSON, as this one is; the others' is read again to be compared.
    if found == before and (line == sent or read(sent, context) == found):
        return AS_SENT
    if len(line) > LINE_BYTES_MAX:
        raise Unusable(f"{len(line)} bytes: at most {LINE_BYTES_MAX}")
    kept = shortened(line, sent)
    # orjson's own result keeps the buffer that it grew in, up to 32 times its bytes.
    return bytes(memoryview(kept)) if kept is line else kept


def _applied(one: Transform, found: object, enriched: Event | None) -> object:
    if type(found) is list:
        parts = [_applied(one, part, enriched) for part in found]
        flat = [each for part in parts for each in (part if type(part) is list else [part])]
        return _checked_list([part for part in flat if part is not None])
    if found is None:
        return None
    return _checked(one.function(found, enriched) if one.takes_enriched else one.function(found))


def _checked(given: object) -> object:
    if type(given) is dict or given is None:
        return given
    if type(given) is list:
        return _checked_list(given)
    raise Unusable(f"returned {type(given).__name__}: expected an event, a list of events or None")


def _checked_list(parts: list[Any]) -> list[Any]:
    for part in parts:
        if type(part) is not dict:
            raise Unusable(f"returned {type(part).__name__} in a list: expected events")
    if len(parts) > PARTS_MAX:
        raise Unusable(f"made {len(parts)} of one event: at most {PARTS_MAX}")
    return parts


def reason_of(error: Exception) -> str:
    """What is wrong and where on the first line, which is the same for events that fail alike; then
    the traceback, of bounded length."""
    place = _innermost(error.__traceback__)
    text = f"{type(error).__name__}: {error}".replace("\n", " ")[:LINE_CHARS_MAX]
    trace = "".join(traceback.format_exception(error, limit=-8))
    reason = f"{text}{place}\n{trace[-REASON_CHARS_MAX:]}"
    return reason.encode(errors="replace").decode()  # there may be half a surrogate pair


def _innermost(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace, limit=-1)
    return "".join(f" in {one.name} ({Path(one.filename).name}:{one.lineno})" for one in frames)

"""The processor's half of every format whose events are JSON objects."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from eventstore.event import FIELDS
from eventstore.formats.format import Fields, Read, Reader, Run

AT_ONCE_MIN = 1000  # of fewer, one at a time is as fast
# RecursionError: data that nobody has called JSON may be nested however deep.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def fields(run: Run) -> list[Fields | str]:
    """Top-level fields, by the endpoint's own names."""
    return decoded(_decoder(tuple({**FIELDS, **run.names}.values())), run)


def columns(run: Run) -> Read | None:
    """The same, where that goes at once."""
    if run.lengths is not None or run.count < AT_ONCE_MIN:
        return None
    from eventstore.formats import json_columns  # only processors carry Arrow

    return json_columns.read(run)


def decoded(decoder: msgspec.json.Decoder[Any], run: Run) -> list[Any]:
    """Each event as the decoder reads it; a text says why that event can't be read."""
    if run.lengths is None:
        try:
            found: list[Any] = decoder.decode_lines(run.block)
            if len(found) == run.count:
                return found
        except UNREADABLE:
            pass  # one of them is unusable: which one is found out below
    return [_one(decoder, event) for event in run.events()]


def value(event: bytes, _context: bytes) -> dict[str, Any]:
    """The object itself. ValueError when it is none."""
    found = orjson.loads(event)
    if type(found) is not dict:
        raise ValueError("not a JSON object")
    return found


def values(events: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """The same of some of them at once; None when one of them is none."""
    try:
        found: list[Any] = orjson.loads(b"[%b]" % b",".join(events))
    except ValueError:
        return None
    return found if len(found) == len(events) and set(map(type, found)) == {dict} else None


def _one(decoder: msgspec.json.Decoder[Any], event: bytes) -> Any:
    try:
        return decoder.decode(event)
    except UNREADABLE as error:
        return f"not_json: {error}"


@lru_cache(maxsize=256)
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    columns = [(name, Any, None) for name in FIELDS]
    renamed = dict(zip(FIELDS, names, strict=True))
    fields = msgspec.defstruct(
        "Fields", columns, rename=renamed, namespace={"ago_ms": None}, gc=False
    )
    return msgspec.json.Decoder(fields)


READER = Reader(fields, value, columns, values)

"""application/x-www-form-urlencoded: the whole body is one event.

Read as the URL Standard says: an escape that is none (`100%`) stands for itself. Other than there,
texts must be UTF-8.
"""

import re
from typing import Any

from eventstore.errors import Refused
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent
from eventstore.formats.json_body import block_of
from eventstore.formats.texts import fields_of, texts_by_name

FIELDS_MAX = 1000
ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})++")


def read(sent: Sent, _limits: Limits) -> Events:
    """The body, exactly as it was sent."""
    if sent.body.lstrip()[:1] in (b"{", b"["):  # what curl -d sends without a Content-Type
        raise _not_form("this is JSON", "send it with Content-Type: application/json")
    return one_event(sent.body)


def one_event(text: bytes) -> Events:
    """A form as an event; raises Refused when it is none."""
    if text.count(b"&") >= FIELDS_MAX:
        raise Refused(
            413, "too_many_fields", f"more than {FIELDS_MAX} fields", "send fewer, or send JSON"
        )
    try:
        found = value(text, b"")
    except ValueError as error:
        raise _not_form(f"it is not UTF-8: {error}", "encode it as browsers do") from None
    if not found:
        raise Refused(400, "empty", "there is no field in it", "send at least one name=value")
    return block_of([text])


def fields(run: Run) -> list[Fields | str]:
    """Of the form's fields, by the endpoint's own names."""
    return [fields_of(value(event, b""), run.names) for event in run.events()]


def value(event: bytes, _context: bytes) -> dict[str, Any]:
    """Name → text, or a list of texts where a name is there several times."""
    found: dict[str, list[str]] = {}
    for field in filter(None, event.split(b"&")):
        name, _, text = field.partition(b"=")
        found.setdefault(_decoded(name), []).append(_decoded(text))
    return texts_by_name(found)


def few(text: bytes, fields_max: int) -> dict[str, str]:
    """Name → its last text. ValueError when it is not UTF-8, or has more fields."""
    if text.count(b"&") >= fields_max:
        raise ValueError(f"more than {fields_max} fields")
    found = value(text, b"")
    return {name: one if isinstance(one, str) else one[-1] for name, one in found.items()}


def _decoded(text: bytes) -> str:
    # urllib's own takes 80 bytes of memory for each byte of a body that is all escapes.
    return ESCAPES.sub(_unescaped, text.replace(b"+", b" ")).decode()


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[0].replace(b"%", b"").decode())


def _not_form(why: str, next_step: str) -> Refused:
    return Refused(400, "not_form", f"the form cannot be read: {why}"[:300], next_step)


FORMAT = Format(read, stored_as="form")
READER = Reader(fields, value)

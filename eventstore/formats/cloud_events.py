"""CloudEvents 1.0 over HTTP, in its three modes.

structured, batch: an event is the JSON object, as for JSON. binary: the event is the data, of any
content type, and its context are the headers with the attributes, as they came.
"""

from typing import Annotated, Literal

import msgspec

from eventstore.errors import Refused
from eventstore.event import divided
from eventstore.formats import json_body
from eventstore.formats.checks import check_depth, loads
from eventstore.formats.cloud_event_fields import (
    PREFIX,
    TYPE_HEADER,
    attributes_of,
    may_be_json,
    media_type,
)
from eventstore.formats.format import Events, Format, Limits, Sent

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
VERSION_HEADER = "ce-specversion"
HEADERS = f"the {PREFIX} headers"
WHITE_SPACE = b" \t\r\n"

Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Required(msgspec.Struct, gc=False):
    id: Text
    source: Text
    type: Text
    specversion: Literal["1.0"]


REQUIRED = msgspec.json.Decoder(_Required)


def read(sent: Sent, limits: Limits) -> Events:
    """By the mode that the Content-Type says."""
    kind = media_type(sent.headers.get("Content-Type", ""))
    if kind == BATCH:
        return _batch(sent, limits)
    if kind == STRUCTURED:
        return _structured(sent, limits)
    if kind.startswith("application/cloudevents"):
        raise Refused(
            415,
            "content_type",
            f"{kind[:100]!r} is not taken",
            f"send {STRUCTURED}, {BATCH}, or the data with {HEADERS}",
        )
    return _binary(sent, limits)


def _structured(sent: Sent, limits: Limits) -> Events:
    if sent.body.lstrip(WHITE_SPACE).startswith(b"["):
        raise Refused(400, "not_an_object", "the event is an array", f"send it as {BATCH}")
    events = json_body.read(sent, limits)
    _check(events.block, "the event")
    return events


def _batch(sent: Sent, limits: Limits) -> Events:
    text = sent.body.strip(WHITE_SPACE)
    if text.startswith(b"{"):
        raise Refused(400, "not_an_array", "the batch is an object", f"send it as {STRUCTURED}")
    if text[:1] + text[1:-1].strip(WHITE_SPACE) + text[-1:] == b"[]":
        return Events(b"", 0)  # the specification allows a batch without events
    events = json_body.read(sent, limits)
    for index, event in enumerate(divided(events.block, events.lengths)):
        _check(event, f"event {index}")
    return events


def _binary(sent: Sent, limits: Limits) -> Events:
    given = [(name.lower(), text) for name, text in sent.headers.items()]
    kept = [(name, text) for name, text in given if name.startswith(PREFIX) or name == TYPE_HEADER]
    headers = dict(kept)
    if len(headers) != len(kept):
        raise _no_cloudevent(HEADERS, "one of them is there twice")
    content_type = headers.get(TYPE_HEADER, "")
    try:
        context = msgspec.json.encode(headers)
        attributes = msgspec.json.encode(attributes_of(context))
    except UnicodeError:
        raise _no_cloudevent(HEADERS, "they are not percent-encoded UTF-8") from None
    _check(attributes, HEADERS)
    if sent.body and content_type and may_be_json(content_type):
        loads(sent.body, "the data")
        check_depth(sent.body, 1, limits.depth_max)
    block = json_body.block_of([sent.body])
    return Events(block.block, 1, block.lengths, ((1, context),))


def _check(attributes: bytes, where: str) -> None:
    try:
        REQUIRED.decode(attributes)
    except msgspec.ValidationError as error:
        raise _no_cloudevent(where, str(error)) from None


def _no_cloudevent(where: str, why: str) -> Refused:
    return Refused(
        400,
        "not_a_cloudevent",
        f"{where}: {why}"[:300],
        "send id, source, type and specversion 1.0, as CloudEvents 1.0 says",
    )


FORMAT = Format(read, stored_as="cloudevents")

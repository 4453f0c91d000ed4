"""Segment's HTTP tracking API, as its libraries send it: /v1/batch, and a path for each call.

Success is exactly 200; errors are {"code", "message"}, and 429 and 5xx are sent again.
"""

from typing import Any

import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats.enveloped import Other, bare, opened, said_of, text_at, value
from eventstore.formats.format import (
    JSON,
    Answer,
    Events,
    Fields,
    Format,
    Limits,
    Reader,
    Receipt,
    Run,
    Sent,
    basic_user,
)
from eventstore.formats.json_fields import decoded

CALLS = ("track", "identify", "page", "screen", "group", "alias")
# The browser's library says the call by its first letter.
CALL_OF = {f"/v1/{name}": call for call in CALLS for name in (call, call[0])}
BATCHES = ("/v1/batch", "/v1/import", "/v1/b")
OURS = ("batch", "sentAt", "writeKey")


def read(sent: Sent, limits: Limits) -> Events:
    """The elements of `batch`; or the body itself, which is one call."""
    if sent.path in CALL_OF:
        envelope = bare(sent.body, limits)
        one = envelope.values[0]
        sent_at = one.get("sentAt") if type(one) is dict else None
        return envelope.events(limits, context={"type": CALL_OF[sent.path]}, sent_at=sent_at)
    envelope = opened(sent.body, "batch", limits)
    sent_at = envelope.said.get("sentAt")
    return envelope.events(limits, context=envelope.rest(OURS), sent_at=sent_at)


def answer(_sent: Sent, _receipt: Receipt, _events: Events) -> Answer:
    """What its libraries look for."""
    return Answer(200, b'{"success":true}')


def refuse(_sent: Sent, refused: Refused) -> Answer:
    """Without both of code and message its libraries take a refusal for a fault of the network."""
    said = {"code": refused.code, "message": f"{refused.reason}: {refused.next_step}"}
    return Answer(refused.status, orjson.dumps(said), JSON)


def key(sent: Sent) -> str | None:
    """Basic `writeKey:`, otherwise the body's own writeKey."""
    return basic_user(sent) or text_at(sent.body, "writeKey")


FORMAT = Format(
    read,
    stored_as="segment",
    paths=(*BATCHES, *CALL_OF),
    answer=answer,
    refuse=refuse,
    key=key,
)


class _Page(msgspec.Struct, gc=False):
    url: Any = None
    referrer: Any = None


class _Context(msgspec.Struct, gc=False, rename="camel"):
    user_agent: Any = None
    ip: Any = None
    page: _Page | Other = None


class _Call(msgspec.Struct, gc=False, rename="camel"):
    type: Any = None
    message_id: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    event: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    context: _Context | Other = None


CALL = msgspec.json.Decoder(_Call)
NO_CONTEXT, NO_PAGE = _Context(), _Page()


def fields(run: Run) -> list[Fields | str]:
    """A call's own context counts before the batch's."""
    said = msgspec.convert(said_of(run.context), _Call)
    return [one if type(one) is str else _fields(one, said) for one in decoded(CALL, run)]


def _fields(call: _Call, said: _Call) -> Fields:
    context = call.context if type(call.context) is _Context else said.context
    context = context if type(context) is _Context else NO_CONTEXT
    page = context.page if type(context.page) is _Page else NO_PAGE
    return Fields(
        client_id=call.message_id,
        name=call.event or call.type or said.type,
        time=call.timestamp or call.original_timestamp,
        user_agent=context.user_agent,
        url=page.url,
        referrer=page.referrer,
        user=call.user_id or call.anonymous_id,
        address=context.ip,
    )


READER = Reader(fields, value)

"""PostHog's capture API, as its libraries send it: /batch/, and what posthog-js sends from pages.

Overload is 503: posthog-js sends nothing again after a 4xx, not even after a 429.
"""

import re
import zlib
from base64 import b64decode
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats import form
from eventstore.formats.enveloped import Envelope, Other, bare, opened, parsed, text_at, value
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
    header_key,
)
from eventstore.formats.json_fields import decoded
from eventstore.times import NUMBER_MAX

ANALYTICS = "/i/v1/analytics/events"  # answers for each event; no answer for one: it was taken
WITH_OR_WITHOUT_SLASH = ("/batch", "/capture", "/e", "/i/v0/e")
PATHS = (
    *WITH_OR_WITHOUT_SLASH,
    *(f"{path}/" for path in WITH_OR_WITHOUT_SLASH),
    "/i/v0/ai/batch/",
    ANALYTICS,
)
OURS = ("api_key", "token", "sent_at", "sentAt")
FIELDS_MAX = 8
UNPACKED_BYTES_MAX = 16 << 20  # while looking for the key
SENT_AT = ("sent_at", "sentAt")
SENT_AT_QUERY = re.compile(r"(?:^|&)(?:_|sent_at)=([0-9]{13})(?:&|$)")
GZIP = 16 + zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
KINDS = {400: "validation_error", 401: "authentication_error"}


def read(sent: Sent, limits: Limits) -> Events:
    """The elements of `batch`; from a page also an array of events, or one."""
    envelope = _envelope(_unwrapped(sent, limits.bytes_max), limits)
    said = envelope.said
    sent_at = next((said[name] for name in SENT_AT if said.get(name)), _sent_at_of(sent.query))
    return envelope.events(limits, context=envelope.rest(OURS), sent_at=sent_at)


def _sent_at_of(query: str) -> int | None:
    """What posthog-js says of it: in the query, in milliseconds."""
    found = SENT_AT_QUERY.search(query)
    return int(found[1]) if found else None


def _envelope(body: bytes, limits: Limits) -> Envelope:
    _, whole = parsed(body)
    if type(whole) is dict and "event" not in whole:
        return opened(body, "batch", limits)
    envelope = bare(body, limits)
    first = envelope.values[0]  # of an array each says the same
    if type(first) is dict:
        return replace(envelope, said={name: first[name] for name in SENT_AT if name in first})
    return envelope


def _unwrapped(sent: Sent, bytes_max: int) -> bytes:
    """posthog-js compresses by itself, and says so in the query at most; where it can't, it sends
    a form with base64."""
    body = sent.body
    if body.startswith(GZIP_MAGIC):
        return _gunzip(body, bytes_max)
    if not body.startswith(b"data="):
        return body
    try:
        return b64decode(form.few(body, FIELDS_MAX)["data"], validate=True)
    except (ValueError, KeyError) as error:
        raise Refused(400, "not_base64", f"data is no base64: {error}", "send JSON") from None


def _gunzip(body: bytes, bytes_max: int) -> bytes:
    unpacking = zlib.decompressobj(GZIP)
    try:
        text = unpacking.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise Refused(400, "bad_gzip", f"the gzip body is unusable: {error}", "send JSON") from None
    if len(text) > bytes_max:
        raise Refused(
            413,
            "too_large",
            f"the body unpacks to more than {bytes_max} bytes",
            "send fewer events",
        )
    if not unpacking.eof:
        raise Refused(400, "bad_gzip", "the gzip body is cut short", "send the whole body")
    if unpacking.unused_data:
        raise Refused(400, "bad_gzip", "the gzip body goes on after its end", "send one stream")
    return text


def answer(sent: Sent, _receipt: Receipt, _events: Events) -> Answer:
    """What its libraries look for."""
    return Answer(200, b'{"results":{}}' if sent.path == ANALYTICS else b'{"status":"Ok"}')


def refuse(_sent: Sent, refused: Refused) -> Answer:
    """In the words of its API; overload as what all of its libraries send again."""
    status = 503 if refused.status == 429 else refused.status
    said = {
        "type": KINDS.get(status, "server_error" if status >= 500 else "invalid_request"),
        "code": refused.code,
        "detail": f"{refused.reason}: {refused.next_step}",
        "attr": None,
    }
    return Answer(status, orjson.dumps(said), JSON)


def key(sent: Sent) -> str | None:
    """Bearer, otherwise api_key or token in the body; a page's library puts it in the event."""
    return header_key(sent) or _key_in(sent)


def _key_in(sent: Sent) -> str | None:
    try:
        body = _unwrapped(sent, UNPACKED_BYTES_MAX).strip()
        if body.startswith(b"["):
            body = bytes(msgspec.json.decode(body, type=list[msgspec.Raw])[0])
    except (Refused, msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        return None
    return (
        text_at(body, "api_key") or text_at(body, "token") or text_at(body, "properties", "token")
    )


FORMAT = Format(read, stored_as="posthog", paths=PATHS, answer=answer, refuse=refuse, key=key)


class _Properties(msgspec.Struct, gc=False):
    distinct_id: Any = None
    url: Any = msgspec.field(default=None, name="$current_url")
    referrer: Any = msgspec.field(default=None, name="$referrer")
    session: Any = msgspec.field(default=None, name="$session_id")
    user_agent: Any = msgspec.field(default=None, name="$raw_user_agent")
    address: Any = msgspec.field(default=None, name="$ip")


class _Event(msgspec.Struct, gc=False):
    uuid: Any = None
    event: Any = None
    timestamp: Any = None
    distinct_id: Any = None
    session_id: Any = None
    offset: Any = None
    properties: _Properties | Other = None


EVENT = msgspec.json.Decoder(_Event)
NO_PROPERTIES = _Properties()


def fields(run: Run) -> list[Fields | str]:
    """An event's own members, and what its libraries put among its properties."""
    return [one if type(one) is str else _fields(one) for one in decoded(EVENT, run)]


def _fields(event: _Event) -> Fields:
    found = event.properties if type(event.properties) is _Properties else NO_PROPERTIES
    return Fields(
        client_id=event.uuid,
        name=event.event,
        time=event.timestamp,
        user_agent=found.user_agent,
        url=found.url,
        referrer=found.referrer,
        user=event.distinct_id or found.distinct_id,
        session=event.session_id or found.session,
        address=found.address,
        ago_ms=_offset(event.offset),
    )


def _offset(value: object) -> float | None:
    """posthog-js states no times, but how long ago it was, in milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < NUMBER_MAX else None


READER = Reader(fields, value)

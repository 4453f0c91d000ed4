"""Amplitude's HTTP API: /2/httpapi and /batch. Its clients divide a batch after a 413, and send
everything again after a 429 or 5xx, what is named as throttled later than the rest.

After any other 4xx they drop what it names: all of it when a field is missing in the request, or
else those events that are named by their places, and the rest is sent again. So none of the rest is
taken; what was named is not sent again, and becomes dead letters.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats.enveloped import opened, text_at, value
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
)
from eventstore.formats.json_fields import decoded

INVALID_KEY = "Invalid API key: "  # what its clients look for, to stop
OURS = ("api_key", "client_upload_time")


def read(sent: Sent, limits: Limits) -> Events:
    """The elements of `events`; when some of them can't be used, only these."""
    envelope = opened(sent.body, "events", limits)
    sent_at = envelope.said.get("client_upload_time")
    context = envelope.rest(OURS)
    return envelope.only_unusable(limits, context=context, sent_at=sent_at) or envelope.events(
        limits, context=context, sent_at=sent_at
    )


def answer(sent: Sent, receipt: Receipt, events: Events) -> Answer:
    """How many were taken, out of how many bytes, when; or which ones can't be."""
    if events.places:
        reason = events.refused[0].partition(": ")[2]
        why = f"{reason}: this and others like it are kept as dead letters, send the rest again"
        return _invalid(400, why, None, events.places)
    said = {
        "code": 200,
        "events_ingested": receipt.accepted,
        "payload_size_bytes": len(sent.body),
        "server_upload_time": sent.received_at_ms,
    }
    return Answer(200, orjson.dumps(said))


def refuse(_sent: Sent, refused: Refused) -> Answer:
    """{"code", "error"}, and the members that its clients look into."""
    why = f"{refused.reason}: {refused.next_step}"
    if refused.status in (400, 404, 405, 415):
        return _invalid(refused.status, why, "events")
    if refused.status == 401:
        return _invalid(401, f"{INVALID_KEY}{why}", "api_key")
    said: dict[str, Any] = {"code": refused.status, "error": why}
    if refused.status == 429:
        # Nobody in particular: its clients then send all of the request's events again.
        said |= {"eps_threshold": 0, "throttled_devices": {}, "throttled_users": {}}
        said |= {"throttled_events": []}
    return Answer(refused.status, orjson.dumps(said), JSON)


def _invalid(status: int, why: str, missing: str | None, places: Sequence[int] = ()) -> Answer:
    """missing: names a field for whose lack all of the request is given up."""
    said = {
        "code": status,
        "error": why,
        "missing_field": missing,
        "events_with_invalid_fields": {"event": places} if places else {},
        "events_with_missing_fields": {},
    }
    return Answer(status, orjson.dumps(said), JSON)


def key(sent: Sent) -> str | None:
    """The body's api_key."""
    return text_at(sent.body, "api_key")


FORMAT = Format(
    read,
    stored_as="amplitude",
    paths=("/2/httpapi", "/batch"),
    answer=answer,
    refuse=refuse,
    key=key,
)


class _Event(msgspec.Struct, gc=False):
    insert_id: Any = None
    event_type: Any = None
    time: Any = None
    user_id: Any = None
    device_id: Any = None
    session_id: Any = None
    user_agent: Any = None
    ip: Any = None


EVENT = msgspec.json.Decoder(_Event)
FROM_REQUEST = "$remote"  # stands for the address that the request comes from


def fields(run: Run) -> list[Fields | str]:
    """An event's own members."""
    return [one if type(one) is str else _fields(one) for one in decoded(EVENT, run)]


def _fields(event: _Event) -> Fields:
    return Fields(
        client_id=event.insert_id,
        name=event.event_type,
        time=event.time,
        user_agent=event.user_agent,
        user=event.user_id or event.device_id,
        session=str(event.session_id) if type(event.session_id) is int else event.session_id,
        address=None if event.ip == FROM_REQUEST else event.ip,
    )


READER = Reader(fields, value)

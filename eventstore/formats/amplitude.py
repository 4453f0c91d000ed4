"""Amplitude's HTTP API: /2/httpapi and /batch. Its clients divide a batch after a 413, and send
everything again after a 429 or 5xx, what is named as throttled later than the rest."""

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

OURS = ("api_key", "client_upload_time")


def read(sent: Sent, limits: Limits) -> Events:
    """The elements of `events`."""
    envelope = opened(sent.body, "events", limits)
    said = envelope.said
    context = {name: said[name] for name in said if name not in OURS}
    return envelope.events(limits, context=context, sent_at=said.get("client_upload_time"))


def answer(sent: Sent, receipt: Receipt, events: Events) -> Answer:
    """How many were taken, out of how many bytes, when."""
    said = {
        "code": 200,
        "events_ingested": receipt.accepted - len(events.refused),
        "payload_size_bytes": len(sent.body),
        "server_upload_time": sent.received_at_ms,
    }
    return Answer(200, orjson.dumps(said))


def refuse(_sent: Sent, refused: Refused) -> Answer:
    """{"code", "error"}, and the members that its clients look into."""
    said: dict[str, Any] = {
        "code": refused.status,
        "error": f"{refused.reason}: {refused.next_step}",
    }
    if refused.status == 429:
        # Nobody in particular: its clients then send all of the request's events again.
        said |= {"eps_threshold": 0, "throttled_devices": {}, "throttled_users": {}}
        said |= {"throttled_events": []}
    elif refused.status == 400:
        said |= {"missing_field": "events" if refused.code == "no_events" else None}
        said |= {"events_with_invalid_fields": {}, "events_with_missing_fields": {}}
    return Answer(refused.status, orjson.dumps(said), JSON)


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

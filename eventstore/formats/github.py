"""GitHub's webhooks: one event a request, as JSON or as the form that GitHub sends on demand.

The event is the body. Its context are the delivery, which is the client's own id (a redelivery has
it again), and the kind of event; GitHub sends them as headers.
"""

import re
from typing import Any

import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats import form, json_body
from eventstore.formats.checks import check_depth, check_objects, loads
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent

DELIVERY, EVENT = "X-GitHub-Delivery", "X-GitHub-Event"
TOKEN = re.compile(r"[!-~]{1,100}")


def read(sent: Sent, limits: Limits) -> Events:
    """The body, exactly as it was sent."""
    context = msgspec.json.encode({"id": _header(sent, DELIVERY), "type": _header(sent, EVENT)})
    body = sent.body.strip()
    if not body:
        raise Refused(400, "empty", "the body is empty", "send the event's payload")
    try:
        payload = _payload(body)
    except (ValueError, KeyError):
        raise Refused(
            400, "not_form", "this is neither JSON nor a form", "send the payload as GitHub does"
        ) from None
    check_objects([loads(payload, "the payload")], limits)
    check_depth(payload, 1, limits.depth_max)
    block = json_body.block_of([sent.body])
    return Events(block.block, 1, block.lengths, ((1, context),))


def fields(run: Run) -> list[Fields | str]:
    """The delivery, the kind of event, and who did it."""
    return [_fields(value(event, run.context)) for event in run.events()]


def value(event: bytes, context: bytes) -> dict[str, Any]:
    """{"id": the delivery, "type": the kind of event, "payload": the body's object}."""
    return {**orjson.loads(context), "payload": orjson.loads(_payload(event.strip()))}


def _fields(found: dict[str, Any]) -> Fields:
    sender = found["payload"].get("sender")
    user = sender.get("login") if isinstance(sender, dict) else None
    return Fields(found["id"], found["type"], user=user)


def _payload(body: bytes) -> bytes:
    """Of a form the field `payload`; JSON never begins like it."""
    if not body.startswith(b"payload="):
        return body
    payload = form.value(body, b"")["payload"]
    if not isinstance(payload, str):
        raise ValueError("several payloads")
    return payload.encode()


def _header(sent: Sent, name: str) -> str:
    text = sent.headers.get(name, "")
    if not TOKEN.fullmatch(text):
        raise Refused(400, "no_delivery", f"{name} is missing or none", "send it as GitHub does")
    return text


FORMAT = Format(read, stored_as="github")
READER = Reader(fields, value)

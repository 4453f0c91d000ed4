"""Stripe's webhooks: one event a request, a JSON object with Stripe's own names: `id`, `type` and
`created`, in seconds."""

from dataclasses import replace

from eventstore.errors import Refused
from eventstore.formats import json_body, json_fields
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent

NAMES = {"client_id": "id", "name": "type", "time": "created"}


def read(sent: Sent, limits: Limits) -> Events:
    """The object, exactly as it was sent."""
    if sent.body.lstrip().startswith(b"["):
        raise Refused(400, "not_an_object", "this is an array", "send one event a request")
    return json_body.read(sent, limits)


def fields(run: Run) -> list[Fields | str]:
    """By Stripe's names: they are not the endpoint's to choose."""
    return json_fields.fields(replace(run, names=NAMES))


FORMAT = Format(read, stored_as="stripe")
READER = Reader(fields, json_fields.value)

"""`events show ID`: one event, with its envelope, its enrichment and its payload."""

import argparse
import base64
import json
from typing import Any

from eventstore.event import EventId
from eventstore.query.read import open_reader
from eventstore.settings import Settings
from eventstore.tools.tool import NotFound, Tool, print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="an event's id: PACK:INDEX")


def run(given: argparse.Namespace, settings: Settings) -> int:
    event_id = EventId.parse(given.id)
    reader = open_reader(settings.data, settings)
    try:
        event = reader.event(event_id)
        if event is None:
            raise NotFound(f"{event_id} is not stored: `events trace {event_id}` tells where it is")
        found = {
            "envelope": reader.envelope(event_id),
            "enrichment": reader.enrichment(event_id),
            **_payload(event.body),
        }
    finally:
        reader.close()
    if given.json:
        print_json(found)
    else:
        print("\n".join(_lines(found)))
    return 0


def _payload(body: bytes) -> dict[str, str]:
    """As it was sent: text, or base64 of what is no text."""
    try:
        return {"payload": body.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(body).decode()}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for part, value in found.items():
        lines.append(part)
        if isinstance(value, dict):
            lines += [f"  {name:<12} {_text(one)}" for name, one in value.items()]
        else:
            lines.append(f"  {value}")
    return lines


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


TOOL = Tool(
    "One event: its envelope, what enrichment found out, and what was sent.",
    arguments,
    run,
    ("show 01a20e27-eb53-77f8-851b-06709ece835a:0",),
)

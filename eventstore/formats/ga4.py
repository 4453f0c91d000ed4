"""Google Analytics 4's Measurement Protocol: /mp/collect, and /debug/mp/collect, which only checks.

Its senders never learn from /mp/collect what was wrong: the answer to bad input is 204 like any
other. Only what is our own trouble (429, 5xx) is said. Events have no id of their own: what is sent
twice is there twice.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats.enveloped import Other, opened, said_of, value
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

DEBUG = "/debug/mp/collect"
BODY_BYTES_MAX = 130_000
EVENTS_MAX = 25
PARAMS_MAX = 25
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
NOTHING = Events(b"", 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """One of the validation messages: where, what, and its code."""

    path: str
    description: str
    code: str

    def to_json(self) -> dict[str, str]:
        return {
            "fieldPath": self.path,
            "description": self.description,
            "validationCode": self.code,
        }


def read(sent: Sent, limits: Limits) -> Events:
    """The elements of `events`; none to be checked only, what `answer` then does."""
    if sent.path == DEBUG:
        return NOTHING
    _refuse_large(sent)
    envelope = opened(sent.body, "events", limits)
    said = envelope.said
    for problem in _problems(said, envelope.values):
        raise Refused(400, problem.code.lower(), problem.description, f"correct {problem.path}")
    return envelope.events(limits, context=said)


def answer(sent: Sent, _receipt: Receipt, _events: Events) -> Answer:
    """204; to be checked only, 200 with what is wrong."""
    if sent.path != DEBUG:
        return Answer(204, b"")
    return _validation(problems_of(sent))


def refuse(sent: Sent, refused: Refused) -> Answer:
    """Bad input is not spoken of, except where that was asked for."""
    if refused.status == 429 or refused.status >= 500:
        return Answer(refused.status, orjson.dumps({"error": refused.reason}), JSON)
    if sent.path != DEBUG:
        return Answer(204, b"")
    return _validation([Problem("", refused.reason, "INTERNAL_ERROR")])


def _validation(problems: list[Problem]) -> Answer:
    return Answer(200, orjson.dumps({"validationMessages": [one.to_json() for one in problems]}))


def problems_of(sent: Sent) -> list[Problem]:
    """All that is wrong with a request, as /debug/mp/collect says it."""
    try:
        _refuse_large(sent)
        # The bounds of this protocol are stricter than any of ours.
        envelope = opened(sent.body, "events", Limits(64, BODY_BYTES_MAX, BODY_BYTES_MAX))
    except Refused as refused:
        where = "events" if refused.code in ("no_events", "empty") else ""
        return [Problem(where, refused.reason, "VALUE_INVALID")]
    found = _problems(envelope.said, envelope.values)
    for index, event in enumerate(envelope.values):
        found += _event_problems(event, f"events[{index}]")
    return found


def _refuse_large(sent: Sent) -> None:
    if len(sent.body) > BODY_BYTES_MAX:
        raise Refused(
            413, "too_large", f"the body is larger than {BODY_BYTES_MAX} bytes", "send fewer events"
        )


def _problems(said: dict[str, Any], events: list[Any]) -> list[Problem]:
    """What makes the whole request unusable."""
    found = []
    if not any(isinstance(said.get(name), str) and said[name] for name in CLIENTS):
        found.append(
            Problem("client_id", "client_id or app_instance_id: expected text", "VALUE_REQUIRED")
        )
    if len(events) > EVENTS_MAX:
        found.append(
            Problem(
                "events", f"{len(events)} events: at most {EVENTS_MAX}", "EXCEEDED_MAX_ENTITIES"
            )
        )
    return found


def _event_problems(event: Any, path: str) -> list[Problem]:
    """What makes one event unusable in their reports; here it is kept as it is."""
    if type(event) is not dict:
        return [Problem(path, "an event is a JSON object", "VALUE_INVALID")]
    found = []
    name = event.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        found.append(
            Problem(
                f"{path}.name",
                "a name begins with a letter, and has at most 40 letters, digits and underscores",
                "NAME_INVALID",
            )
        )
    params = event.get("params", {})
    if type(params) is not dict:
        found.append(Problem(f"{path}.params", "params are a JSON object", "VALUE_INVALID"))
    elif len(params) > PARAMS_MAX:
        found.append(
            Problem(
                f"{path}.params",
                f"{len(params)} parameters: at most {PARAMS_MAX}",
                "EXCEEDED_MAX_ENTITIES",
            )
        )
    return found


def key(sent: Sent) -> str | None:
    """The query's api_secret."""
    try:
        return parse_qs(sent.query, max_num_fields=16).get("api_secret", [None])[-1]
    except ValueError:
        return None


CLIENTS = ("client_id", "app_instance_id")
FORMAT = Format(
    read, stored_as="ga4", paths=("/mp/collect", DEBUG), answer=answer, refuse=refuse, key=key
)


class _Params(msgspec.Struct, gc=False):
    url: Any = msgspec.field(default=None, name="page_location")
    referrer: Any = msgspec.field(default=None, name="page_referrer")
    session_id: Any = None


class _Event(msgspec.Struct, gc=False):
    name: Any = None
    timestamp_micros: Any = None
    params: _Params | Other = None


EVENT = msgspec.json.Decoder(_Event)
NO_PARAMS = _Params()


def fields(run: Run) -> list[Fields | str]:
    """An event's own members; who it was, and otherwise when, its envelope says."""
    said = said_of(run.context)
    user = said.get("user_id") or said.get("client_id") or said.get("app_instance_id")
    micros, agent = said.get("timestamp_micros"), said.get("user_agent")
    shared = Fields(user=user, user_agent=agent, time=micros, address=said.get("ip_override"))
    return [one if type(one) is str else _fields(one, shared) for one in decoded(EVENT, run)]


def _fields(event: _Event, shared: Fields) -> Fields:
    found = event.params if type(event.params) is _Params else NO_PARAMS
    session = found.session_id
    return Fields(
        name=event.name,
        time=_ms(event.timestamp_micros or shared.time),
        user_agent=shared.user_agent,
        url=found.url,
        referrer=found.referrer,
        user=shared.user,
        session=str(session) if type(session) is int else session,
        address=shared.address,
    )


def _ms(micros: object) -> int | None:
    """Microseconds, also as text."""
    if type(micros) is str and micros.isascii() and micros.isdecimal() and len(micros) < 20:
        micros = int(micros)
    return micros // 1000 if type(micros) is int else None


READER = Reader(fields, value)

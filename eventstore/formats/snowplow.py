"""Snowplow's tracker protocol: payload_data by POST, one event in the query string by GET.

Its trackers never send again after 400, 401, 403, 410 or 422, and for ever after anything else: so
what can't be taken at all is 422. They know their visitors by a cookie of the collector's.
"""

import re
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid5

import msgspec
import orjson
from msgspec import structs

from eventstore.errors import Refused
from eventstore.formats.enveloped import opened, said_of
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
from eventstore.formats.json_fields import value as object_of
from eventstore.times import stated_ms

POST_PATH, GET_PATH = "/com.snowplowanalytics.snowplow/tp2", "/i"
SCHEMA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-"
PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
COOKIE, COOKIE_S = "sp", 365 * 86400
# Whatever else the domain's cookies are: http.cookies gives all of them up at one that is no token.
KNOWN = re.compile(
    rf'(?:^|;)[ \t]*{COOKIE}="?([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})\b',
    re.IGNORECASE,
)
ANONYMOUS = "SP-Anonymous"
VISITORS = UUID("6f2c1f0e-3d0b-5c8e-9a53-7b0f1f4e2d10")  # ours: what visitors' ids are made in
PARAMETERS_MAX = 200
SAID = frozenset({400, 401, 403, 408, 410, 422, 429})
# As Snowplow itself names what its trackers abbreviate.
NAMES = {
    "pv": "page_view",
    "pp": "page_ping",
    "se": "struct",
    "ue": "unstruct",
    "tr": "transaction",
    "ti": "transaction_item",
}


def read(sent: Sent, limits: Limits) -> Events:
    """The elements of `data`; by GET the query string itself."""
    events = _events(sent, limits)
    return structs.replace(events, anonymous=True) if ANONYMOUS in sent.headers else events


def _events(sent: Sent, limits: Limits) -> Events:
    if sent.method == "GET":
        parameters = _parameters(sent.query)
        if not parameters.get("e"):
            raise Refused(400, "no_event", "the query string names no event", "send e=pv&…")
        context = msgspec.json.encode({"query": True, **_visitor(sent, parameters)})
        query = sent.query.encode("utf-8", "surrogateescape")
        return Events(query, 1, contexts=((1, context),), sent_at_ms=_ms(parameters.get("stm")))
    envelope = opened(sent.body, "data", limits)
    schema = envelope.said.get("schema")
    if type(schema) is not str or not schema.startswith(SCHEMA):
        raise Refused(400, "schema", "the body is no payload_data", f"send schema: {SCHEMA}0-4")
    first = envelope.values[0] if type(envelope.values[0]) is dict else {}
    return envelope.events(limits, context=_visitor(sent, first), sent_at=_ms(first.get("stm")))


def _parameters(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, max_num_fields=PARAMETERS_MAX))
    except ValueError as error:
        raise Refused(400, "query", f"the query string: {error}", "send one event") from None


def _visitor(sent: Sent, first: dict[str, Any]) -> dict[str, str]:
    """The visitor's id: the cookie's, otherwise one made of the first event's, so that a retry
    makes the same; none where the tracker wants none."""
    if ANONYMOUS in sent.headers:
        return {}
    known = KNOWN.search(sent.headers.get("Cookie", ""))
    if known:
        return {"nuid": known[1].lower()}
    event_id = first.get("eid")
    return {"nuid": str(uuid5(VISITORS, event_id))} if event_id and type(event_id) is str else {}


def answer(sent: Sent, _receipt: Receipt, events: Events) -> Answer:
    """`ok`, by GET an image of one pixel; and the visitor's cookie for another year."""
    visitor = said_of(events.contexts[0][1]).get("nuid") if events.contexts else None
    headers = {"Access-Control-Allow-Credentials": "true"}
    if visitor:
        headers["Set-Cookie"] = (
            f"{COOKIE}={visitor}; Max-Age={COOKIE_S}; Path=/; SameSite=None; Secure; HttpOnly"
        )
    if sent.method == "GET":
        return Answer(200, PIXEL, "image/gif", {"Cache-Control": "no-store", **headers})
    return Answer(200, b"ok", "text/plain", headers)


def refuse(_sent: Sent, refused: Refused) -> Answer:
    """What its trackers would send again for ever, and in vain, is 422."""
    status = refused.status if refused.status in SAID or refused.status >= 500 else 422
    return Answer(status, orjson.dumps(refused.to_json()), JSON)


FORMAT = Format(
    read,
    stored_as="snowplow",
    paths=(POST_PATH, GET_PATH),
    methods=("POST", "GET"),
    answer=answer,
    refuse=refuse,
)


class _Event(msgspec.Struct, gc=False):
    eid: Any = None
    e: Any = None
    dtm: Any = None
    ttm: Any = None
    ua: Any = None
    url: Any = None
    refr: Any = None
    uid: Any = None
    duid: Any = None
    nuid: Any = None
    sid: Any = None
    ip: Any = None


EVENT = msgspec.json.Decoder(_Event)


def fields(run: Run) -> list[Fields | str]:
    """An event's own parameters; the visitor's cookie where it says nothing of who."""
    said = said_of(run.context)
    visitor = said.get("nuid")
    if said.get("query"):
        found: list[Any] = [msgspec.convert(_object(event), _Event) for event in run.events()]
    else:
        found = decoded(EVENT, run)
    return [one if type(one) is str else _fields(one, visitor) for one in found]


def _fields(event: _Event, visitor: str | None) -> Fields:
    return Fields(
        client_id=event.eid,
        name=NAMES.get(event.e, event.e) if type(event.e) is str else None,
        time=_ms(event.ttm or event.dtm),
        user_agent=event.ua,
        url=event.url,
        referrer=event.refr,
        user=event.uid or event.duid or event.nuid or visitor,
        session=event.sid,
        address=event.ip,
    )


def _ms(text: object) -> int | None:
    """All values of this protocol are texts; a time is milliseconds."""
    if type(text) is str and text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    return stated_ms(text)


def value(event: bytes, context: bytes) -> dict[str, Any]:
    """The parameters as an object, with the visitor's id."""
    said = said_of(context)
    found = _object(event) if said.get("query") else object_of(event, b"")
    return {"nuid": said["nuid"], **found} if "nuid" in said else found


def _object(query: bytes) -> dict[str, Any]:
    return dict(parse_qsl(query.decode("utf-8", "replace")))


READER = Reader(fields, value)

"""Mixpanel's ingestion API: /track and /engage (a form's `data`, or JSON), /import (JSON, NDJSON).

What it answers depends on the path and on `verbose`. Its clients send only 5xx again, so overload
is 503. /import says which events of a batch it refused, with 400, and takes the others.
"""

from base64 import b64decode
from typing import Any

import msgspec
import orjson

from eventstore.errors import Refused
from eventstore.formats import form
from eventstore.formats.checks import check_containers
from eventstore.formats.enveloped import (
    Envelope,
    Other,
    bare,
    check_count,
    parsed,
    text_at,
    value,
)
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

IMPORT = "/import"
PATHS = ("/track", "/engage", "/track/", "/engage/", IMPORT)  # with the slash from pages
NDJSON = ("application/x-ndjson", "application/ndjson")
FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 16
PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    503: "Service Unavailable",
}


def read(sent: Sent, limits: Limits) -> Events:
    """The object, or the array's elements, whatever they are wrapped in."""
    if _content_type(sent) in NDJSON:
        return _lines(sent.body, limits).events(limits, context={})
    return bare(_unwrapped(sent), limits).events(limits, context={})


def _lines(body: bytes, limits: Limits) -> Envelope:
    lines = [text for line in body.split(b"\n") if (text := line.strip())]
    check_count(lines, limits)
    check_containers(body)
    return Envelope({}, lines, [parsed(line)[1] for line in lines])


def _unwrapped(sent: Sent) -> bytes:
    if sent.body.lstrip()[:1] in (b"[", b"{"):
        return sent.body
    data = _form(sent).get("data", "")
    if data[:1] in ("[", "{"):
        return data.encode()
    try:
        return b64decode(data, validate=True)
    except ValueError as error:
        raise Refused(
            400, "not_json", f"data is neither JSON nor base64: {error}", "send data=[{…}]"
        ) from None


def _form(sent: Sent) -> dict[str, str]:
    try:
        return form.few(sent.body, FIELDS_MAX)
    except ValueError:
        return {}


def _content_type(sent: Sent) -> str:
    return sent.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def answer(sent: Sent, receipt: Receipt, events: Events) -> Answer:
    """`1`, or JSON where JSON is asked for, or for an import."""
    if _is_verbose(sent):
        return Answer(200, b'{"status":1,"error":null}')
    if sent.path != IMPORT:
        return Answer(200, b"1", "text/plain")
    taken = receipt.accepted - len(events.refused)
    if not events.refused:
        said = {"code": 200, "num_records_imported": taken, "status": "OK"}
        return Answer(200, orjson.dumps(said))
    said = {
        "code": 400,
        "error": "some data points in the request failed validation",
        "failed_records": [
            {"index": index, "$insert_id": "", "field": "", "message": why}
            for index, why in events.refused.items()
        ],
        "num_records_imported": taken,
        "status": PHRASES[400],
    }
    return Answer(400, orjson.dumps(said))


def refuse(sent: Sent, refused: Refused) -> Answer:
    """{"code", "error", "status"} for an import, {"status": 0, "error"} for the others."""
    status = 503 if refused.status == 429 else refused.status
    why = f"{refused.reason}: {refused.next_step}"
    said: dict[str, Any] = {"status": 0, "error": why}
    if sent.path == IMPORT:
        said = {"code": status, "error": why, "status": PHRASES.get(status, refused.code)}
    return Answer(status, orjson.dumps(said), JSON)


def _is_verbose(sent: Sent) -> bool:
    if "verbose=1" in sent.query.split("&"):
        return True
    return _content_type(sent) == FORM and _form(sent).get("verbose") == "1"


def key(sent: Sent) -> str | None:
    """Basic `secret:`, otherwise the token that its events carry; the first one counts."""
    if user := basic_user(sent):
        return user
    try:
        body = _unwrapped(sent).strip()
        if body.startswith(b"["):
            body = bytes(msgspec.json.decode(body, type=list[msgspec.Raw])[0])
    except (Refused, msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        return None
    return text_at(body, "properties", "token") or text_at(body, "$token")


FORMAT = Format(read, stored_as="mixpanel", paths=PATHS, answer=answer, refuse=refuse, key=key)


class _Properties(msgspec.Struct, gc=False):
    insert_id: Any = msgspec.field(default=None, name="$insert_id")
    time: Any = None
    distinct_id: Any = None
    user: Any = msgspec.field(default=None, name="$user_id")
    url: Any = msgspec.field(default=None, name="$current_url")
    referrer: Any = msgspec.field(default=None, name="$referrer")
    address: Any = msgspec.field(default=None, name="ip")


class _Event(msgspec.Struct, gc=False):
    event: Any = None
    properties: _Properties | Other = None
    distinct_id: Any = msgspec.field(default=None, name="$distinct_id")
    time: Any = msgspec.field(default=None, name="$time")
    address: Any = msgspec.field(default=None, name="$ip")


EVENT = msgspec.json.Decoder(_Event)
NO_PROPERTIES = _Properties()
PROFILE = "$engage"  # what an update of a profile is counted as: it names no event


def fields(run: Run) -> list[Fields | str]:
    """An event's properties; an update of a profile has its own members."""
    return [one if type(one) is str else _fields(one) for one in decoded(EVENT, run)]


def _fields(event: _Event) -> Fields:
    found = event.properties if type(event.properties) is _Properties else NO_PROPERTIES
    return Fields(
        client_id=found.insert_id,
        name=PROFILE if event.distinct_id and not event.event else event.event,
        time=found.time or event.time,
        url=found.url,
        referrer=found.referrer,
        user=found.user or found.distinct_id or event.distinct_id,
        address=found.address or event.address,
    )


READER = Reader(fields, value)

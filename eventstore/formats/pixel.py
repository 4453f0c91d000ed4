"""A pixel: GET, the query string is the event, the answer an image of one transparent pixel.

It is an image whatever happens: a page or a mail never shows a broken one. The status still tells
the truth, and since nobody reads the body of an image, the reason stands in a header.
"""

import json
from base64 import b64decode

from eventstore.errors import Refused
from eventstore.formats.form import one_event
from eventstore.formats.format import Answer, Events, Format, Limits, Receipt, Sent

GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
NEVER_CACHED = {"Cache-Control": "no-store"}


def read(sent: Sent, _limits: Limits) -> Events:
    """The query string, exactly as it was sent."""
    return one_event(sent.query.encode("utf-8", "surrogateescape"))


def answer(_sent: Sent, receipt: Receipt, _events: Events) -> Answer:
    """The image; the event's id in X-Event-Id, if there is one."""
    if not receipt.accepted:
        return _image(200, {})
    return _image(200, {"X-Event-Id": f"{receipt.pack_id}:{receipt.first}"})


def refuse(_sent: Sent, refused: Refused) -> Answer:
    """The image, with the refusal's status; its JSON in X-Refused."""
    return _image(refused.status, {"X-Refused": json.dumps(refused.to_json())})


def _image(status: int, headers: dict[str, str]) -> Answer:
    return Answer(status, GIF, "image/gif", {**NEVER_CACHED, **headers})


FORMAT = Format(read, stored_as="form", methods=("GET",), answer=answer, refuse=refuse)

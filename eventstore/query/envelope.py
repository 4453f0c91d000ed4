"""The envelope: what is known of one stored event, as CloudEvents 1.0 names it, and what is ours.

docs/wire-format.md has every attribute.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from eventstore.event import EventId
from eventstore.formats import READERS, Run
from eventstore.packing import Pack, Share
from eventstore.times import iso_time

SPEC_VERSION = "1.0"
# CloudEvents demands a type; an event that has no name gets this one.
UNNAMED = "event"
YEAR_10000_MS = 253_402_300_800_000
# What may stand in a URI reference as it is (RFC 3986): a source is one.
URI_SAFE = "/:?#[]@!$&'()*+,;=%-._~"


def envelope(
    pack: Pack, share: Share, index: int, event: bytes, columns: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Event `index` of a pack: event, its own bytes; share, what it shares; columns, the pack's
    decoded sidecar. None where something isn't known."""
    tags = pack.tags
    return {
        "specversion": SPEC_VERSION,
        "id": str(EventId(pack.id, index)),
        "source": quote(tags.get("source", ""), safe=URI_SAFE) or "/",
        "type": columns["name"][index] or UNNAMED,
        "time": iso_time(columns["time_ms"][index]),
        "received_at": iso_time(share.received_at_ms),
        "sent_at": _sent_at(share.sent_at_ms),
        "endpoint": tags.get("endpoint"),
        "tenant": tags.get("tenant"),
        "address": share.address or None,
        "user_agent": share.user_agent or None,
        "node": tags.get("node"),
        "role": tags.get("role"),
        "release": tags.get("release"),
        "protocol": pack.format,
        "traceparent": share.trace or None,
        "client_id": _client_id(pack, share, event),
        "pack": str(pack.id),
        "index": index,
    }


def _sent_at(sent_at_ms: int | None) -> str | None:
    """None, too, for what a sender's clock says that no calendar has."""
    if sent_at_ms is None or not 0 <= sent_at_ms < YEAR_10000_MS:
        return None
    return iso_time(sent_at_ms)


def _client_id(pack: Pack, share: Share, event: bytes) -> str | None:
    run = Run(event, 1, [len(event)], share.context, pack.names)
    (fields,) = READERS[pack.format].fields(run)
    if isinstance(fields, str) or not isinstance(fields.client_id, str):
        return None
    return fields.client_id or None

"""The demo's events: numbered, and the same bytes whenever they are asked for again.

An event is a pure function of the run, its number and its time. So the ledger keeps no bodies,
and the checker still compares every stored byte with what was sent.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

TYPES = ("page_view", "click", "search", "add_to_cart", "sign_in", "purchase")
EVENTS_A_REQUEST_MAX = 40
_PAGES = ("/", "/pricing", "/docs", "/docs/start", "/blog", "/cart", "/checkout", "/account")
_WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "juniper",
    "kelp",
    "lagoon",
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_bytes(run: str, number: int, at_ms: int) -> bytes:
    """One event as compact JSON; `at_ms` is milliseconds since 1970, UTC."""
    dice = _dice(run, number)
    event = {
        "id": f"{run}-{number}",
        "n": number,
        "type": TYPES[dice[0] % len(TYPES)],
        "at": iso(at_ms),
        "page": _PAGES[dice[1] % len(_PAGES)],
        "user": f"u{dice[2] * 256 + dice[3]}",
    }
    if words := _word_count(dice[4], dice[5]):
        event["note"] = " ".join(_WORDS[(dice[k % 16] + k) % len(_WORDS)] for k in range(words))
    return json.dumps(event, separators=(",", ":")).encode()


def batch_size(run: str, first: int) -> int:
    """How many events the request that starts with this number carries: mostly one."""
    dice = _dice(run, first)
    if dice[6] < 200:
        return 1
    if dice[6] < 246:
        return 2 + dice[7] % 7
    return 10 + dice[7] % (EVENTS_A_REQUEST_MAX - 9)


def iso(at_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    seconds, millis = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def millis(moment: str) -> int:
    """The inverse of `iso`; ValueError when it isn't one."""
    delta = datetime.fromisoformat(moment) - _EPOCH
    return round(delta.total_seconds() * 1000)


def number_of(run: str, event: dict[str, Any]) -> int | None:
    """The event's number if it claims to be of this run, else None."""
    number = event.get("n")
    if isinstance(number, int) and number >= 0 and event.get("id") == f"{run}-{number}":
        return number
    return None


def _dice(run: str, number: int) -> bytes:
    return hashlib.blake2b(f"{run}:{number}".encode(), digest_size=16).digest()


def _word_count(size: int, fine: int) -> int:
    """Seven in ten are small; the others run up to about 4 KB, so that bytes vary."""
    if size < 180:
        return 0
    if size < 245:
        return 5 + fine % 60
    return 200 + 2 * fine

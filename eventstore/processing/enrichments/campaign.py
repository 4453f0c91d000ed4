"""The marks that campaigns leave in the page's query string.

Columns: campaign_source, campaign_medium, campaign, campaign_term, campaign_content (utm_source and
its siblings); click_id and click_network ("google", "meta", "microsoft") from gclid, fbclid and
msclkid. Of a mark that is there twice the first counts.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from eventstore.event import TEXT_CHARS_MAX
from eventstore.processing.columns import Coded, Columns, coded
from eventstore.processing.enrichments import options as checked
from eventstore.processing.enrichments.url import cut

CACHED_MAX = 4096
UTM = {
    "utm_source": "campaign_source",
    "utm_medium": "campaign_medium",
    "utm_campaign": "campaign",
    "utm_term": "campaign_term",
    "utm_content": "campaign_content",
}
CLICKS = {"gclid": "google", "fbclid": "meta", "msclkid": "microsoft"}
NAMES = (*UTM.values(), "click_id", "click_network")
PREFIXES = ("utm_", *(f"{mark}=" for mark in CLICKS))


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("campaign", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    marks = coded(
        [
            marks_of(query) if "utm_" in query or "clid=" in query or "clkid=" in query else ""
            for _, _, query in cut(columns, "url")
        ]
    )
    found = [parsed(one) for one in marks.values]
    for place, name in enumerate(NAMES):
        columns.add(name, Coded([one[place] for one in found], marks.codes))


def marks_of(query: str) -> str:
    """The part of the query string that campaigns have written: the same for many visitors."""
    if "#" in query:
        query = query.partition("#")[0]
    return "&".join([piece for piece in query.split("&") if piece.startswith(PREFIXES)])


@lru_cache(maxsize=CACHED_MAX)
def parsed(marks: str) -> tuple[str, ...]:
    """The texts of NAMES."""
    found: dict[str, str] = {}
    for piece in filter(None, marks.split("&")):
        mark, _, value = piece.partition("=")
        text = unquote_plus(value, errors="replace")[:TEXT_CHARS_MAX]
        if mark in UTM:
            found.setdefault(UTM[mark], text)
        elif mark in CLICKS and "click_id" not in found:
            found["click_id"], found["click_network"] = text, CLICKS[mark]
    return tuple(found.get(name, "") for name in NAMES)

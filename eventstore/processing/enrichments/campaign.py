"""The marks that campaigns leave in the page's query string.

Columns: campaign_source, campaign_medium, campaign, campaign_term, campaign_content (utm_source and
its siblings); click_id and click_network ("google", "meta", "microsoft") from gclid, fbclid and
msclkid. Of a mark that is there twice the first counts.
"""

import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_plus

import numpy as np

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
AMPERSAND, NEWLINE = b"&\n"
CLICKS = {"gclid": "google", "fbclid": "meta", "msclkid": "microsoft"}
NAMES = (*UTM.values(), "click_id", "click_network")
# The first four bytes of a mark, as one number.
BEGINNINGS = np.frombuffer(b"utm_gclifbclmscl", dtype="<u4").reshape(-1, 1)


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("campaign", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    marks = coded(marked([query for _, _, query in cut(columns)]))
    found = list(map(parsed, marks.values))
    for place, name in enumerate(NAMES):
        columns.add(name, Coded([one[place] for one in found], marks.codes))


def marked(queries: Sequence[str]) -> list[str]:
    """Of each query string the part from its first mark to the end of its last one: the same for
    many visitors. All query strings are looked at as one text, where a step costs little."""
    whole = "\n".join(queries)
    if "#" in whole or whole.count("\n") >= len(queries) or not whole.isascii():
        whole = "\n".join(map(plain, queries))
    chars = np.frombuffer(b"\n%b\n\n\n\n" % whole.encode(), dtype=np.uint8)
    ends = np.flatnonzero((chars == AMPERSAND) | (chars == NEWLINE))
    pieces = ends[:-4] + 1
    begins = np.ndarray(len(chars) - 3, dtype="<u4", buffer=chars, strides=(1,))[pieces]
    marks = np.flatnonzero((begins == BEGINNINGS).any(axis=0))
    lines = np.cumsum(chars[ends] == NEWLINE)[marks] - 1
    first = np.zeros(len(queries), dtype=np.intp)
    last = np.zeros(len(queries), dtype=np.intp)
    first[lines[::-1]] = pieces[marks[::-1]] - 1  # of several the one that is written last counts
    last[lines] = ends[marks + 1] - 1
    return list(map(whole.__getitem__, map(slice, first.tolist(), last.tolist())))


def plain(query: str) -> str:
    """The same query string in one line of ASCII, without the fragment that follows it."""
    return quote(query.partition("#")[0], safe=string.punctuation)


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

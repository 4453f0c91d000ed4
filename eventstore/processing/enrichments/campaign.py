"""The marks that campaigns leave in the page's query string.

Columns: campaign_source, campaign_medium, campaign, campaign_term, campaign_content (utm_source and
its siblings); click_id and click_network ("google", "meta", "microsoft") from gclid, fbclid and
msclkid. Of a mark that is there twice the first counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
import numpy.typing as npt

from eventstore.columnar import Coded, Int64s, Texts, decoded
from eventstore.event import TEXT_CHARS_MAX
from eventstore.processing.columns import Columns
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
AMPERSAND, HASH = b"&#"
CLICKS = {"gclid": "google", "fbclid": "meta", "msclkid": "microsoft"}
NAMES = (*UTM.values(), "click_id", "click_network")
# The first bytes of a mark, as one number.
BEGINNING_BYTES = 4
BEGINNINGS = np.frombuffer(b"utm_gclifbclmscl", dtype="<u4").reshape(-1, 1)


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("campaign", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    marks, codes = marked(*cut(columns)).distinct()
    found = list(map(parsed, marks))
    for place, name in enumerate(NAMES):
        columns.add(name, Coded([one[place] for one in found], codes))


def marked(urls: Texts, queries: Int64s) -> Texts:
    """Of each query string the part from its first mark to the end of its last one: the same for
    many visitors. queries: where each begins. All are looked at together."""
    starts = np.minimum(queries + 1, urls.ends)
    ends = replace(urls, starts=starts).first(HASH)
    block = np.frombuffer(urls.block + bytes(BEGINNING_BYTES), dtype=np.uint8)
    words = np.ndarray(len(urls.block) + 1, dtype="<u4", buffer=block, strides=(1,))
    ampersands = np.flatnonzero(urls.array == AMPERSAND)
    at_once = _begins(words[starts]) & (ends - starts >= BEGINNING_BYTES)
    later = ampersands[_begins(words[ampersands + 1])] + 1
    of = np.searchsorted(starts, later, side="right") - 1
    inside = (later >= starts[of]) & (later + BEGINNING_BYTES <= ends[of])
    later, of = later[inside], of[inside]
    first = urls.ends.copy()
    first[of[::-1]] = later[::-1]  # of several the one that is written last counts
    first[at_once] = starts[at_once]
    last = np.where(at_once, starts, urls.ends)
    last[of] = later
    following = np.append(ampersands, len(urls.block))[np.searchsorted(ampersands, last)]
    return Texts(urls.block, np.minimum(first, ends), np.minimum(following, ends))


def _begins(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Which of them begin a mark."""
    found: npt.NDArray[np.bool_] = (words == BEGINNINGS).any(axis=0)
    return found


@lru_cache(maxsize=CACHED_MAX)
def parsed(marks: bytes) -> tuple[str, ...]:
    """The texts of NAMES."""
    found: dict[str, str] = {}
    for piece in filter(None, decoded(marks).split("&")):
        mark, _, value = piece.partition("=")
        text = unquote_plus(value, errors="replace")[:TEXT_CHARS_MAX]
        if mark in UTM:
            found.setdefault(UTM[mark], text)
        elif mark in CLICKS and "click_id" not in found:
            found["click_id"], found["click_network"] = text, CLICKS[mark]
    return tuple(found.get(name, "") for name in NAMES)

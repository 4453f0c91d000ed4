"""User agent → whether it says that it is a crawler, by the crawlerdetect project's own rules.

Columns: bot, what gives it away ("Googlebot", "curl"); "" for everybody else.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked

CACHED_MAX = 4096
CHARS_MAX = 400  # as for user_agent: over a thousand patterns run over what strangers send


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("bots", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    columns.add("bot", columns.user_agents().mapped(bot))


@lru_cache(maxsize=CACHED_MAX)
def bot(user_agent: str) -> str:
    """The part of the user agent that names a crawler; "" when none does."""
    detector = _detector()
    return detector.get_matches() or "" if detector.is_crawler(user_agent[:CHARS_MAX]) else ""


@lru_cache(maxsize=1)
def _detector() -> Any:
    # Imported here: only processors carry the rules.
    from crawlerdetect import CrawlerDetect

    return CrawlerDetect()

"""User agent → whether it says that it is a crawler, by the crawlerdetect project's own rules.

Columns: bot, what gives it away ("Googlebot", "curl"); "" for everybody else.

The project's own reading tries all of its 1,462 rules at each place of a user agent: 20 ms for 400
letters, and a request of nothing but new ones held a processor for minutes. Nearly all rules are
plain texts, and looking for each of them in the whole is a tenth to a thirtieth of that.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked

CACHED_MAX = 4096
CHARS_MAX = 400  # as for user_agent: over a thousand patterns run over what strangers send
PLAIN = re.compile(r"(?:[A-Za-z0-9 _/:;,!@#&%=<>~`'\"-]|\\[^A-Za-z0-9])+")
RUN = re.compile(r"^(\[[^\]]+\])\*")


@dataclass(frozen=True, slots=True)
class Rules:
    """excluded: what says nothing. plain, patterns: with their places among all, which decide where
    two begin alike."""

    excluded: re.Pattern[str]
    plain: list[tuple[int, str]]
    patterns: list[tuple[int, re.Pattern[str]]]


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("bots", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    columns.add("bot", columns.user_agents().mapped(bot))


@lru_cache(maxsize=CACHED_MAX)
def bot(user_agent: str) -> str:
    """The part of the user agent that names a crawler, the first one; "" when none does."""
    rules = _rules()
    # All rules are ASCII.
    agent = user_agent[:CHARS_MAX].strip().encode("ascii", "replace").decode()
    agent = rules.excluded.sub("", agent)
    start, _, end = min(_found(rules, agent), default=(0, 0, 0))
    return agent[start:end]


def _found(rules: Rules, agent: str) -> Iterator[tuple[int, int, int]]:
    """Of each rule that is met: where it begins, the rule's place, where it ends."""
    small = agent.lower()
    for place, text in rules.plain:
        if text in small:
            start = small.index(text)
            yield start, place, start + len(text)
    for place, pattern in rules.patterns:
        if found := pattern.search(agent):
            yield found.start(), place, found.end()


@lru_cache(maxsize=1)
def _rules() -> Rules:
    # Imported here: only processors carry the rules.
    from crawlerdetect.crawlerdetect import get_compiled_exclusions_regex
    from crawlerdetect.providers.crawlers import data

    plain, patterns = [], []
    for place, rule in enumerate(data):
        if PLAIN.fullmatch(rule):
            plain.append((place, re.sub(r"\\(.)", r"\1", rule).lower()))
        else:
            # What begins with a run of some letters is tried once for each run, not at each letter.
            whole_run = RUN.sub(r"(?<!\1)\1*", rule)
            patterns.append((place, re.compile(whole_run, re.IGNORECASE)))
    return Rules(get_compiled_exclusions_regex(), plain, patterns)

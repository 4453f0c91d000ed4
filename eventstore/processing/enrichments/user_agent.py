"""User agent → browser, operating system and device, by the ua-parser project's own rules.

Columns: browser ("Chrome 126"), os ("Android 14"), device ("iPhone"); "Other" for what no rule
knows, "" without a user agent.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from eventstore.columnar import Coded
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked

CACHED_MAX = 4096
# The rules are regular expressions run over what strangers send: the longer, the slower.
CHARS_MAX = 400


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options. The rules are loaded here, before a processor is ready: nothing else of it runs
    meanwhile."""
    checked.only("user_agent", options, ())
    parsed("Mozilla")
    return enrich


def enrich(columns: Columns) -> None:
    agents = columns.user_agents()
    found = [parsed(agent) for agent in agents.values]
    for place, name in enumerate(("browser", "os", "device")):
        columns.add(name, Coded([one[place] for one in found], agents.codes))


@lru_cache(maxsize=CACHED_MAX)
def parsed(user_agent: str) -> tuple[str, str, str]:
    """Browser, operating system, device."""
    if not user_agent:
        return "", "", ""
    # Imported here: only processors carry the rules, about 20 MiB of them.
    from ua_parser import parse

    found = parse(user_agent[:CHARS_MAX])
    device = found.device.family if found.device else "Other"
    return _versioned(found.user_agent), _versioned(found.os), device


def _versioned(found: Any) -> str:
    if found is None:
        return "Other"
    return f"{found.family} {found.major}" if found.major else str(found.family)

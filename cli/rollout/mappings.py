"""What lies beside the rollouts: what nodes should run, and who has locked them. Mappings of
mappings, as JSON; people mend them by hand, so they are read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from cli.moments import is_moment
from cli.rollout.errors import DocumentChanged

DESIRED = "desired.json"
HOLDS = "holds.json"
LOCKS = "locks.json"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# What each node's entry must have. Of DESIRED, whose entries are nodes and roles, see `_fits`.
_FACTS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    HOLDS: {"operator": _is_text, "reason": _is_text, "at": is_moment},
    LOCKS: {"rollout": _is_text, "expires_at": is_moment},
}


# The master reads these for every node that polls, and mostly nothing has changed since: read once
# a process. Whoever gets one leaves it as it is.
@lru_cache(maxsize=8)
def parsed(key: str, body: bytes) -> dict[str, Any]:
    """DocumentChanged when it is damaged."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _broken(key, str(error)) from error
    if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in raw.values()):
        raise _broken(key, "it isn't a mapping of mappings")
    for name, entry in raw.items():
        if not _fits(key, entry):
            raise _broken(key, f"{name} has {' '.join(str(entry).split())[:100]}")
    return raw


def _fits(key: str, entry: Mapping[str, Any]) -> bool:
    if key == DESIRED:
        return all(map(_is_text, entry.values()))
    return all(is_one(entry.get(fact)) for fact, is_one in _FACTS[key].items())


def _broken(key: str, why: str) -> DocumentChanged:
    return DocumentChanged(
        f"{key} can't be read", why=why, next_step="bring it back from a backup of the documents"
    )

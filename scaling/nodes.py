"""Which nodes there are, as a table: role → http://address:port of each."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

NODES_MAX = 5000

Nodes = Mapping[str, tuple[str, ...]]


def nodes_of(document: object) -> Nodes:
    """Raises ValueError, which says what was expected."""
    if not isinstance(document, dict):
        raise ValueError("expected roles with their nodes: {processor: [http://10.0.0.13:8081]}")
    found = {str(role): _urls(str(role), urls) for role, urls in document.items()}
    if sum(map(len, found.values())) > NODES_MAX:
        raise ValueError(f"expected at most {NODES_MAX} nodes")
    return found


def _urls(role: str, urls: object) -> tuple[str, ...]:
    if not isinstance(urls, list) or not all(
        isinstance(one, str) and one.startswith("http://") and urlsplit(one).port for one in urls
    ):
        raise ValueError(f"{role}: expected a list of http://address:port")
    return tuple(one.rstrip("/") for one in urls)

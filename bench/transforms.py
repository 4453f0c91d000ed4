"""The transform of the row e2e_transform: as a user would write one."""

from typing import Any


def page(event: dict[str, Any]) -> dict[str, Any]:
    """Adds the page without its query string."""
    return {**event, "page": event["url"].partition("?")[0]}

"""Times in documents that people may have edited."""

from __future__ import annotations

from typing import Any

AT_MAX = 1e11  # beyond it is no date that could be shown


def is_moment(value: Any) -> bool:
    """Whether it is a time, in Unix seconds."""
    return isinstance(value, int | float) and 0 <= value < AT_MAX

"""Windows of the week in which an app isn't rolled out: `Fri 16:00 - Mon 07:00 Europe/Berlin`.

A window may go over the week's end. Without a time zone it is UTC. Times come in as Unix seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOMENT = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01]\d|2[0-3]):([0-5]\d)"
_WINDOW = re.compile(rf"{_MOMENT} ?- ?{_MOMENT}(?: ([A-Za-z]+(?:[/_+-]\w+)*))?", re.ASCII)


def check_window(text: str) -> None:
    """ValueError says what a window looks like."""
    _parse(text)


def closed_now(windows: Iterable[str], now: float) -> str:
    """The window that `now` is in; "" when it is in none. ValueError."""
    return next((window for window in windows if _holds(window, now)), "")


def _holds(window: str, now: float) -> bool:
    begins, ends, zone = _parse(window)
    at = datetime.fromtimestamp(now, zone)
    minute = (at.weekday() * 24 + at.hour) * 60 + at.minute
    if begins < ends:
        return begins <= minute < ends
    return minute >= begins or minute < ends


def _parse(text: str) -> tuple[int, int, ZoneInfo]:
    """Minutes of the week, and in which zone."""
    read = _WINDOW.fullmatch(text)
    if not read:
        raise ValueError("must look like `Fri 16:00 - Mon 07:00 Europe/Berlin`")
    begins, ends = _minute(read[1], read[2], read[3]), _minute(read[4], read[5], read[6])
    if begins == ends:
        raise ValueError("ends where it begins")
    try:
        return begins, ends, ZoneInfo(read[7] or "UTC")
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(f"names a time zone that isn't known here: {read[7]}") from error


def _minute(day: str, hour: str, minute: str) -> int:
    return (DAYS.index(day) * 24 + int(hour)) * 60 + int(minute)

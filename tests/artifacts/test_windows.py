"""Windows of the week: what they hold, over the week's end and across time zones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from artifacts.windows import check_window, closed_now


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "at", "closed"),
    [
        ("Fri 16:00 - Mon 07:00", "2026-11-27T15:59:59", False),  # a Friday
        ("Fri 16:00 - Mon 07:00", "2026-11-27T16:00:00", True),
        ("Fri 16:00 - Mon 07:00", "2026-11-29T12:00:00", True),
        ("Fri 16:00 - Mon 07:00", "2026-11-30T06:59:59", True),
        ("Fri 16:00 - Mon 07:00", "2026-11-30T07:00:00", False),
        ("Fri 16:00-Mon 07:00 Europe/Berlin", "2026-11-27T15:00:00", True),
        ("Fri 16:00-Mon 07:00 Europe/Berlin", "2026-06-26T14:00:00", True),
        ("Fri 16:00-Mon 07:00 Europe/Berlin", "2026-11-27T14:59:00", False),
        ("Tue 09:00 - Tue 10:00", "2026-11-24T09:30:00", True),
        ("Tue 09:00 - Tue 10:00", "2026-11-25T09:30:00", False),
        ("Tue 10:00 - Tue 09:00", "2026-11-24T09:30:00", False),
        ("Tue 10:00 - Tue 09:00", "2026-11-25T09:30:00", True),
    ],
)
def test_when_it_is_closed(window, at, closed):
    assert closed_now((window,), _at(at)) == (window if closed else "")


def test_any_window_closes():
    assert closed_now(("Mon 00:00 - Mon 01:00", "Fri 00:00 - Sat 00:00"), _at("2026-11-27T08:00"))
    assert not closed_now((), _at("2026-11-27T08:00"))


@pytest.mark.parametrize(
    "text",
    ["", "Friday", "Fri 16:00", "Fri 24:00 - Mon 07:00", "fri 16:00 - mon 07:00",
     "Fri 16:00 - Fri 16:00", "Fri 16:00 - Mon 07:00 Europe/Atlantis",
     "Fri 16:00 - Mon 07:00 ../../etc/passwd", "Fri 16:60 - Mon 07:00"],
)  # fmt: skip
def test_what_is_no_window(text):
    with pytest.raises(ValueError, match=r"."):
        check_window(text)

"""Waits for AWS, which answers before it is done."""

from __future__ import annotations

import time
from collections.abc import Callable

from cli.aws.account import Absent
from cli.aws.errors import AwsUnreachable

READY_S = 300.0
POLL_S = 2.0


def until(ready: Callable[[], bool], what: str) -> None:
    """Also while what was just made can't be seen yet. AwsUnreachable."""
    end_s = time.monotonic() + READY_S
    while not _seen(ready):
        if time.monotonic() > end_s:
            raise AwsUnreachable(
                f"{what} isn't ready",
                why=f"AWS is at it for more than {READY_S:.0f} s",
                next_step="evctl aws apply again: it goes on from there",
            )
        time.sleep(POLL_S)


def _seen(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except Absent:
        return False

"""What a collector that can't take something now says."""

from eventstore.errors import Refused


def overloaded(reason: str, *, close: bool = False) -> Refused:
    """Too much at once; the format may say it in its own protocol's way."""
    return Refused(429, "overloaded", reason, "send it again later", retry_after_s=1, close=close)


def no_room() -> Refused:
    """As many wait as may."""
    return overloaded("too many requests wait for their commit")


def late() -> Refused:
    """Its commit may still come."""
    return Refused(
        503,
        "commit_slow",
        "the commit took too long: the events may or may not have been kept",
        "send it again with the same ids",
        retry_after_s=1,
    )


def unavailable() -> Refused:
    """Its commit has failed."""
    return Refused(
        503,
        "queue_unavailable",
        "the queue cannot take events now",
        "send it again later",
        retry_after_s=1,
    )

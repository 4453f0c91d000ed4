"""Transforms that the tests load by name, as a release's own modules are."""

import os
import signal
import time
from typing import Any

Event = dict[str, Any]


def same(event: Event) -> Event:
    return event


def stamp(event: Event) -> Event:
    event["stamped"] = True
    return event


def by_command(event: Event) -> object:
    """Does what the event asks for."""
    command = event.get("do")
    if command == "nest":
        event["deep"]["n"] += 1
    return {
        "drop": None,
        "split": [{"n": 1}, {"n": 2}],
        "split to one": [{"n": 1}],
        "split to none": [],
        "number": 7,
        "numbers": [7],
        "set": {"s": {1}},
    }.get(command, event)


def double(event: Event) -> list[Event]:
    return [event, {**event, "copy": True}]


def with_enriched(event: Event, enriched: Event) -> Event:
    return {**event, "browser": enriched["browser"], "time_ms": enriched["time_ms"]}


def set_order(event: Event) -> Event:
    return {"words": list({"a", "b", "c", "d", "e", "f"})}


def fail(event: Event) -> Event:
    if "bad" in event:
        raise ValueError(f"no price in event {event['bad']}")
    return event


def misbehave(event: Event) -> object:
    """What no in-process limit would survive."""
    what = event.get("do")
    if what == "loop in C":
        sum(range(10**15))
    if what == "sleep":
        time.sleep(3600)
    if what == "ignore the timer":
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        time.sleep(3600)
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        os._exit(3)
    if what == "memory":
        bytearray(4 << 30)
    if what == "huge":
        return {"text": "x" * (2 << 20)}
    if what == "many":
        return [event] * 100_000
    return event


def three(event: Event, enriched: Event, more: Event) -> Event:
    return event


not_callable = 7


def strict(event: Event) -> Event:
    """As `fail`, but the reason is another."""
    if "bad" in event:
        raise LookupError("still no price")
    return event


def mended(event: Event) -> Event:
    """Drops what was good: a replay must not do that to events that are visible."""
    return {"mended": event["bad"]} if "bad" in event else {"drop": None}


def drop_all(event: Event) -> None:
    return None


def half_a_pair(event: Event) -> Event:
    """What no encoding can write down, in the reason."""
    raise ValueError("\ud800")

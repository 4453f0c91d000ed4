"""The checker: is everything that was acknowledged in the store, once, and as it was sent?

    python -m demo.check --ledger build/demo/load --settings build/labs/demo/eventstore.yaml

It trusts the ledger of the load client and what a reader of the store sees, and nothing in
between. Counts are made anew here, from the events' own bytes, and compared with what the
post-processor has published.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from array import array
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from demo.kept import Kept, kept
from demo.ledger import read_requests, read_reserved, read_run
from demo.numbered import event_bytes, millis, number_of
from eventstore.errors import EventStoreError
from eventstore.query.read import Reader, open_reader
from eventstore.settings import Settings, load
from eventstore.tools.probe import TYPE as PROBE

EXAMPLES_MAX = 10
POLL_S = 0.2
WINDOW_S = 60

Key = tuple[int, str, str]  # start of the window in epoch seconds, endpoint, event name


class NotDrainedError(Exception):
    """Something still waits, after all the time it was given; the message says what."""


@dataclass(frozen=True)
class Check:
    """Events, but for `windows` and `mismatches`.

    stored: different numbers that a reader sees as they were sent, acknowledged or not
    lost: acknowledged, and not seen as sent · duplicated: seen again · phantom: seen, and no
    such bytes were ever sent · mismatches: counts that differ from what is published
    """

    acked: int
    stored: int
    lost: int
    duplicated: int
    phantom: int
    windows: int
    mismatches: int
    examples: dict[str, list[str]] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicated or self.phantom or self.mismatches)


class _Sent:
    """What the ledger knows, by number: 10 bytes an event."""

    def __init__(self, folder: Path) -> None:
        self.run = read_run(folder).run
        self.end = read_reserved(folder)
        self.at_ms = array("q", [-1]) * self.end
        self.acked = bytearray(self.end)
        self.seen = bytearray(self.end)
        for request in read_requests(folder):
            for number in range(request.first, request.first + request.count):
                self.at_ms[number] = request.at_ms
                self.acked[number] = request.acked


class _Findings:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        kept = self.examples.setdefault(kind, [])
        if len(kept) < EXAMPLES_MAX:
            kept.append(example)


def check(ledger_dir: Path, settings: Settings) -> Check:
    """Compares the ledger with the store, once it is drained.

    Raises eventstore's errors when the store cannot be read: then nothing has been found out.
    """
    reader = open_reader(settings.data, settings)
    try:
        found = _check(_Sent(ledger_dir), reader)
        return replace(found, kept=kept(settings))  # all of it can be read
    finally:
        reader.close()


def seen(ledger_dir: Path, settings: Settings) -> bytearray:
    """By number: 1 for each event that a reader sees as it was sent. Raises as `check` does."""
    reader = open_reader(settings.data, settings)
    try:
        sent = _Sent(ledger_dir)
        for visible in reader.events():
            _, number = _recognise(sent, visible.body)
            if number is not None:
                sent.seen[number] = 1
        return sent.seen
    finally:
        reader.close()


def _check(sent: _Sent, reader: Reader) -> Check:
    findings = _Findings()
    window_s = next((one.window_s for one, _ in reader.windows()), WINDOW_S)
    counted: Counter[Key] = Counter()
    for visible in reader.events():
        event, number = _recognise(sent, visible.body)
        if isinstance(event, dict) and event.get("type") == PROBE:
            continue  # a rollout's own, which it has counted itself
        if number is None:
            findings.add("phantom", f"{visible.id}: {visible.body[:120]!r}")
        elif sent.seen[number]:
            findings.add("duplicated", f"number {number}: again as {visible.id}")
        else:
            sent.seen[number] = 1
        key = _count_key(event, visible.tags.get("endpoint", ""), window_s)
        if key is not None:
            counted[key] += 1
    for number in range(sent.end):
        if sent.acked[number] and not sent.seen[number]:
            findings.add("lost", f"number {number}")
    windows = _compare(counted, reader, findings)
    return Check(
        acked=sum(sent.acked),
        stored=sum(sent.seen),
        lost=findings.counts["lost"],
        duplicated=findings.counts["duplicated"],
        phantom=findings.counts["phantom"],
        windows=windows,
        mismatches=findings.counts["mismatches"],
        examples=findings.examples,
    )


def _recognise(sent: _Sent, body: bytes) -> tuple[object, int | None]:
    """The event, and its number if these very bytes were sent."""
    try:
        event = json.loads(body)
        if not isinstance(event, dict):
            return event, None
        number = number_of(sent.run, event)
        if number is None or number >= sent.end:
            return event, None
        at_ms = millis(event["at"])
    except (ValueError, KeyError, TypeError):
        return None, None
    # A client that was killed takes its last records along: their time is the event's own.
    if sent.at_ms[number] not in (-1, at_ms) or body != event_bytes(sent.run, number, at_ms):
        return event, None
    return event, number


def _count_key(event: object, endpoint: str, window_s: int) -> Key | None:
    """Where an event should have been counted; None for one that isn't ours to predict."""
    if not isinstance(event, dict):
        return None
    try:
        at_ms = millis(event["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at_ms // 1000 // window_s * window_s, endpoint, str(event.get("type", ""))


def _compare(counted: Counter[Key], reader: Reader, findings: _Findings) -> int:
    """How many windows are published; a mismatch for each count that differs."""
    windows: set[int] = set()
    published: Counter[Key] = Counter()
    for generation, counts in reader.windows():
        windows.add(generation.window_start_s)
        for (start_s, endpoint, name), count in counts.items():
            if name != PROBE:
                published[start_s, endpoint, name] += count
    for key in sorted(counted.keys() | published.keys()):
        if counted[key] != published[key]:
            findings.add("mismatches", f"{key}: published {published[key]}, is {counted[key]}")
    return len(windows)


def wait_until_drained(settings: Settings, timeout_s: float) -> float:
    """Waits until all that was acknowledged is stored and aggregated; the seconds it took.

    Raises NotDrainedError with what still waits, and eventstore's errors.
    """
    began = time.monotonic()
    reader = open_reader(settings.data, settings)
    try:
        while not reader.drained():
            if time.monotonic() - began > timeout_s:
                raise NotDrainedError(
                    f"after {timeout_s:g} s {reader.pending().packs} packs wait to be stored and "
                    f"{len(reader.unpublished_windows())} windows to be published"
                )
            time.sleep(POLL_S)
    finally:
        reader.close()
    return time.monotonic() - began


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 good · 1 something is wrong with the events · 2 usage · 7 could not be read."""
    parser = argparse.ArgumentParser(prog="python -m demo.check")
    parser.add_argument("--ledger", required=True, type=Path, help="the load client's --out")
    parser.add_argument("--settings", required=True, type=Path, help="where the event store is")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait until it's drained")
    given = parser.parse_args(argv)
    try:
        settings = load(given.settings)
        if given.wait:
            drained_s = wait_until_drained(settings, given.wait)
            print(f"drained in {drained_s:.1f} s", file=sys.stderr)
        found = check(given.ledger, settings)
    except (EventStoreError, NotDrainedError, OSError) as error:
        print(f"cannot check {given.settings}: {error}", file=sys.stderr)
        return 7
    print(json.dumps({**asdict(found), "good": found.good}, indent=2))
    return 0 if found.good else 1


if __name__ == "__main__":
    raise SystemExit(main())

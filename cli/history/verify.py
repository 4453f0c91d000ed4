"""Finds what was done to a history after it was written.

Within the log, each entry's digest covers itself and the one before it: an edit, a gap, or another
order shows. What was cut off at its end shows elsewhere: witnesses have seen a later head, and
rollouts are there of which the log says nothing. What a rollout's document says of itself shows
when the log has it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from artifacts.errors import EvctlError
from cli.history.entry import Entry, Head, decode
from cli.history.log import FOLDER, History

DIGITS_MIN = 8  # of a head's digest, when it was written down by hand


@dataclass(frozen=True)
class Verdict:
    """head: the log's last entry. faults: what was done to it, in words; none: it is whole.
    unasked: witnesses that don't answer, with the reason."""

    head: Head
    faults: tuple[str, ...]
    unasked: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """A rollout, as its document tells of it. facts: of those that the log has too."""

    made_at: float
    facts: Mapping[str, str] = field(default_factory=dict)


def verify(
    history: History, rollouts: Mapping[str, Told], written_down: Sequence[Head] = ()
) -> Verdict:
    """rollouts: those that have begun. written_down: heads that someone kept elsewhere; their
    digests may be shortened."""
    seen: list[tuple[str, Head]] = [("what was written down", head) for head in written_down]
    unasked = []
    for witness in history.witnesses():  # before the log, which may grow meanwhile
        try:
            if head := witness.seen()[0]:
                seen.append((witness.name, head))
        except EvctlError as error:
            unasked.append(f"{witness.name}: {error.what}")
    faults: list[str] = []
    entries = list(_chain(history, faults))
    digests = {entry.number: entry.digest() for entry in entries}
    last = max(digests, default=0)
    faults += [fault for name, head in seen if (fault := _contradiction(name, head, digests, last))]
    faults += _untold(entries, rollouts)
    faults += _told_otherwise(entries, rollouts)
    return Verdict(Head(last, digests.get(last, "")), tuple(faults), tuple(unasked))


def _chain(history: History, faults: list[str]) -> Iterator[Entry]:
    """The entries that can be read; what is wrong with them goes into `faults`."""
    expected, before = 1, ""
    for key in history.entry_keys():
        number = int(key[len(FOLDER) : -len(".json")])
        if number != expected:
            faults.append(f"{_entries(expected, number - 1)} missing")
        expected = number + 1
        try:
            entry, stated = decode(history.body(key))
        except ValueError as error:
            faults.append(f"entry {number} can't be read: {error}")
            before = ""
            continue
        if entry.digest() != stated:
            faults.append(f"entry {number} was edited: it doesn't fit its digest")
        elif entry.number != number:
            faults.append(f"entry {number} was put there: it says that it is entry {entry.number}")
        elif before and entry.before != before:
            faults.append(f"entry {number} doesn't follow entry {number - 1}: one was replaced")
        before = entry.digest()
        yield entry


def _contradiction(name: str, head: Head, digests: Mapping[int, str], last: int) -> str:
    if head.number > last:
        return f"{_entries(last + 1, head.number)} cut off: {name} has seen {head}"
    if len(head.digest) < DIGITS_MIN or not digests.get(head.number, "").startswith(head.digest):
        return f"entry {head.number}, or one before it, was replaced: {name} has seen {head}"
    return ""


def _untold(entries: Sequence[Entry], rollouts: Mapping[str, Told]) -> Iterator[str]:
    """Rollouts of which nothing is told, although the log had begun."""
    told = {str(entry.what.get("id")) for entry in entries}
    begun_at = min((entry.at for entry in entries), default=float("inf"))
    for rollout, document in sorted(rollouts.items()):
        if rollout not in told and document.made_at >= begun_at:
            yield f"nothing is told of {rollout}: its entry was cut off, or never written"


def _told_otherwise(entries: Sequence[Entry], rollouts: Mapping[str, Told]) -> Iterator[str]:
    """Documents that say of their rollout what the log didn't when it began."""
    begun: dict[str, Entry] = {}
    for entry in entries:
        if "state" in entry.what:
            begun.setdefault(str(entry.what.get("id")), entry)
    for rollout, document in sorted(rollouts.items()):
        if rollout not in begun:
            continue
        first = begun[rollout]
        then = {**first.what, "reason": first.why}
        for key, now in document.facts.items():
            if then.get(key, now) != now:  # entries of earlier versions have less
                yield f"{rollout}: its {key} is {now!r}; entry {first.number} has {then[key]!r}"


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"

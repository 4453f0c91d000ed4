"""Which roles must be through before others begin, by the schema versions that they read and write.

Readers come before writers: a new writer may only write what every reader reads by then. A new
reader that no longer reads what is written now can't read what lies there: a one-way change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from cli.rollout.errors import OneWayChange, SchemasClash

# A role of a release, as its manifest has it.
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A role's releases. before: of the nodes that change; staying: of those that don't; after:
    what the first become, None when no node of this role changes."""

    before: Sequence[Facts] = ()
    staying: Sequence[Facts] = ()
    after: Facts | None = None


@dataclass(frozen=True)
class Order:
    """stages: roles that change, where some must be through before others begin. checks: what was
    compared, in words."""

    stages: tuple[tuple[str, ...], ...]
    checks: tuple[str, ...]


def order(changes: Mapping[str, Change], *, past_one_way: bool = False) -> Order:
    """SchemasClash: there is no order in which it could work. OneWayChange, unless that is told."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for role, change in changes.items():
        if change.after is not None:
            sorter.add(role)
    checks: list[str] = []
    for writer, reader, topic in _pairs(changes):
        checks += _new_writer(sorter, changes, writer, reader, topic)
        lost = _lost(changes[writer], changes[reader].after, topic)
        if lost and not past_one_way:
            raise OneWayChange(
                f"{reader} would no longer read {topic} {lost[0]}, which {writer} writes now",
                why=f"it would read {_reads(changes[reader].after)[topic]}; the rest stays unread",
                next_step="go to a release that reads both, or say --past-one-way",
            )
        if lost:
            if changes[writer].after is not None and writer != reader:
                sorter.add(reader, writer)
            checks.append(f"{topic} {lost[0]}: {reader} no longer reads it, as was told")
    return Order(_stages(sorter), tuple(dict.fromkeys(checks)))


def _pairs(changes: Mapping[str, Change]) -> Iterator[tuple[str, str, str]]:
    """Writer, reader and topic of all that one role may write and another one may read."""
    for writer in sorted(changes):
        for reader in sorted(changes):
            written = {topic for facts in _every(changes[writer]) for topic in _writes(facts)}
            read = {topic for facts in _every(changes[reader]) for topic in _reads(facts)}
            for topic in sorted(written & read):
                yield writer, reader, topic


def _new_writer(
    sorter: TopologicalSorter[str],
    changes: Mapping[str, Change],
    writer: str,
    reader: str,
    topic: str,
) -> Iterator[str]:
    written = _writes(changes[writer].after).get(topic)
    if written is None:
        return
    change = changes[reader]
    if not all(_can_read(facts, topic, written) for facts in change.staying):
        raise SchemasClash(
            f"{writer} would write {topic} {written}, which some {reader} can't read",
            why=f"these nodes of {reader} are not in the range",
            next_step=f"take all of {reader} into the range, or roll {reader} out first",
        )
    if change.after is not None and not _can_read(change.after, topic, written):
        raise SchemasClash(
            f"{writer} would write {topic} {written}, which the new {reader} can't read",
            why=f"it reads {_reads(change.after).get(topic, [])}",
            next_step="mend the schemas in evctl.yaml and release again",
        )
    if not all(_can_read(facts, topic, written) for facts in change.before):
        if writer != reader:
            sorter.add(writer, reader)
        yield f"{topic} {written}: {reader} reads it before {writer} writes it"
        return
    yield f"{topic} {written}: written by {writer}, read by {reader}"


def _lost(writer: Change, reader: Facts | None, topic: str) -> list[int]:
    """Versions that are written now, and that a new reader would not read."""
    if reader is None:
        return []
    written = {_writes(facts).get(topic) for facts in (*writer.before, *writer.staying)}
    return sorted(v for v in written if v is not None and not _can_read(reader, topic, v))


def _stages(sorter: TopologicalSorter[str]) -> tuple[tuple[str, ...], ...]:
    try:
        sorter.prepare()
    except CycleError as error:
        raise SchemasClash(
            "there is no order in which these roles could change",
            why=f"each must come before the other: {', '.join(sorted(set(error.args[1])))}",
            next_step="make a release between that reads both versions",
        ) from error
    stages = []
    while sorter.is_active():
        ready = sorter.get_ready()
        stages.append(tuple(sorted(ready)))
        sorter.done(*ready)
    return tuple(stages)


def _every(change: Change) -> list[Facts]:
    return [*change.before, *change.staying, *([change.after] if change.after else [])]


def _reads(facts: Facts | None) -> Mapping[str, list[int]]:
    return (facts or {}).get("reads") or {}


def _writes(facts: Facts | None) -> Mapping[str, int]:
    return (facts or {}).get("writes") or {}


def _can_read(facts: Facts, topic: str, version: int | None) -> bool:
    """A role that doesn't read a topic at all is no reader of it."""
    reads = _reads(facts)
    return topic not in reads or version in reads[topic]

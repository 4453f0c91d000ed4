"""What other transforms would make of stored events: a comparison, which changes nothing."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.event import EventId
from eventstore.formats import READERS
from eventstore.ports import Stored
from eventstore.processing import view
from eventstore.processing.transformer import Transformer

EXAMPLES_MAX = 3
SAME, CHANGED, DROPPED, SPLIT, DEAD = OUTCOMES = ("same", "changed", "dropped", "split", "dead")
PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS


@dataclass(frozen=True, slots=True)
class Compared:
    """One event: what readers see of it now, and would see; dead: why it would be a dead letter."""

    id: EventId
    now: list[Any]
    then: list[Any]
    dead: str = ""

    @property
    def outcome(self) -> str:
        if self.dead:
            return DEAD
        if self.then == self.now:
            return SAME
        return DROPPED if not self.then else SPLIT if len(self.then) > 1 else CHANGED

    def diff(self) -> str:
        """A unified diff of both as indented JSON."""
        lines = difflib.unified_diff(
            _pretty(self.now), _pretty(self.then), f"{self.id} now", f"{self.id} then", lineterm=""
        )
        return "\n".join(lines)


@dataclass
class Trial:
    """How many events had each outcome, and a few examples of all but the first."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    examples: dict[str, list[Compared]] = field(default_factory=dict)

    def add(self, one: Compared) -> None:
        self.counts[one.outcome] += 1
        examples = self.examples.setdefault(one.outcome, [])
        if one.outcome != SAME and len(examples) < EXAMPLES_MAX:
            examples.append(one)


def trial(
    packs: Iterable[Stored],
    sample: int,
    candidate: Transformer,
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Trial:
    """The first `sample` events of these packs that aren't hidden."""
    found = Trial()
    for stored in packs:
        for compared in _compared(stored, candidate, dictionaries):
            if sum(found.counts.values()) == sample:
                return found
            found.add(compared)
    return found


def _compared(
    stored: Stored, candidate: Transformer, dictionaries: Dictionaries
) -> Iterator[Compared]:
    pack = packing.unpack(stored.body, dictionaries)
    unseen = stored.hidden | pack.tombstones.keys()
    then = candidate.run(stored.body, stored.sidecar, unseen, dictionaries)
    lines = zip(
        view.decode(stored.view, pack.count), view.decode(then.view, pack.count), strict=True
    )
    for index, ((sent, share), (now, new)) in enumerate(zip(pack.per_event(), lines, strict=True)):
        if index in unseen:
            continue
        as_sent = _as_sent(pack.format, sent, share.context)
        yield Compared(
            EventId(stored.pack_id, index),
            _seen(view.whole(now, sent), as_sent),
            _seen(view.whole(new, sent), as_sent),
            then.dead.get(index, ""),
        )


def _as_sent(format_name: str, sent: bytes, context: bytes) -> Any:
    """What readers see of it; of one that can't be read, which transforms let die, its text."""
    try:
        return READERS[format_name].value(sent, context)
    except ValueError:
        return sent.decode(errors="backslashreplace")


def _seen(line: bytes, as_sent: Any) -> list[Any]:
    parts = view.several(line)
    if parts is not None:
        return parts
    return [orjson.loads(line) if line else as_sent]


def _pretty(events: list[Any]) -> list[str]:
    texts = (orjson.dumps(one, option=PRETTY).decode() for one in events)
    # Without the commas: or a line would differ because another one follows.
    return [line.rstrip(",") for text in texts for line in text.splitlines()]

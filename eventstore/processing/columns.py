"""A pack's events, column by column: what enrichments read, and what they add.

An enrichment works on the distinct values of a column, and columns that come from one source share
its codes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from eventstore.columnar import Coded, Codes, Int64s, Texts, coded, encoded
from eventstore.event import TEXT_CHARS_MAX
from eventstore.formats import Fields, Read
from eventstore.packing import Pack, Share
from eventstore.times import stated_times

Made = TypeVar("Made")


class Death(NamedTuple):
    """Why an event is a dead letter, and which step of the processing says so."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hashes:
    """A number for each event, of which few are alike: its text is 16 hex digits, "" for 0."""

    numbers: npt.NDArray[np.uint64]

    def texts(self) -> list[str]:
        """A value for each event."""
        return [f"{number:016x}" if number else "" for number in self.numbers.tolist()]


Column = Coded | Hashes | Int64s


def paired(one: Coded, other: Coded) -> tuple[list[tuple[str, str]], Codes]:
    """The distinct pairs of what events have in two columns, and each event's pair."""
    width = len(other.values)
    both, codes = np.unique(one.codes.astype(np.int64) * width + other.codes, return_inverse=True)
    pairs = [(one.values[pair // width], other.values[pair % width]) for pair in both.tolist()]
    return pairs, codes.astype(np.uint32)


class Rows:
    """What was read event by event; those that can't be read have nothing."""

    def __init__(self, fields: Sequence[Fields]) -> None:
        self._fields = fields

    def __len__(self) -> int:
        return len(self._fields)

    def texts(self, name: str) -> Texts:
        return Texts.of(self._texts(name))

    def pieces(self, name: str) -> list[bytes]:
        return list(map(encoded, self._texts(name)))

    def coded(self, name: str) -> Coded:
        return coded(self._texts(name))

    def stated_times(self) -> Int64s:
        return stated_times([one.time for one in self._fields])

    def _texts(self, name: str) -> list[str]:
        found = list(map(attrgetter(name), self._fields))
        if set(map(type, found)) == {str}:
            return found
        return [one if type(one) is str else "" for one in found]


@dataclass
class Columns:
    """pack: where the events come from. read: what was read of each event. dead: index → why this
    event is a dead letter. times_ms: when each happened, in Unix milliseconds. added: what
    enrichments have found out, in their order."""

    pack: Pack
    read: Read
    dead: dict[int, Death]
    times_ms: Int64s
    added: dict[str, Column] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.read)

    def source(self, name: str) -> Coded:
        """One of event.FIELDS, coded; the texts are of bounded length."""
        return self.once(name, lambda: _bounded(self.read.coded(name)))

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What several steps need, made by the first of them."""
        if name not in self._made:
            self._made[name] = make()
        made: Made = self._made[name]
        return made

    def _or_shared(self, name: str, shared: Callable[[Share], str]) -> Coded:
        """One of event.FIELDS; where an event has none, what its request says."""
        stated = self.source(name)
        if "" not in stated.values:
            return stated
        shares = self.pack.shares
        if len(stated.values) > 1:
            of_event = [one for share in shares for one in repeat(share, share.events)]
            pairs = zip(stated.texts(), of_event, strict=True)
            return coded([text or shared(share) for text, share in pairs])
        requests = coded([shared(share) for share in shares])
        return Coded(requests.values, np.repeat(requests.codes, [one.events for one in shares]))

    def user_agents(self) -> Coded:
        """The event's own, otherwise its request's header."""
        return self.once(
            "user agents", lambda: self._or_shared("user_agent", lambda share: share.user_agent)
        )

    def addresses(self) -> Coded:
        """The client's address: the event's own, otherwise its request's."""
        return self.once(
            "addresses", lambda: self._or_shared("address", lambda share: share.address)
        )

    def replace_addresses(self, addresses: Coded) -> None:
        """No later step sees the addresses as they came."""
        self._made["addresses"] = self._made["address"] = addresses

    def die(self, index: int, stage: str, reason: str) -> None:
        """The first reason is kept."""
        self.dead.setdefault(index, Death(stage, reason))

    def add(self, name: str, column: Column) -> None:
        """Adds what an enrichment has found out."""
        self.added[name] = column


def _bounded(column: Coded) -> Coded:
    if max(map(len, column.values), default=0) <= TEXT_CHARS_MAX:
        return column
    return column.merged([one[:TEXT_CHARS_MAX] for one in column.values])

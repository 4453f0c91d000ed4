"""A pack's events, column by column: what enrichments read, and what they add.

Most values repeat, so a column of texts is coded: its distinct values, and for each event which of
them it has. An enrichment works on the distinct values, and columns that come from one source share
its codes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from eventstore.event import TEXT_CHARS_MAX
from eventstore.formats import Fields
from eventstore.packing import Pack, Share

Made = TypeVar("Made")
Codes = npt.NDArray[np.uint32]
Int64s = npt.NDArray[np.int64]


class Death(NamedTuple):
    """Why an event is a dead letter, and which step of the processing says so."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Coded:
    """values[codes[n]] is what event n has."""

    values: list[str]
    codes: Codes

    def texts(self) -> list[str]:
        """A value for each event."""
        return [self.values[code] for code in self.codes.tolist()]

    def mapped(self, function: Callable[[str], str]) -> "Coded":
        """Another column with the same codes."""
        return Coded([function(value) for value in self.values], self.codes)

    def merged(self, texts: Iterable[str]) -> "Coded":
        """A text for each value instead; for values that become the same, codes of their own."""
        inner = coded(list(texts))
        return Coded(inner.values, inner.codes[self.codes])


@dataclass(frozen=True, slots=True)
class Hashes:
    """A number for each event, of which few are alike: its text is 16 hex digits, "" for 0."""

    numbers: npt.NDArray[np.uint64]

    def texts(self) -> list[str]:
        """A value for each event."""
        return [f"{number:016x}" if number else "" for number in self.numbers.tolist()]


Column = Coded | Hashes | Int64s


def coded(texts: Sequence[str]) -> Coded:
    """A text for each event, coded in the order of their first appearance."""
    order: defaultdict[str, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(order.__getitem__, texts), dtype=np.uint32, count=len(texts))
    return Coded(list(order), codes)


def paired(one: Coded, other: Coded) -> tuple[list[tuple[str, str]], Codes]:
    """The distinct pairs of what events have in two columns, and each event's pair."""
    width = len(other.values)
    both, codes = np.unique(one.codes.astype(np.int64) * width + other.codes, return_inverse=True)
    pairs = [(one.values[pair // width], other.values[pair % width]) for pair in both.tolist()]
    return pairs, codes.astype(np.uint32)


@dataclass
class Columns:
    """pack: where the events come from. fields: what was read of each event. dead: index → why this
    event is a dead letter. times_ms: when each happened, in Unix milliseconds. added: what
    enrichments have found out, in their order."""

    pack: Pack
    fields: list[Fields]
    dead: dict[int, Death]
    times_ms: Int64s
    added: dict[str, Column] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.fields)

    def source(self, name: str) -> Coded:
        """The texts, of bounded length, coded."""
        return self.once(name, lambda: self._read(name))

    def raw(self, name: str) -> list[Any]:
        """One of event.FIELDS as it stands in each event: any JSON value."""
        return list(map(attrgetter(name), self.fields))

    def texts(self, name: str) -> list[str]:
        """One of event.FIELDS as text; "" where an event has none."""
        found = self.raw(name)
        if set(map(type, found)) == {str}:
            return found
        return [one if type(one) is str else "" for one in found]

    def _read(self, name: str) -> Coded:
        found = self.raw(name)
        if found.count(None) == len(found):
            return Coded([""], np.zeros(len(found), dtype=np.uint32))
        whole = coded(self.texts(name))
        if max(map(len, whole.values), default=0) <= TEXT_CHARS_MAX:
            return whole
        return whole.merged([one[:TEXT_CHARS_MAX] for one in whole.values])

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

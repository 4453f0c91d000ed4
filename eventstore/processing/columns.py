"""The events of some packs, column by column: what enrichments read, and what they add.

An enrichment works on the distinct values of a column, and columns that come from one source share
its codes. Packs are enriched together, for most of what that costs is the same for few events as
for many; of what was found out each gets what it would have got alone, to the byte.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from eventstore.columnar import Appearing, Coded, Codes, Int64s, Texts, appearing, coded, encoded
from eventstore.event import TEXT_CHARS_MAX
from eventstore.formats import Fields, Read
from eventstore.packing import Pack, Share
from eventstore.times import stated_agos, stated_times

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


@dataclass(frozen=True, slots=True)
class StatedOrDerived:
    """Of each event the text that it states, or if that is "" a number that stands for it."""

    stated: Coded
    derived: Hashes

    def stated_or_derived(self, stated: Coded, start: int, end: int) -> Coded | Hashes:
        """Of one pack's events; stated: what they state."""
        if "" not in stated.values:
            return stated
        derived = Hashes(self.derived.numbers[start:end])
        if len(stated.values) == 1:  # no event states one
            return derived
        pairs = zip(stated.texts(), derived.texts(), strict=True)
        return coded([text or number for text, number in pairs])


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

    def agos(self) -> Int64s | None:
        return stated_agos([one.ago_ms for one in self._fields])

    def _texts(self, name: str) -> list[str]:
        found = list(map(attrgetter(name), self._fields))
        if set(map(type, found)) == {str}:
            return found
        return [one if type(one) is str else "" for one in found]


@dataclass
class Columns:
    """packs: where the events come from, one after another; alike in endpoint, source, format and
    names. read: what was read of each event. dead: index → why this event is a dead letter.
    times_ms: when each happened, in Unix milliseconds. added: what enrichments have found out, in
    their order."""

    packs: Sequence[Pack]
    read: Read
    dead: dict[int, Death]
    times_ms: Int64s
    added: dict[str, Column | StatedOrDerived] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.read)

    @property
    def endpoint(self) -> str:
        return self.packs[0].tags.get("endpoint", "")

    @property
    def format(self) -> str:
        return self.packs[0].format

    def per_event(self) -> Iterator[tuple[bytes, Share]]:
        """Each event's own bytes, with the share that it belongs to."""
        return chain.from_iterable(pack.per_event() for pack in self.packs)

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
        shares = [share for pack in self.packs for share in pack.shares]
        requests = coded([shared(share) for share in shares])
        of_event = np.repeat(requests.codes, [share.events for share in shares])
        if len(stated.values) == 1:
            return Coded(requests.values, of_event)
        without = stated.codes == stated.values.index("")
        both = [*stated.values, *requests.values]
        codes = np.where(without, of_event + np.uint32(len(stated.values)), stated.codes)
        return Coded(both, codes).merged(both)

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

    def add(self, name: str, column: Column | StatedOrDerived) -> None:
        """Adds what an enrichment has found out."""
        self.added[name] = column

    def parts(self, starts: Sequence[int]) -> list[dict[str, Column]]:
        """What was found out about each pack's events, whatever stands beside them. starts: of the
        packs, and the end of the last one."""
        # Columns that come from one source share their codes.
        coded_ones = filter(None, map(_coded, self.added.values()))
        sources = {id(one.codes): one for one in coded_ones}
        lengths = [end - start for start, end in pairwise(starts)]
        sections = appearing(
            np.concatenate([one.codes for one in sources.values()]),
            lengths * len(sources),
            [len(one.values) for one in sources.values() for _ in lengths],
        )
        return [
            {name: _part(one, start, end, appear) for name, one in self.added.items()}
            for pack, (start, end) in enumerate(pairwise(starts))
            for appear in [dict(zip(sources, sections[pack :: len(lengths)], strict=True))]
        ]


def _bounded(column: Coded) -> Coded:
    if max(map(len, column.values), default=0) <= TEXT_CHARS_MAX:
        return column
    return column.merged([one[:TEXT_CHARS_MAX] for one in column.values])


def _coded(column: Column | StatedOrDerived) -> Coded | None:
    if isinstance(column, StatedOrDerived):
        return column.stated
    return column if isinstance(column, Coded) else None


def _part(
    column: Column | StatedOrDerived, start: int, end: int, appear: Mapping[int, Appearing]
) -> Column:
    """appear: by the id of the codes that a column has."""
    if isinstance(column, Coded):
        return column.among(*appear[id(column.codes)])
    if isinstance(column, StatedOrDerived):
        stated = column.stated.among(*appear[id(column.stated.codes)])
        return column.stated_or_derived(stated, start, end)
    if isinstance(column, Hashes):
        return Hashes(column.numbers[start:end])
    return column[start:end]

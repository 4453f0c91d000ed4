"""What goes into an event store, and what comes out of it."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from eventstore.event import CountKey
from eventstore.ledger import Entries
from eventstore.ports.way import Way

Int64s = npt.NDArray[np.int64]
ERASED = "erased"  # the stage of a dead letter whose event, or some of whose pack, was erased
# What differs between failures of one kind: quoted values, ids, numbers.
VARIES = re.compile(r"""'[^']*'|"[^"]*"|\b[0-9a-fA-F-]{16,}\b|\d+""")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was refused after its acknowledgement: a whole pack (index None) or one event of it.

    stage: which step refused it: "pack", "format", "schema", "transform"; or ERASED. reason: on
    its first line what is wrong, on others what helps to find out. body: the original bytes.
    """

    pack_id: UUID
    index: int | None
    stage: str
    reason: str
    body: bytes

    @property
    def fingerprint(self) -> str:
        """The same for dead letters that one mistake has made: 12 hex digits of the stage and the
        reason's first line, without what differs from event to event."""
        line = VARIES.sub("*", self.reason.partition("\n")[0])
        return hashlib.sha256(f"{self.stage}: {line}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Enriched:
    """A pack as a processor hands it to the store; a pure function of the pack.

    Per event, in order: windows, the start of the one it counts in (Unix seconds); name_codes, an
    index into names; keys, shape (n, 2), what recognises a client's retry among those of the same
    key_spans (zeros: nothing does). dead: events of the pack that are unusable; they are stored
    as dead letters and never visible. view: what transforms have made of the events (see
    processing/view.py); times_seen: as how many events each is seen and counted; None: as one.
    """

    pack_id: UUID
    body: bytes
    sidecar: bytes
    endpoint: str
    windows: Int64s
    names: Sequence[str]
    name_codes: npt.NDArray[np.uint32]
    keys: Int64s
    key_spans: Int64s
    dead: Sequence[DeadLetter] = ()
    view: bytes = b""
    times_seen: Sequence[int] | None = None

    @property
    def dead_events(self) -> frozenset[int]:
        """Their indexes."""
        return frozenset(letter.index for letter in self.dead if letter.index is not None)

    def counts(self, hidden: Collection[int]) -> Counter[CountKey]:
        """What the visible events add up to."""
        coded = self.windows * len(self.names) + self.name_codes
        if hidden or self.times_seen:
            seen = np.array(self.times_seen or np.ones(len(coded)), dtype=np.int64)
            seen[list(hidden)] = 0
            coded = np.repeat(coded, seen)
        found, times = np.unique(coded, return_counts=True)
        counts: Counter[CountKey] = Counter()
        for both, count in zip(found.tolist(), times.tolist(), strict=True):
            window, name = divmod(both, len(self.names))
            counts[CountKey(window, self.endpoint, self.names[name])] = count
        return counts


@dataclass(frozen=True, slots=True)
class Order:
    """An erasure that stands: for which certificate; whose events, by the length and a digest of
    the value that their field has; when it was given, and until when it is kept, in Unix
    milliseconds."""

    certificate: str
    field: str
    value_bytes: int
    value_sha256: str
    at_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was looked at, and of it what was deleted, or overwritten where others are beside it."""

    looked_at: int = 0
    deleted: int = 0
    overwritten: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """A zstd dictionary, as it is kept: its id, whose traffic it was trained from, when, and what
    it holds."""

    dictionary_id: int
    tenant: str
    at_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored pack. hidden: indexes that a reader never sees (retries, dead letters)."""

    seq: int
    pack_id: UUID
    body: bytes
    sidecar: bytes
    view: bytes
    hidden: frozenset[int]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What is left of a pack when some of its events are erased. was: the stored pack that body,
    sidecar and view take the place of; None: it isn't stored, but dead as a whole. letters: each
    takes the place of the dead letter of this pack and index, if that is there."""

    pack_id: UUID
    letters: Sequence[DeadLetter]
    was: Stored | None = None
    body: bytes = b""
    sidecar: bytes = b""
    view: bytes = b""


@dataclass(frozen=True, slots=True)
class Partials:
    """What a window counts, folded over the set of its packs, and which version of it this is."""

    version: int
    counts: Counter[CountKey]
    packs: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What the store has noted of a pack, stored or dead.

    windows: start of each window that it counts in → the window's version from which on it does.
    dead: index → why this event is a dead letter; None: the whole pack.
    """

    way: Way
    windows: Mapping[int, int]
    dead: Mapping[int | None, str]


@dataclass(frozen=True, slots=True)
class StoreLedger:
    """entries: what became of events, as it was noted then. found: the same by what is there now.
    noted: those of the packs asked for that have come here."""

    entries: Entries
    found: Entries
    noted: Collection[UUID]

"""The port of a queue: what every engine promises."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from eventstore.ledger import Entries
from eventstore.ports.way import Way


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack on its way into the queue. endpoint, events: what the ledger counts it under."""

    pack_id: UUID
    body: bytes
    endpoint: str
    events: int


@dataclass(frozen=True, slots=True)
class Lease:
    """One claimed pack. attempts counts this claim too; reason is the last failure's, or ""."""

    pack_id: UUID
    body: bytes
    attempts: int
    token: str
    reason: str
    way: Way


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pack in the queue, leased or not."""

    body: bytes
    way: Way


@dataclass(frozen=True, slots=True)
class QueueLedger:
    """entries: what was accepted and taken, as it was noted then. waiting: what is there now."""

    entries: Entries
    waiting: Mapping[UUID, Way]


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits: packs and bytes in all (None: the engine doesn't know), and how many of the
    packs are leased right now. oldest_s: how long the oldest of those that nobody has leased has
    been there, 0 without any; None: the engine doesn't know."""

    packs: int
    bytes: int | None
    leased: int
    oldest_s: float | None = None

    def gauges(self) -> dict[str, float]:
        """For /metrics: what is known."""
        known = {
            "ev_queue_packs": self.packs,
            "ev_queue_bytes": self.bytes,
            "ev_queue_leased": self.leased,
            "ev_queue_oldest_seconds": self.oldest_s,
        }
        return {name: value for name, value in known.items() if value is not None}


class Queue(Protocol):
    """Packs between collectors and processors. At least once, roughly in order, bounded.

    An engine that remembers has a ledger, finds a pack by its id, keeps the same id once and in its
    order, and all of a put or none; it is bounded in bytes too. One that doesn't says so: its
    ledger is None.
    """

    def put(self, packs: Sequence[Packed]) -> None:
        """Durable when it returns, and with them, in the ledger, that they were accepted. The same
        id twice is counted once.

        Raises QueueFull at the bound of packs or bytes: then none was kept.
        """

    def put_back(self, packs: Sequence[Packed]) -> None:
        """The same for packs that were taken before, and are wanted again: in the ledger they no
        longer are."""

    def claim(
        self,
        packs_max: int,
        lease_s: float,
        *,
        wait_s: float | None = None,
        node: str = "",
        release: str = "",
    ) -> list[Lease]:
        """Packs that nobody else gets for lease_s. A lease that runs out is claimed again.

        wait_s: bounds how long it may wait for the first, where it can; None: as the engine does.
        node, release: who claims; for receipts.
        """

    def extend(self, leases: Collection[Lease], lease_s: float) -> list[Lease]:
        """Those that are still held, for lease_s more from now."""

    def release(self, leases: Collection[Lease], *, delay_s: float = 0, reason: str = "") -> None:
        """Hands back what is still held. Without a reason the attempt does not count."""

    def ack(self, leases: Collection[Lease]) -> None:
        """Deletes what is still held, and notes in the ledger that it was taken; a lease lost to
        another changes nothing."""

    def depth(self) -> Depth:
        """A look at what waits; consistent where the engine remembers."""

    def find(self, pack_id: UUID) -> Waiting | None:
        """A pack that waits, with the stages `queued` and, once it was claimed, `leased`."""

    def ledger(self, since_minute: int, *, recount: bool = False) -> QueueLedger | None:
        """A consistent look at the ledger from a minute on; only with recount at what waits."""

    def close(self) -> None:
        """Lets go of files and connections; leases stay as they are."""

"""The port of an event store: what every engine promises."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from eventstore.ports.records import (
    DeadLetter,
    Enriched,
    Noted,
    Order,
    Partials,
    Rewritten,
    Stored,
    StoreLedger,
    Tidied,
    Trained,
)
from eventstore.ports.way import NO_WAYS, Way


class EventStore(Protocol):
    """Packs for ever. A pack that is stored stays as it is, however often it is put again."""

    def put(self, packs: Sequence[Enriched], ways: Mapping[UUID, Way] = NO_WAYS) -> int:
        """Durable when it returns, all or none; says how many events are hidden as retries.

        In one transaction, or so that the next put of the same pack ends one that was cut short:
        the pack, who owns each client key (the first wins, for ever), what its visible events add
        to each window, and in the ledger what became of each event. Of the ways the first is kept,
        until what became of the events changes. A dead letter that is this whole pack is gone then.
        """

    def revive(self, pack: Enriched, chosen: Collection[int], was: Stored) -> bool:
        """Stores a stored pack anew: of the chosen events, which are dead letters, only those in
        pack.dead still are. False: it is no longer as it was; nothing has changed.

        The others are visible, and counted, unless they are a client's retries.
        """

    def erase(self, packs: Sequence[Rewritten]) -> frozenset[UUID]:
        """Puts what is left of packs and dead letters in their place; when it returns, the bytes
        that they had are gone. Those packs that are no longer as they were: of them nothing has
        changed.

        Counts, client keys and the ledger stay; what notes of a pack's way may quote goes too. The
        same again, with what is there now as what was, ends a call that was cut short.
        """

    def put_order(self, order: Order) -> None:
        """Durable when it returns; another of the same certificate goes."""

    def orders(self, now_ms: int) -> list[Order]:
        """Those that stand, by certificate: all that were put before this was asked."""

    def get(self, pack_id: UUID) -> Stored | None:
        """One pack by id."""

    def packs(self, after_seq: int = 0) -> Iterator[Stored]:
        """All packs after seq, in the engine's one order: as they were first stored, or accepted.
        Others may still come; in the order of acceptance also between those that are there."""

    def newest(self) -> Iterator[Stored]:
        """All packs in the other order: the last come first."""

    def put_dead(self, letters: Sequence[DeadLetter], ways: Mapping[UUID, Way] = NO_WAYS) -> None:
        """Durable when it returns, with its entry in the ledger; the same pack and index again
        overwrites itself, but not what was erased."""

    def dead_letters(self, fingerprint: str | None = None) -> Iterator[DeadLetter]:
        """All of them, or those with this fingerprint, by pack and index."""

    def changed_windows(self, windows_max: int) -> list[int]:
        """Starts of windows that have changed since they were marked, oldest first."""

    def partials(self, window_start_s: int) -> Partials:
        """A consistent look at one window."""

    def mark_published(self, window_start_s: int, version: int) -> None:
        """This version of the window has been published; a hint, never lowered."""

    def noted(self, pack_id: UUID) -> Noted | None:
        """What became of a pack; None when it has not come here."""

    def ledger(
        self, since_minute: int, waiting: Collection[UUID] = (), *, recount: bool = False
    ) -> StoreLedger:
        """A consistent look at the ledger from a minute on; only with recount at what is there,
        pack by pack. waiting: packs of which to say whether they have come here."""

    def put_dictionary(self, trained: Trained) -> None:
        """Durable when it returns, for ever: packs need it. The same again changes nothing. Raises
        EventStoreError when the id is another's."""

    def dictionary(self, dictionary_id: int) -> bytes | None:
        """What it holds; None when there is none of this id."""

    def dictionaries(self) -> Iterator[Trained]:
        """All of them, by id."""

    def tidy(self, now_s: float) -> Tidied:
        """Takes away some of what writers that died have left and no reader sees, when it is
        somebody's turn. Any number may ask, as often as they like."""

    def take_turn(self, who: str, now_s: float, for_s: float) -> bool:
        """Whether who gathers thin traffic until now_s + for_s: one at a time, where that is worth
        something. Nobody has a turn that would end later than one that is taken now."""

    def end_turn(self, who: str) -> None:
        """Another may have it."""

    def close(self) -> None:
        """Lets go of files and connections."""

"""Which processor gathers thin traffic: one at a time, or each would fill segments half as large,
and each segment costs as much. Who has no turn leaves all packs in the queue.

Traffic is thin when a processor that lingers has seen the queue empty and has not found enough for
a segment. Where it isn't, all of them claim. A turn is shorter than the linger, so that packs wait
no longer than that for a processor that died.
"""

from collections.abc import Callable

from eventstore.event import new_pack_id
from eventstore.ports import EventStore
from eventstore.processing.gathered import LOOKS

LINGER_S_MIN = 10  # of a shorter one, turns cost more than they save
TURN, RENEWED = 3 / 4, 3 / 8  # of the linger: how long it is, and how much of it is left then


class Turn:
    """One processor's. clock: of this machine, in Unix seconds."""

    def __init__(self, store: EventStore, linger_s: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._linger_s = linger_s
        self._clock = clock
        self._who = new_pack_id().hex
        self._until_s: float | None = None
        self._has_seen_all = False
        self._is_thin = False  # until it is known

    def is_mine(self) -> bool:
        """Whether to claim. Raises EngineUnavailable."""
        if not self._is_thin:
            return True
        now_s = self._clock()
        if self._until_s is None or self._until_s - now_s <= self._linger_s * RENEWED:
            for_s = self._linger_s * TURN
            taken = self._store.take_turn(self._who, now_s, for_s)
            self._until_s = now_s + for_s if taken else None
        return self._until_s is not None

    def pause_s(self) -> float:
        """Until it may be."""
        has_none = self._is_thin and self._until_s is None
        return self._linger_s / LOOKS if has_none else 0

    def note_claim(self, *, is_all: bool) -> None:
        """is_all: nothing else waited."""
        self._has_seen_all |= is_all

    def note_put(self, *, has_enough: bool) -> None:
        """has_enough: for a segment. Raises EngineUnavailable."""
        is_thin = self._linger_s >= LINGER_S_MIN and self._has_seen_all and not has_enough
        self._is_thin, self._has_seen_all = is_thin, False
        if not is_thin:
            self.end()

    def end(self) -> None:
        """Lets another have it. Raises EngineUnavailable."""
        if self._until_s is not None:
            self._until_s = None
            self._store.end_turn(self._who)

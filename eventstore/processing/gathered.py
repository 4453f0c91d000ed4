"""Packs that are enriched, and wait under their leases for others to be stored with."""

from collections.abc import Callable, Collection
from uuid import UUID

from eventstore.ports import Enriched, Lease

# A store that merges packs wants some megabytes of them, and no more than a processor can hold.
ENOUGH_BYTES = 4 << 20
BYTES_MAX = 8 << 20
LOOKS = 4
Ready = tuple[Lease, Enriched]


class Gathered:
    """linger_s: how long the first waits at most; 0: not at all."""

    def __init__(self, linger_s: float, clock: Callable[[], float]) -> None:
        self._linger_s = linger_s
        self._clock = clock
        self._ready: list[Ready] = []
        self._bytes = 0
        self._first_at_s = 0.0

    @property
    def leases(self) -> list[Lease]:
        return [lease for lease, _ in self._ready]

    def fits(self, pack: Enriched) -> bool:
        """Whether it may wait with those that do; the first always may."""
        return not self._ready or self._bytes + _bytes_of(pack) <= BYTES_MAX

    def add(self, lease: Lease, pack: Enriched) -> None:
        """It waits from now on, the others have longer."""
        if not self._ready:
            self._first_at_s = self._clock()
        self._ready.append((lease, pack))
        self._bytes += _bytes_of(pack)

    def keep(self, pack_ids: Collection[UUID]) -> None:
        """Forgets the others: they are leased to somebody else by now."""
        self._ready = [one for one in self._ready if one[0].pack_id in pack_ids]
        self._bytes = sum(_bytes_of(pack) for _, pack in self._ready)

    def is_due(self) -> bool:
        """Whether there are enough, or the first has waited for long enough."""
        return self.has_enough() or self.left_s() == 0

    def has_enough(self) -> bool:
        """For a segment, however long they have waited."""
        return self._bytes >= ENOUGH_BYTES

    def left_s(self) -> float | None:
        """How much longer the first may wait; None: nothing does."""
        if not self._ready:
            return None
        return max(0.0, self._first_at_s + self._linger_s - self._clock())

    def pause_s(self) -> float:
        """Between looks at a queue that has little: a few while the first waits, not hundreds."""
        return min(self.left_s() or 0, self._linger_s / LOOKS)

    def take(self) -> list[Ready]:
        """All of them, and none is left."""
        taken, self._ready, self._bytes = self._ready, [], 0
        return taken


def _bytes_of(pack: Enriched) -> int:
    return len(pack.body) + len(pack.sidecar) + len(pack.view)

"""Who may have how much, when tenants share what is bounded; and whose turn it is. Pure.

Shares answers "may this tenant hold more?". A tenant may hold up to ALONE times of what is left
free, so what is free is never used up: alone it gets ALONE / (ALONE + 1) of the bound, a second one
finds room at once, and as each then waits for what the other gives back they end up with the same.
(Dynamic thresholds; Choudhury and Hahne, 1998.)

Turns answers "who is next?" by deficit round robin (Shreedhar and Varghese, 1995): in each round
every tenant that waits may take as many bytes as any other, however much of it is there.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ALONE = 8
TURN_BYTES = 64 << 10
ITEM_BYTES = 512  # what an item costs beside its bytes: a flood of tiny ones is a flood, too

Item = TypeVar("Item")


class Shares:
    """How much of `total` each tenant holds."""

    def __init__(self, total: int) -> None:
        self.free = total
        self._total = total
        self._held: dict[str, int] = {}

    def fits(self, tenant: str, amount: int) -> bool:
        """Whether the tenant may hold this much more."""
        fits = self.take(tenant, amount)
        if fits:
            self.give_back(tenant, amount)
        return fits

    def take(self, tenant: str, amount: int) -> bool:
        """Takes it, if it fits. Where nothing is held all may be."""
        held, free = self._held.get(tenant, 0) + amount, self.free - amount
        if held > ALONE * free and (free < 0 or self.free != self._total):
            return False
        self._held[tenant] = held
        self.free = free
        return True

    def give_back(self, tenant: str, amount: int) -> None:
        """Of what was taken."""
        self._held[tenant] -= amount
        self.free += amount


@dataclass(slots=True)
class _Line(Generic[Item]):
    """One tenant's items with their costs, in order, and how much it may take before its turn
    ends."""

    items: deque[tuple[Item, int]] = field(default_factory=deque)
    deficit: int = 0


class Turns(Generic[Item]):
    """Items that wait, first in first out for each tenant, in turns between tenants."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[Item]] = {}  # of tenants that wait; the first is next
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            for item, _ in line.items:
                yield item

    def add(self, tenant: str, item: Item, size: int) -> None:
        """size: its bytes."""
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = _Line()
        line.items.append((item, size + ITEM_BYTES))
        self._count += 1

    def take(self, bytes_max: int) -> list[Item]:
        """What comes next, until it is bytes_max or more; at least one item when any waits."""
        taken: list[Item] = []
        size = 0
        while self._lines and (size < bytes_max or not taken):  # ends: deficits grow every round
            tenant, line = next(iter(self._lines.items()))
            items, deficit = line.items, line.deficit + TURN_BYTES
            while items and items[0][1] <= deficit:
                item, cost = items.popleft()
                deficit -= cost
                size += cost
                taken.append(item)
            line.deficit = deficit
            del self._lines[tenant]
            if items:
                self._lines[tenant] = line  # at the end: the others come first
        self._count -= len(taken)
        return taken

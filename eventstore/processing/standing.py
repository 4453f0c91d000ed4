"""Erasures that stand: what was acknowledged before one, and comes to the store after it has been
searched, is erased as it comes.

An order is durable before the store is searched, and whoever has stored a pack asks for the orders
before it acknowledges it. So a pack is stored before the search begins, and found there, or its
processor sees the order. What was accepted later than the order is none of its business, and costs
nothing.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from eventstore.dictionaries import Dictionaries
from eventstore.errors import PackCorrupt
from eventstore.ledger import accepted_at_ms
from eventstore.ports import DeadLetter, EventStore, Order, Stored
from eventstore.processing.erase import Request, erase_some
from eventstore.processing.erasing import held
from eventstore.processing.subject import Sealed

# Longer than a message of SQS lives, in the queue and in its dead-letter queue together; and than a
# node is away whose spool still has packs.
STANDS_DAYS = 30
DAY_MS = 86_400_000
CLOCKS_MS = 300_000  # by so much may a collector's clock be ahead of the clock of who asks


def order_of(request: Request, at_ms: int) -> Order:
    """What is to be kept of a request, to be put before the store is searched."""
    seal = Sealed.of(request.subject, request.certificate)
    until_ms = at_ms + STANDS_DAYS * DAY_MS
    whose = (seal.field, seal.value_bytes, seal.value_sha256)
    return Order(request.certificate, *whose, at_ms, until_ms)


def follow(
    store: EventStore,
    packs: Sequence[UUID],
    letters: Sequence[DeadLetter],
    dictionaries: Dictionaries,
    now_ms: int,
) -> int:
    """Of what has just come to the store, packs and packs that are dead as a whole: how many were
    changed. Raises EngineUnavailable; the same again ends it."""
    changed = 0
    for order in store.orders(now_ms):
        certificate = order.certificate
        subject = Sealed(order.field, certificate, order.value_bytes, order.value_sha256)
        late = _late(order)
        found: list[Stored | DeadLetter] = [one for one in letters if late(one.pack_id)]
        found += [stored for one in packs if late(one) and (stored := store.get(one))]
        for one in found:
            try:
                holds = held(one, subject, certificate, dictionaries)
            except PackCorrupt:  # nobody knows whose events it holds: the next request names it
                continue
            if holds is not None:
                changed += bool(holds.events)
                for _ in erase_some(store, [holds], subject, certificate, now_ms):
                    pass
    return changed


def _late(order: Order) -> Callable[[UUID], bool]:
    return lambda pack_id: accepted_at_ms(pack_id) <= order.at_ms + CLOCKS_MS

"""A dead letter's second chance: through enrichment and transforms again, under the same id.

An event is replayed within its stored pack, of which nothing else changes but what enrichment says.
A whole pack goes back to the queue, and its letter goes when a processor has stored it. Either way
nothing is there twice, however often, and by however many, it is done.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import groupby
from uuid import UUID

from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.ports import DeadLetter, Enriched, EventStore, Packed, Queue, Stored
from eventstore.processing import view
from eventstore.processing.enrich import Rules, enrich
from eventstore.processing.transformer import Transformer

TRIES = 3


@dataclass(frozen=True, slots=True)
class Replayed:
    """revived, still_dead: events. put_back: whole packs, which a processor will take."""

    revived: int = 0
    still_dead: int = 0
    put_back: int = 0

    def __add__(self, other: "Replayed") -> "Replayed":
        return Replayed(
            self.revived + other.revived,
            self.still_dead + other.still_dead,
            self.put_back + other.put_back,
        )


def replay(
    fingerprint: str, queue: Queue, store: EventStore, rules: Rules, transformer: Transformer | None
) -> Replayed:
    """All dead letters with this fingerprint. Raises QueueFull: those before it are replayed."""
    done = Replayed()
    letters = store.dead_letters(fingerprint)
    for pack_id, some in groupby(letters, key=lambda letter: letter.pack_id):
        for whole, group in groupby(some, key=lambda letter: letter.index is None):
            if whole:
                done += _put_back(next(group), queue, store)
            else:
                chosen = {letter.index for letter in group if letter.index is not None}
                done += _revive(pack_id, chosen, store, rules, transformer)
    return done


def revived(
    stored: Stored,
    chosen: Collection[int],
    rules: Rules,
    transformer: Transformer | None,
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Enriched:
    """The stored pack by the rules of today, as far as the chosen events are concerned: others are
    seen as they were, and none of them dies."""
    again = enrich(stored.pack_id, stored.body, rules, transformer, dictionaries)
    lines = view.merged(stored.view, again.view, chosen, len(again.windows))
    return replace(
        again,
        dead=tuple(letter for letter in again.dead if letter.index in chosen),
        view=view.encode(lines),
        times_seen=view.times(lines),
    )


def _revive(
    pack_id: UUID,
    chosen: Collection[int],
    store: EventStore,
    rules: Rules,
    transformer: Transformer | None,
) -> Replayed:
    dictionaries = Dictionaries(store.dictionary)
    for _ in range(TRIES):  # another replay may have changed the pack meanwhile
        stored = store.get(pack_id)
        if stored is None:
            break
        pack = revived(stored, chosen, rules, transformer, dictionaries)
        if store.revive(pack, chosen, stored):
            return Replayed(len(chosen) - len(pack.dead), len(pack.dead))
    return Replayed(still_dead=len(chosen))


def _put_back(letter: DeadLetter, queue: Queue, store: EventStore) -> Replayed:
    noted = store.noted(letter.pack_id)
    endpoint, events = (noted.way.endpoint, noted.way.events) if noted else ("", 0)
    queue.put_back([Packed(letter.pack_id, letter.body, endpoint, events)])
    return Replayed(put_back=1)

"""The store's side of the ledger: what became of packs' events, by what their items have noted, and
by what the table holds now."""

from collections.abc import Collection, Mapping
from uuid import UUID

from eventstore.backends.aws import items
from eventstore.backends.aws.heads import Heads
from eventstore.backends.aws.items import Head
from eventstore.backends.aws.placing import Placing
from eventstore.ledger import (
    DEAD,
    NOTHING,
    Key,
    Tally,
    add,
    fates,
    first_of_minute,
    minute_of,
    tally,
)
from eventstore.ports import StoreLedger


def ledger_of(
    heads: Heads,
    placing: Placing,
    since_minute: int,
    waiting: Collection[UUID],
    *,
    recount: bool,
) -> StoreLedger:
    """As the store's port has it."""
    entries: dict[Key, Tally] = {}
    found: dict[Key, Tally] = {}
    first = first_of_minute(max(since_minute, 0))
    letters: dict[UUID, set[int | None]] = {}
    for one in heads.letters(above=first.hex) if recount else ():
        letter = items.letter_of(one)
        letters.setdefault(letter.pack_id, set()).add(letter.index)
    files: dict[str, bool] = {}
    for head in heads.scan(first, inclusive=True):
        if head.way is None:
            continue
        _add_fates(entries, head, head.noted)
        if recount and not placing.lost(head, files):
            _add_fates(found, head, _found(head, letters.get(head.pack_id, set())))
    known = heads.there(waiting).values()
    return StoreLedger(
        entries, found, frozenset(one.pack_id for one in known if one.way is not None)
    )


def _found(head: Head, letters: Collection[int | None]) -> Mapping[str, Tally]:
    """What became of its events by the items that hold them now."""
    if head.way is None:
        return {}
    if head.stored:
        indexes = [one for one in letters if one is not None]
        return fates(head.pack_id, head.way.events, head.hidden, indexes)
    return {DEAD: tally(head.pack_id, head.way.events)} if None in letters else {}


def _add_fates(entries: dict[Key, Tally], head: Head, became: Mapping[str, Tally]) -> None:
    endpoint = head.way.endpoint if head.way else ""
    for fate, one in became.items():
        if one != NOTHING:
            add(entries, Key(minute_of(head.pack_id), endpoint, fate), one)

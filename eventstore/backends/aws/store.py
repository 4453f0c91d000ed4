"""The event store on DynamoDB. What each item is: items.py.

heads.py finds and writes packs' items; placing.py says where contents go; windows.py and key_log.py
have what packs add to others; rewriting.py changes packs in their place.

put() reads as the procedure: contents into a segment, where that is cheaper → whose client keys
come first → dead letters and what windows count → the windows have changed → the pack itself, or
where it is, if it is not there. Until that last write nothing has happened to a reader of packs,
and the pack comes again. All before it overwrites itself, but for the segment: of two that hold the
same pack the first that an item refers to stays in force.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from eventstore.backends.aws import items
from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.expiry import Expiry
from eventstore.backends.aws.heads import ABSENT, Heads
from eventstore.backends.aws.items import Head, head_of
from eventstore.backends.aws.key_log import KeyLog
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.placing import Placement, Placing
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.rewriting import Rewriting
from eventstore.backends.aws.segments import Segment, Segments
from eventstore.backends.aws.store_ledger import ledger_of
from eventstore.backends.aws.sweep import Sweep
from eventstore.backends.aws.table import Table
from eventstore.backends.aws.turns import Turns
from eventstore.backends.aws.windows import Windows
from eventstore.errors import EventStoreError
from eventstore.ledger import DEAD, fates, minute_of, tally
from eventstore.ports import (
    NO_WAYS,
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
    Way,
)

MINUTES_KEPT = 10_000  # known to be noted; others are noted again
GATHERING = "gathering"


class DynamoStore:
    """The port EventStore over one table. ttl_days: when items go; None: never. segments: where
    contents are that are not in items; placement: where new ones go."""

    def __init__(
        self,
        place: Place,
        retries: Retries,
        *,
        ttl_days: int | None = None,
        segments: Segments | None = None,
        placement: Placement = "auto",
    ) -> None:
        self._table = Table(place, retries)
        self._expiry = Expiry(ttl_days)
        begun = Begun(self._table)
        self._placing = Placing(segments, placement, begun, self._expiry.is_over)
        self._turns = Turns(self._table)
        self._sweep = Sweep(self._table, segments, begun) if segments else None
        self._heads = Heads(self._table, self._placing, self._expiry)
        self._windows = Windows(self._table)
        self._keys = KeyLog(self._table, retries, self._placing)
        self._rewriting = Rewriting(
            self._table, self._heads, self._placing, self._windows, self._expiry
        )
        self._minutes: set[int] = set()

    def put(self, packs: Sequence[Enriched], ways: Mapping[UUID, Way] = NO_WAYS) -> int:
        by_id = {pack.pack_id: pack for pack in packs}
        there = self._heads.there(by_id)
        new = [
            pack
            for pack_id, pack in by_id.items()
            if pack_id not in there or not there[pack_id].stored
        ]
        expires = max((self._expiry.of(pack.pack_id) or 0 for pack in new), default=0) or None
        parts = self._keys.parts(new, expires)
        segment = self._placing.written(new, {part.pk: part.blob for part in parts})
        again = self._keys.claim(parts, segment.keys if segment else {}, expires)
        retries = {pack.pack_id: again.get(pack.pack_id, set()) for pack in new}
        versions = self._put_counts(new, retries, expires)
        self._note_minutes(pack.pack_id for pack in new)
        # Those that were dead as a whole are no longer.
        self._table.drop(
            [items.letter_key(one.pack_id, None) for one in new if one.pack_id in there]
        )
        heads = [
            _new_head(
                pack,
                ways.get(pack.pack_id) or Way(pack.endpoint, len(pack.windows)),
                retries[pack.pack_id],
                versions,
                segment,
            )
            for pack in new
        ]
        if all(self._table.at_once(self._heads.add, heads)) and segment:
            self._placing.settle(segment)
        known = retries | {one: set(head.retries) for one, head in there.items() if head.stored}
        return sum(len(known[pack.pack_id] - pack.dead_events) for pack in packs)

    def revive(self, pack: Enriched, chosen: Collection[int], was: Stored) -> bool:
        return self._rewriting.revive(pack, chosen, was)

    def erase(self, packs: Sequence[Rewritten]) -> frozenset[UUID]:
        return self._rewriting.erase(packs)

    def put_order(self, order: Order) -> None:
        self._table.write([items.order_item(order)])

    def orders(self, now_ms: int) -> list[Order]:
        found = map(items.order_of, self._table.query(items.ORDERS))
        return [one for one in found if one.until_ms > now_ms]

    def get(self, pack_id: UUID) -> Stored | None:
        head = self._heads.one(pack_id)
        return head.to_stored() if head and head.stored else None

    def packs(self, after_seq: int = 0) -> Iterator[Stored]:
        yield from self._stored(self._heads.scan(UUID(int=after_seq)))

    def newest(self) -> Iterator[Stored]:
        yield from self._stored(self._heads.scan(UUID(int=0), backwards=True))

    def put_dead(self, letters: Sequence[DeadLetter], ways: Mapping[UUID, Way] = NO_WAYS) -> None:
        self._table.at_once(self._heads.put_letter, letters)
        whole = [one.pack_id for one in letters if one.index is None]
        self._note_minutes(whole)
        for pack_id in whole:
            way = ways.get(pack_id)
            noted = {DEAD: tally(pack_id, way.events)} if way else {}
            self._heads.add(Head(pack_id, stored=False, way=way, noted=noted), ABSENT)

    def dead_letters(self, fingerprint: str | None = None) -> Iterator[DeadLetter]:
        equal = None if fingerprint is None else ("fingerprint", fingerprint)
        return map(items.letter_of, self._heads.letters(equal=equal))

    def changed_windows(self, windows_max: int) -> list[int]:
        return self._windows.changed(windows_max)

    def partials(self, window_start_s: int) -> Partials:
        return self._windows.partials(window_start_s)

    def mark_published(self, window_start_s: int, version: int) -> None:
        self._windows.mark_published(window_start_s, version)

    def noted(self, pack_id: UUID) -> Noted | None:
        item = self._heads.item(pack_id)
        head = head_of(item) if item else None
        if head is None or head.way is None:
            return None
        pk, first = items.letter_key(pack_id, None)
        letters = self._table.query(pk, above=first[:-7], below=f"{pack_id.hex}#~")
        dead = {one.index: one.reason for one in map(items.letter_of, letters)}
        return Noted(head.way, dict(head.windows), dead)

    def ledger(
        self, since_minute: int, waiting: Collection[UUID] = (), *, recount: bool = False
    ) -> StoreLedger:
        return ledger_of(self._heads, self._placing, since_minute, waiting, recount=recount)

    def put_dictionary(self, trained: Trained) -> None:
        with suppress(Unmet):  # it is there
            self._table.put_if(items.dictionary_item(trained), ABSENT)
        if self.dictionary(trained.dictionary_id) != trained.data:
            raise EventStoreError(f"dictionary {trained.dictionary_id} is another one; train again")

    def dictionary(self, dictionary_id: int) -> bytes | None:
        item = self._table.get(items.dictionary_key(dictionary_id))
        return item.blob if item else None

    def dictionaries(self) -> Iterator[Trained]:
        return map(items.trained_of, self._table.query(items.DICTIONARIES))

    def tidy(self, now_s: float) -> Tidied:
        return self._sweep.turn(now_s) if self._sweep else Tidied()

    def take_turn(self, who: str, now_s: float, for_s: float) -> bool:
        return self._turns.take(GATHERING, who, now_s, for_s)

    def end_turn(self, who: str) -> None:
        self._turns.end(GATHERING, who)

    def close(self) -> None:
        self._table.close()
        self._placing.close()

    def _stored(self, heads: Iterable[Head]) -> Iterator[Stored]:
        for head in self._placing.loaded(one for one in heads if one.stored):
            yield head.to_stored()

    def _put_counts(
        self,
        packs: Sequence[Enriched],
        retries: Mapping[UUID, set[int]],
        expires_at_s: int | None,
    ) -> dict[int, int]:
        """Dead letters, and what the packs add to windows; the versions these have then."""
        self._table.write(
            items.letter_item(one, self._expiry.of(pack.pack_id))
            for pack in packs
            for one in pack.dead
        )
        counts = {one.pack_id: one.counts(retries[one.pack_id] | one.dead_events) for one in packs}
        return self._windows.put(counts, expires_at_s)

    def _note_minutes(self, pack_ids: Iterable[UUID]) -> None:
        new = {minute_of(one): one for one in pack_ids}
        new = {minute: one for minute, one in new.items() if minute not in self._minutes}
        self._table.write(
            items.minute_item(minute, self._expiry.of(one)) for minute, one in new.items()
        )
        if len(self._minutes) > MINUTES_KEPT:
            self._minutes.clear()
        self._minutes |= new.keys()


def _new_head(
    pack: Enriched,
    way: Way,
    retries: Collection[int],
    versions: Mapping[int, int],
    segment: Segment | None,
) -> Head:
    dead = pack.dead_events
    hidden = dead.union(retries)
    windows = {key.window_start_s for key in pack.counts(hidden)}
    return Head(
        pack.pack_id,
        stored=True,
        way=way,
        noted=fates(pack.pack_id, way.events, hidden, dead),
        body=pack.body,
        sidecar=pack.sidecar,
        view=pack.view,
        retries=frozenset(retries),
        dead=dead,
        windows={start_s: versions[start_s] for start_s in windows},
        body_at=segment.bodies[pack.pack_id] if segment else None,
        sidecar_at=segment.sidecars[pack.pack_id] if segment else None,
    )

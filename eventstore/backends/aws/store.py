"""The event store on DynamoDB. What each item is: items.py.

put() reads as the procedure: contents into a segment, where that is cheaper → whose client keys
come first → dead letters and what windows count → the windows have changed → the pack itself, or
where it is, if it is not there. Until that last write nothing has happened to a reader of packs,
and the pack comes again. All before it overwrites itself, but for the segment: of two that hold the
same pack the first that an item refers to stays in force.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from heapq import merge
from typing import Literal
from uuid import UUID

from eventstore.backends.aws import items
from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.items import Head, head_key, head_of
from eventstore.backends.aws.key_log import KeyLog
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.placing import Placement, Placing
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.segments import Segment, Segments
from eventstore.backends.aws.table import Item, Table
from eventstore.backends.aws.windows import Windows
from eventstore.errors import EventStoreError
from eventstore.ledger import (
    DEAD,
    NOTHING,
    Key,
    Tally,
    accepted_at_ms,
    add,
    fates,
    first_of_minute,
    minute_of,
    tally,
)
from eventstore.ports import (
    ERASED,
    NO_WAYS,
    DeadLetter,
    Enriched,
    Noted,
    Partials,
    Rewritten,
    Stored,
    StoreLedger,
    Trained,
    Way,
)

DAY_S = 86_400
MINUTES_KEPT = 10_000  # known to be noted; others are noted again
Changed = Literal["changed"]
CHANGED: Changed = "changed"  # since it was looked at
NEW = "attribute_not_exists(pk) OR is_stored = :dead"


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
        self._placing = Placing(segments, placement, self._has_expired)
        self._windows = Windows(self._table)
        self._keys = KeyLog(self._table, retries, self._placing)
        self._ttl_s = None if ttl_days is None else ttl_days * DAY_S
        self._minutes: set[int] = set()

    def put(self, packs: Sequence[Enriched], ways: Mapping[UUID, Way] = NO_WAYS) -> int:
        by_id = {pack.pack_id: pack for pack in packs}
        there = self._heads(by_id)
        new = [
            pack
            for pack_id, pack in by_id.items()
            if pack_id not in there or not there[pack_id].stored
        ]
        expires = max((self._expires(pack.pack_id) or 0 for pack in new), default=0) or None
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
        self._table.at_once(self._add, heads)
        known = retries | {one: set(head.retries) for one, head in there.items() if head.stored}
        return sum(len(known[pack.pack_id] - _dead_of(pack)) for pack in packs)

    def revive(self, pack: Enriched, chosen: Collection[int], was: Stored) -> bool:
        head = self._loaded(pack.pack_id)
        if head is None or head.way is None or not head.stored or head.to_stored() != was:
            return False
        dead = head.dead.difference(chosen) | _dead_of(pack)
        after = replace(
            head,
            sidecar=pack.sidecar,
            view=pack.view,
            sidecar_at=None,  # what is written anew is in the item
            gone=(*head.gone, *filter(None, [head.sidecar_at])),  # for whoever erases it
            dead=dead,
            revision=head.revision + 1,
        )
        hidden = after.hidden
        after = replace(after, noted=fates(pack.pack_id, head.way.events, hidden, dead))
        if not self._overwrite(head, after):
            return False
        # From here on whoever comes to revive it again, as its letters ask for, ends it.
        self._table.at_once(self._put_letter, pack.dead)
        expires = self._expires(pack.pack_id)
        counts = pack.counts(hidden)
        touched = self._windows.replace(pack.pack_id, head.windows, counts, expires)
        counted = {key.window_start_s for key in counts}
        windows = {start: touched.get(start, head.windows.get(start, 0)) for start in counted}
        self._overwrite(after, replace(after, windows=windows, revision=after.revision + 1))
        gone = [one for one in chosen if one not in _dead_of(pack)]
        self._table.drop([items.letter_key(pack.pack_id, one) for one in gone])
        return True

    def erase(self, packs: Sequence[Rewritten]) -> frozenset[UUID]:
        done = self._table.at_once(self._rewrite, packs)
        left = [head for head in done if isinstance(head, Head) and head.gone]
        self._placing.blank([one for head in left for one in head.gone])
        self._table.at_once(self._forget, left)
        return frozenset(one.pack_id for one, so in zip(packs, done, strict=True) if so is CHANGED)

    def get(self, pack_id: UUID) -> Stored | None:
        head = self._loaded(pack_id)
        return head.to_stored() if head and head.stored else None

    def packs(self, after_seq: int = 0) -> Iterator[Stored]:
        yield from self._stored(self._scan(UUID(int=after_seq)))

    def newest(self) -> Iterator[Stored]:
        yield from self._stored(self._scan(UUID(int=0), backwards=True))

    def put_dead(self, letters: Sequence[DeadLetter], ways: Mapping[UUID, Way] = NO_WAYS) -> None:
        self._table.at_once(self._put_letter, letters)
        whole = [one.pack_id for one in letters if one.index is None]
        self._note_minutes(whole)
        for pack_id in whole:
            way = ways.get(pack_id)
            noted = {DEAD: tally(pack_id, way.events)} if way else {}
            self._add(Head(pack_id, stored=False, way=way, noted=noted), "attribute_not_exists(pk)")

    def dead_letters(self, fingerprint: str | None = None) -> Iterator[DeadLetter]:
        equal = None if fingerprint is None else ("fingerprint", fingerprint)
        return map(items.letter_of, self._letters(equal=equal))

    def changed_windows(self, windows_max: int) -> list[int]:
        return self._windows.changed(windows_max)

    def partials(self, window_start_s: int) -> Partials:
        return self._windows.partials(window_start_s)

    def mark_published(self, window_start_s: int, version: int) -> None:
        self._windows.mark_published(window_start_s, version)

    def noted(self, pack_id: UUID) -> Noted | None:
        item = self._table.get(head_key(pack_id))
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
        entries: dict[Key, Tally] = {}
        found: dict[Key, Tally] = {}
        first = first_of_minute(max(since_minute, 0))
        letters: dict[UUID, set[int | None]] = {}
        for one in self._letters(above=first.hex) if recount else ():
            letter = items.letter_of(one)
            letters.setdefault(letter.pack_id, set()).add(letter.index)
        files: dict[str, bool] = {}
        for head in self._scan(first, inclusive=True):
            if head.way is None:
                continue
            _add_fates(entries, head, head.noted)
            if recount and not self._placing.lost(head, files):
                _add_fates(found, head, _found(head, letters.get(head.pack_id, set())))
        heads = self._heads(waiting).values()
        return StoreLedger(
            entries, found, frozenset(one.pack_id for one in heads if one.way is not None)
        )

    def put_dictionary(self, trained: Trained) -> None:
        with suppress(Unmet):  # it is there
            self._table.put_if(items.dictionary_item(trained), "attribute_not_exists(pk)")
        if self.dictionary(trained.dictionary_id) != trained.data:
            raise EventStoreError(f"dictionary {trained.dictionary_id} is another one; train again")

    def dictionary(self, dictionary_id: int) -> bytes | None:
        item = self._table.get(items.dictionary_key(dictionary_id))
        return item.blob if item else None

    def dictionaries(self) -> Iterator[Trained]:
        return map(items.trained_of, self._table.query(items.DICTIONARIES))

    def close(self) -> None:
        self._table.close()
        self._placing.close()

    def _loaded(self, pack_id: UUID) -> Head | None:
        item = self._table.get(head_key(pack_id))
        return next(self._placing.loaded([head_of(item)] if item else []), None)

    def _stored(self, heads: Iterable[Head]) -> Iterator[Stored]:
        for head in self._placing.loaded(one for one in heads if one.stored):
            yield head.to_stored()

    def _heads(self, pack_ids: Iterable[UUID]) -> dict[UUID, Head]:
        found = self._table.get_many([head_key(one) for one in pack_ids])
        return {head.pack_id: head for head in map(head_of, found.values())}

    def _scan(
        self, after: UUID, *, backwards: bool = False, inclusive: bool = False
    ) -> Iterator[Head]:
        """Minute by minute, all shards of one at a time."""
        first = minute_of(after)
        above = items.minute_sk(first - 1) if first else ""
        for one in self._table.query(items.MINUTES, above=above, backwards=backwards):
            minute = int(one.sk)
            edge = after.hex if minute == first and not inclusive else ""
            shards = [
                self._table.query(items.shard(minute, digit), above=edge, backwards=backwards)
                for digit in items.DIGITS
            ]
            yield from map(head_of, merge(*shards, key=lambda item: item.sk, reverse=backwards))

    def _letters(self, *, above: str = "", equal: tuple[str, str] | None = None) -> Iterator[Item]:
        shards = [
            self._table.query(f"dead#{digit}", above=above, equal=equal) for digit in items.DIGITS
        ]
        return merge(*shards, key=lambda item: item.sk)

    def _put_counts(
        self,
        packs: Sequence[Enriched],
        retries: Mapping[UUID, set[int]],
        expires_at_s: int | None,
    ) -> dict[int, int]:
        """Dead letters, and what the packs add to windows; the versions these have then."""
        self._table.write(
            items.letter_item(one, self._expires(pack.pack_id))
            for pack in packs
            for one in pack.dead
        )
        counts = {one.pack_id: one.counts(retries[one.pack_id] | _dead_of(one)) for one in packs}
        return self._windows.put(counts, expires_at_s)

    def _note_minutes(self, pack_ids: Iterable[UUID]) -> None:
        new = {minute_of(one): one for one in pack_ids}
        new = {minute: one for minute, one in new.items() if minute not in self._minutes}
        self._table.write(
            items.minute_item(minute, self._expires(one)) for minute, one in new.items()
        )
        if len(self._minutes) > MINUTES_KEPT:
            self._minutes.clear()
        self._minutes |= new.keys()

    def _add(self, head: Head, condition: str = NEW) -> None:
        values: dict[str, int] = {":dead": 0} if ":dead" in condition else {}
        self._placing.check_fresh(head.body_at)
        with suppress(Unmet):  # another has stored it meanwhile: the same
            self._table.put_if(head.to_item(self._expires(head.pack_id)), condition, values)

    def _put_letter(self, letter: DeadLetter) -> None:
        item = items.letter_item(letter, self._expires(letter.pack_id))
        with suppress(Unmet):  # it was erased
            self._table.put_if(
                item, "attribute_not_exists(pk) OR stage <> :erased", {":erased": ERASED}
            )

    def _rewrite(self, pack: Rewritten) -> Head | Changed | None:
        """Its head after that, where it has one."""
        head = self._loaded(pack.pack_id)
        if pack.was is not None and (
            head is None or not head.stored or head.to_stored() != pack.was
        ):
            return CHANGED
        after = None
        if head is not None:
            way = head.way and head.way.public()
            after = replace(head, way=way, revision=head.revision + 1)
            if pack.was is not None:
                after = replace(
                    after,
                    body=pack.body,
                    sidecar=pack.sidecar,
                    view=pack.view,
                    body_at=None,
                    sidecar_at=None,
                    gone=(*head.gone, *head.placed),
                )
            if not self._overwrite(head, after):
                return CHANGED
        for letter in pack.letters:
            left = items.letter_item(letter, self._expires(letter.pack_id))
            with suppress(Unmet):  # there is none
                self._table.replace(left, "attribute_exists(pk)")
        return after

    def _forget(self, head: Head) -> None:
        """What has gone. Where it has changed again, whoever comes next does this."""
        self._overwrite(head, replace(head, gone=(), revision=head.revision + 1))

    def _overwrite(self, before: Head, after: Head) -> bool:
        item = after.to_item(self._expires(after.pack_id))
        try:
            self._table.replace(item, "revision = :before", {":before": before.revision})
        except Unmet:
            return False
        return True

    def _expires(self, pack_id: UUID) -> int | None:
        return None if self._ttl_s is None else accepted_at_ms(pack_id) // 1000 + self._ttl_s

    def _has_expired(self, pack_id: UUID) -> bool:
        expires = self._expires(pack_id)
        return expires is not None and expires < time.time()


def _new_head(
    pack: Enriched,
    way: Way,
    retries: Collection[int],
    versions: Mapping[int, int],
    segment: Segment | None,
) -> Head:
    dead = _dead_of(pack)
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


def _dead_of(pack: Enriched) -> frozenset[int]:
    return frozenset(letter.index for letter in pack.dead if letter.index is not None)


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

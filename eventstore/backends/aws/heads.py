"""Packs' items and dead letters in the table: found by id and by time, written on conditions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import merge
from uuid import UUID

from eventstore.backends.aws import items
from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.expiry import Expiry
from eventstore.backends.aws.items import Head, head_key, head_of
from eventstore.backends.aws.placing import Placing
from eventstore.backends.aws.table import Item, Key, Table
from eventstore.ledger import accepted_at_ms, minute_of
from eventstore.ports import ERASED, DeadLetter

NEW = "attribute_not_exists(pk) OR is_stored = :dead"
ABSENT = "attribute_not_exists(pk)"
# Packs that came more slowly than this have few of others between them, and nearly all of them are
# new: one request then says of some that none is there, for the price of one that is not.
THIN_PACKS_S_MAX = 100
ASKED_TOGETHER_MIN = 3


class Heads:
    """Over the event store's table. What is in segments is not loaded, unless it says so."""

    def __init__(self, table: Table, placing: Placing, expiry: Expiry) -> None:
        self._table = table
        self._placing = placing
        self._expiry = expiry

    def there(self, pack_ids: Iterable[UUID]) -> dict[UUID, Head]:
        """Of these packs."""
        shards: dict[str, list[Key]] = {}
        asked = sorted(pack_ids)
        for one in asked:
            key = head_key(one)
            shards.setdefault(key[0], []).append(key)
        thin = _packs_per_s(asked) < THIN_PACKS_S_MAX
        together = [keys for keys in shards.values() if thin and len(keys) >= ASKED_TOGETHER_MIN]
        found: dict[Key, Item] = {}
        left = {key for keys in shards.values() for key in keys}
        for some, until in self._table.at_once(self._between, together):
            found |= some
            left -= {key for key in left if key[0] == until[0] and key[1] <= until[1]}
        found |= self._table.get_many(sorted(left))
        return {head.pack_id: head for head in map(head_of, found.values())}

    def one(self, pack_id: UUID) -> Head | None:
        """With its contents."""
        item = self.item(pack_id)
        return next(self._placing.loaded([head_of(item)] if item else []), None)

    def item(self, pack_id: UUID) -> Item | None:
        return self._table.get(head_key(pack_id))

    def scan(
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

    def letters(self, *, above: str = "", equal: tuple[str, str] | None = None) -> Iterator[Item]:
        """Dead ones, in the order of their packs."""
        shards = [
            self._table.query(f"dead#{digit}", above=above, equal=equal) for digit in items.DIGITS
        ]
        return merge(*shards, key=lambda item: item.sk)

    def add(self, head: Head, condition: str = NEW) -> bool:
        """False: another has stored it meanwhile, the same."""
        values: dict[str, int] = {":dead": 0} if ":dead" in condition else {}
        self._placing.check_fresh(head.body_at)
        with suppress(Unmet):
            self._table.put_if(head.to_item(self._expiry.of(head.pack_id)), condition, values)
            return True
        return False

    def overwrite(self, before: Head, after: Head) -> bool:
        """False: it has changed since, and stays."""
        item = after.to_item(self._expiry.of(after.pack_id))
        try:
            self._table.replace(item, "revision = :before", {":before": before.revision})
        except Unmet:
            return False
        return True

    def put_letter(self, letter: DeadLetter) -> None:
        item = items.letter_item(letter, self._expiry.of(letter.pack_id))
        with suppress(Unmet):  # it was erased
            self._table.put_if(item, f"{ABSENT} OR stage <> :erased", {":erased": ERASED})

    def _between(self, keys: Sequence[Key]) -> tuple[Mapping[Key, Item], Key]:
        """Of one shard, in order: those that are there, and up to which of the keys that is all.
        Reads no more items than there are keys, where others have packs between them."""
        (pk, first), (_, last) = keys[0], keys[-1]
        # Ids of one shard have the same last digit: nothing of it is between the first and this.
        above, below = first[:-1], f"{last}~"
        seen = list(self._table.query(pk, above=above, below=below, limit=len(keys)))
        until = seen[-1].sk if len(seen) == len(keys) else last
        wanted = set(keys)
        return {one.key: one for one in seen if one.key in wanted}, (pk, until)


def _packs_per_s(in_order: Sequence[UUID]) -> float:
    if not in_order:
        return 0.0
    ms = accepted_at_ms(in_order[-1]) - accepted_at_ms(in_order[0])
    return len(in_order) * 1000 / max(ms, 1)

"""Packs that are written anew in their place: some of their dead events live, or a subject goes.

Each is replaced on the condition that it is as it was read. What its bytes were in a segment is
noted in its item until it is overwritten there.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal
from uuid import UUID

from eventstore.backends.aws import items
from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.expiry import Expiry
from eventstore.backends.aws.heads import Heads
from eventstore.backends.aws.items import Head
from eventstore.backends.aws.placing import Placing
from eventstore.backends.aws.table import Table
from eventstore.backends.aws.windows import Windows
from eventstore.ledger import fates
from eventstore.ports import Enriched, Rewritten, Stored

Changed = Literal["changed"]
CHANGED: Changed = "changed"  # since it was looked at


class Rewriting:
    """Over the event store's table."""

    def __init__(
        self, table: Table, heads: Heads, placing: Placing, windows: Windows, expiry: Expiry
    ) -> None:
        self._table = table
        self._heads = heads
        self._placing = placing
        self._windows = windows
        self._expiry = expiry

    def revive(self, pack: Enriched, chosen: Collection[int], was: Stored) -> bool:
        """As the port has it."""
        head = self._heads.one(pack.pack_id)
        if head is None or head.way is None or not head.stored or head.to_stored() != was:
            return False
        dead = head.dead.difference(chosen) | pack.dead_events
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
        if not self._heads.overwrite(head, after):
            return False
        # From here on whoever comes to revive it again, as its letters ask for, ends it.
        self._table.at_once(self._heads.put_letter, pack.dead)
        counts = pack.counts(hidden)
        touched = self._windows.replace(
            pack.pack_id, head.windows, counts, self._expiry.of(pack.pack_id)
        )
        counted = {key.window_start_s for key in counts}
        windows = {start: touched.get(start, head.windows.get(start, 0)) for start in counted}
        self._heads.overwrite(after, replace(after, windows=windows, revision=after.revision + 1))
        gone = [one for one in chosen if one not in pack.dead_events]
        self._table.drop([items.letter_key(pack.pack_id, one) for one in gone])
        return True

    def erase(self, packs: Sequence[Rewritten]) -> frozenset[UUID]:
        """As the port has it."""
        done = self._table.at_once(self._rewrite, packs)
        left = [head for head in done if isinstance(head, Head) and head.gone]
        self._placing.blank([one for head in left for one in head.gone])
        self._table.at_once(self._forget, left)
        return frozenset(one.pack_id for one, so in zip(packs, done, strict=True) if so is CHANGED)

    def _rewrite(self, pack: Rewritten) -> Head | Changed | None:
        """Its head after that, where it has one."""
        head = self._heads.one(pack.pack_id)
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
            if not self._heads.overwrite(head, after):
                return CHANGED
        for letter in pack.letters:
            left = items.letter_item(letter, self._expiry.of(letter.pack_id))
            with suppress(Unmet):  # there is none
                self._table.replace(left, "attribute_exists(pk)")
        return after

    def _forget(self, head: Head) -> None:
        """What has gone. Where it has changed again, whoever comes next does this."""
        self._heads.overwrite(head, replace(head, gone=(), revision=head.revision + 1))

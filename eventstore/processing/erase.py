"""Erasing a subject: every pack that holds events of it is written anew without them, and a
certificate says what was changed.

The certificate's id is made of what was asked, and each changed pack keeps it, with the digest of
what the pack was. So the same request, asked again, ends what was cut short, erases what has come
since, and certifies all of it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any
from uuid import UUID

import orjson

from eventstore import packing
from eventstore.dictionaries import Dictionaries
from eventstore.errors import EngineUnavailable, PackCorrupt
from eventstore.ledger import accepted_at_ms
from eventstore.ports import DeadLetter, EventStore, Order, Queue, Rewritten, Stored
from eventstore.processing.erasing import Held, digest_of, held, rewritten
from eventstore.processing.subject import Subject, Whose
from eventstore.times import iso_time

SCHEMA = 1
PACKS_AT_ONCE = 16
TRIES = 3


@dataclass(frozen=True)
class Request:
    """reference: whose number, of a ticket or a letter, names this request. by: who asks."""

    reference: str
    by: str
    subject: Subject

    @property
    def value_sha256(self) -> str:
        """Of the request, the field and the value: whoever knows all three can compare."""
        asked = (self.reference, self.subject.field, self.subject.value)
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()

    @property
    def certificate(self) -> str:
        """Its id: the same for the same request."""
        return self.value_sha256[:32]


@dataclass
class Looked:
    """What was looked at: how many packs, and those that can't be read; and which dictionaries have
    the value in them, which packs of others need."""

    packs: int = 0
    unread: list[UUID] = field(default_factory=list)
    dictionaries: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "packs_looked_at": self.packs,
            "unread": [str(one) for one in self.unread],
            "dictionaries": self.dictionaries,
        }


@dataclass(frozen=True, slots=True)
class Waits:
    """What the queue still has, of which the store knows nothing. complete_before_ms: whatever was
    acknowledged before is in the store; None: the queue doesn't say."""

    packs: int
    complete_before_ms: int | None

    @classmethod
    def of(cls, queue: Queue, now_ms: int) -> "Waits":
        """Ask it before the store is looked at."""
        packs, ledger = queue.depth().packs, queue.ledger(0, recount=True)
        if ledger is None:
            return cls(packs, None)
        # A pack has its id before it is acknowledged.
        return cls(len(ledger.waiting), min([now_ms, *map(accepted_at_ms, ledger.waiting)]))

    def to_json(self) -> dict[str, Any]:
        at_ms = self.complete_before_ms
        return {
            "waiting_packs": self.packs,
            "complete_before": None if at_ms is None else iso_time(at_ms),
        }


def search(store: EventStore, request: Request, looked: Looked) -> Iterator[Held]:
    """Every pack that holds events of the subject, or did before this request."""
    dictionaries = Dictionaries(store.dictionary)
    looked.dictionaries += [
        one.dictionary_id for one in store.dictionaries() if request.subject.is_in(one.data)
    ]
    dead = (letter for letter in store.dead_letters() if letter.index is None)
    for found in chain[Stored | DeadLetter](store.packs(), dead):
        looked.packs += 1
        try:
            one = held(found, request.subject, request.certificate, dictionaries)
        except PackCorrupt:
            looked.unread.append(found.pack_id)
            continue
        if one is not None:
            yield one


def erase(
    store: EventStore, request: Request, at_ms: int, looked: Looked
) -> Iterator[dict[str, Any]]:
    """Does it; the entries of the certificate, one for each pack. Raises EngineUnavailable."""
    found = search(store, request, looked)
    while some := list(islice(found, PACKS_AT_ONCE)):
        yield from erase_some(store, some, request.subject, request.certificate, at_ms)


def certificate(
    request: Request, order: Order, looked: Looked, waits: Waits, packs: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was asked, and what was done; order: when, and until when it stands for what comes
    later. sha256: of all else, as JSON with sorted keys and no white space."""
    said = {
        "schema": SCHEMA,
        "certificate": request.certificate,
        "request": request.reference,
        "by": request.by,
        "field": request.subject.field,
        "value_sha256": request.value_sha256,
        "at": iso_time(order.at_ms),
        "stands_until": iso_time(order.until_ms),
        **waits.to_json(),
        **looked.to_json(),
        "packs": packs,
    }
    sealed = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return {**said, "sha256": hashlib.sha256(sealed).hexdigest()}


def erase_some(
    store: EventStore, some: list[Held], subject: Whose, certificate: str, at_ms: int
) -> Iterator[dict[str, Any]]:
    """Of these packs; their entries of the certificate. Raises EngineUnavailable."""
    for _ in range(TRIES):  # a replay may have changed a pack meanwhile
        left = [rewritten(one, certificate, at_ms) for one in some]
        changed = store.erase(left)
        yield from (_entry(one, certificate) for one in left if one.pack_id not in changed)
        again = [_again(store, one, subject, certificate) for one in some if one.pack.id in changed]
        some = [one for one in again if one is not None]
        if not some:
            return
    raise EngineUnavailable(f"pack {some[0].pack.id} keeps changing; erase again")


def _again(store: EventStore, one: Held, subject: Whose, certificate: str) -> Held | None:
    if isinstance(one.found, DeadLetter):
        return one
    stored = store.get(one.pack.id)
    if stored is None:
        return None
    return held(stored, subject, certificate, Dictionaries(store.dictionary))


def _entry(left: Rewritten, certificate: str) -> dict[str, Any]:
    kept = left if left.was is not None else left.letters[0]
    pack = packing.unpack(kept.body)
    erased = [
        index
        for index, tombstone in sorted(pack.tombstones.items())
        if tombstone.certificate == certificate
    ]
    (before,) = (one for one in pack.erasures if one.certificate == certificate)
    return {
        "pack": str(left.pack_id),
        "is": "stored" if left.was is not None else "dead",
        "erased_at": iso_time(before.at_ms),
        "events": erased,
        "was_sha256": before.was_sha256,
        "is_sha256": digest_of(kept),
    }

"""A pack without some of its events: a pure function of the pack and of whose certificate asks.

The others keep their indexes. Of an erased event is left what it counts as, its time and its name,
so that whoever counts again gets what was counted; what it shared with others of its request, and
what was enriched and made of it, goes with it.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby

from msgspec import structs

from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import PackCorrupt
from eventstore.event import text_of
from eventstore.packing import Erasure, Pack, Share, Tombstone
from eventstore.ports import ERASED, DeadLetter, Rewritten, Stored
from eventstore.ports.way import code_of
from eventstore.processing import sidecar, view
from eventstore.processing.reading import erased_by, fields_of
from eventstore.processing.subject import Whose


@dataclass(frozen=True, slots=True)
class Held:
    """A pack that holds events of a subject, or did. found: where it is: stored, or dead as a
    whole. events: those that are still to be erased."""

    pack: Pack
    found: Stored | DeadLetter
    events: frozenset[int]


def held(
    found: Stored | DeadLetter,
    subject: Whose,
    certificate: str,
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Held | None:
    """None: it holds none, and none was erased of it for this certificate. Raises PackCorrupt."""
    pack = packing.unpack(found.body, dictionaries)
    if pack.id != found.pack_id:
        raise PackCorrupt(f"the pack says it is {pack.id}, and is kept as {found.pack_id}")
    seen = view.decode(found.view if isinstance(found, Stored) else b"", pack.count)
    events = subject.events_of(pack, seen)
    return Held(pack, found, frozenset(events)) if events or _was(pack, certificate) else None


def rewritten(one: Held, certificate: str, at_ms: int) -> Rewritten:
    """What is left. Of one of which nothing is to be erased any more, what is there."""
    pack, found = one.pack, one.found
    left = dict(pack.tombstones) | _tombstones(one, certificate)
    body = _without(one, left, certificate, at_ms) if one.events else found.body
    if isinstance(found, DeadLetter):
        reason = f"{code_of(found.reason)}: erased in part: certificate {certificate}"
        letter = DeadLetter(pack.id, None, ERASED, reason, body)
        return Rewritten(pack.id, [letter if one.events else found])
    mine = sorted(index for index, said in left.items() if said.certificate == certificate)
    letters = [DeadLetter(pack.id, index, ERASED, erased_by(left[index]), b"") for index in mine]
    if not one.events:
        return Rewritten(pack.id, letters, found, body, found.sidecar, found.view)
    side = sidecar.blanked(found.sidecar, mine)
    return Rewritten(
        pack.id, letters, found, body, side, view.blanked(found.view, mine, pack.count)
    )


def digest_of(kept: Stored | Rewritten | DeadLetter) -> str:
    """SHA-256 of a pack with its sidecar and view, each after its length in 8 bytes."""
    parts = (kept.body,) if isinstance(kept, DeadLetter) else (kept.body, kept.sidecar, kept.view)
    found = hashlib.sha256()
    for one in parts:
        found.update(len(one).to_bytes(8, "little") + one)
    return found.hexdigest()


def _was(pack: Pack, certificate: str) -> bool:
    return any(one.certificate == certificate for one in pack.erasures)


def _tombstones(one: Held, certificate: str) -> dict[int, Tombstone]:
    """By what the events count as; those of a pack that was never stored don't."""
    if isinstance(one.found, Stored):
        columns = sidecar.decode(one.found.sidecar)
        times, names = columns["time_ms"], columns["name"]
    else:
        times = one.pack.moments()[0].tolist()
        fields = fields_of(one.pack)
        names = ["" if isinstance(some, str) else text_of(some.name) for some in fields]
    return {index: Tombstone(certificate, times[index], names[index]) for index in one.events}


def _without(one: Held, left: Mapping[int, Tombstone], certificate: str, at_ms: int) -> bytes:
    pack = one.pack
    events = [b"" if index in left else event for index, event in enumerate(pack.events)]
    more = () if _was(pack, certificate) else (Erasure(certificate, at_ms, digest_of(one.found)),)
    return packing.repack(
        dataclasses.replace(
            pack,
            shares=tuple(_shares(pack, left.keys())),
            block=b"".join(events),
            lengths=list(map(len, events)),
            refused={index: why for index, why in pack.refused.items() if index not in left},
            tombstones=left,
            erasures=(*pack.erasures, *more),
        )
    )


def _shares(pack: Pack, gone: Collection[int]) -> list[Share]:
    """Erased events have shares of their own, that say when they were received and no more."""
    shares = []
    start = 0
    for share in pack.shares:
        for erased, some in groupby(range(start, start + share.events), key=gone.__contains__):
            count = len(list(some))
            shares.append(
                Share(count, share.received_at_ms)
                if erased
                else structs.replace(share, events=count)
            )
        start += share.events
    return shares

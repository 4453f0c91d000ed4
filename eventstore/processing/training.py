"""A zstd dictionary from a tenant's own traffic, and nobody's data in it.

A dictionary is made of pieces of what it was trained from, and is kept for ever. So of the samples
only those words stay that events of many users have; each other becomes one of the same shape, at
random: what is compressed with the dictionary has such shapes too.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate

import zstandard
from msgspec import structs

from eventstore import packing
from eventstore.dictionaries import Dictionaries, Dictionary
from eventstore.errors import EventStoreError, PackCorrupt
from eventstore.packing import Pack, Share
from eventstore.ports import Stored
from eventstore.processing.reading import fields_of

DICTIONARY_BYTES = 112_640
EVENTS_A_SAMPLE = 10  # as in the small packs that a dictionary is for
USERS_MIN = 20  # whose events have a word, for it to stay
USERS_IN_ALL_MIN = 100
HELD_OUT = 5  # every so manieth pack: it is measured, not trained from
BINARY = {"msgpack", "otlp_logs"}  # formats whose ids need not be words
# Words of one value, also with single spaces between them: a name is not its parts.
WORD = rb"[\w.@+%\x80-\xff-]+"
PHRASE = re.compile(WORD + rb"(?: " + WORD + rb")*")
SHAPES = (b"0123456789", b"abcdef", b"ghijklmnopqrstuvwxyz", b"ABCDEF", b"GHIJKLMNOPQRSTUVWXYZ")
LIKE = {one: shape for shape in SHAPES for one in shape} | dict.fromkeys(range(128, 256), SHAPES[2])

Text = tuple[bytes, bytes]  # whose it is, and what it says


@dataclass
class Traffic:
    """samples: each of some texts, to be joined. measured: packs that were held out."""

    events: int = 0
    samples: list[list[Text]] = field(default_factory=list)
    measured: list[Pack] = field(default_factory=list)

    def add(self, pack: Pack, chance: random.Random) -> None:
        shares = [_nobodys(one, chance) for one in _first(pack.shares, EVENTS_A_SAMPLE)]
        texts = list(zip(_owners(pack), pack.events, strict=True))
        self.events += len(texts)
        for start in range(0, len(texts), EVENTS_A_SAMPLE):
            # Between its events there is what divides them.
            some = [(owner, text + b"\n") for owner, text in texts[start : start + EVENTS_A_SAMPLE]]
            head = [] if start else [(pack.id.bytes, _header(pack, shares))]
            self.samples.append([*head, *some])


def traffic(
    stored: Iterable[Stored],
    tenant: str,
    events_max: int,
    dictionaries: Dictionaries,
    chance: random.Random,
) -> Traffic:
    """Of so many events, as far as they are there. Binary formats are left out."""
    found = Traffic()
    count = 0
    for one in stored:
        try:
            pack = packing.unpack(one.body, dictionaries)
        except PackCorrupt:
            continue
        if pack.tags.get("tenant") != tenant or pack.format in BINARY or pack.tombstones:
            continue
        count += 1
        if count % HELD_OUT:
            found.add(pack, chance)
        else:
            found.measured.append(pack)
        if found.events >= events_max:
            break
    return found


def trained(found: Traffic, chance: random.Random) -> Dictionary:
    """Raises EventStoreError when there is too little to train from."""
    users = defaultdict[bytes, set[bytes]](set)
    for owner, text in (one for sample in found.samples for one in sample):
        for phrase in set(PHRASE.findall(text)):
            if len(users[phrase]) < USERS_MIN:
                users[phrase].add(owner)
    everybody = {owner for sample in found.samples for owner, _ in sample}
    if len(everybody) < USERS_IN_ALL_MIN:
        raise EventStoreError(
            f"{found.events} events of {len(everybody)} users or packs are too few to train from:"
            f" {USERS_IN_ALL_MIN} are needed; wait for more traffic, or raise --sample"
        )
    common = {phrase for phrase, owners in users.items() if len(owners) >= USERS_MIN}

    def disguised(match: re.Match[bytes]) -> bytes:
        phrase = match[0]
        return phrase if phrase in common else _alike(phrase, chance)

    samples: list[bytes | bytearray | memoryview[int]] = [
        b"".join(PHRASE.sub(disguised, text) for _, text in sample) for sample in found.samples
    ]
    try:
        made = zstandard.train_dictionary(DICTIONARY_BYTES, samples, level=packing.ZSTD_LEVEL)
    except zstandard.ZstdError as error:
        raise EventStoreError(f"{found.events} events can't be trained from: {error}") from error
    made.precompute_compress(level=packing.ZSTD_LEVEL)
    return made


def bytes_an_event(packs: Iterable[Pack], dictionary: Dictionary | None) -> float:
    """Of these packs, compressed anew."""
    sizes, events = 0, 0
    for pack in packs:
        sizes += len(packing.repack(pack, dictionary))
        events += pack.count
    return sizes / events if events else 0.0


def _alike(phrase: bytes, chance: random.Random) -> bytes:
    """The same kinds of characters, in the same places."""
    return bytes(chance.choice(LIKE[one]) if one in LIKE else one for one in phrase)


def _nobodys(share: Share, chance: random.Random) -> Share:
    address, trace = (_alike(one.encode(), chance).decode() for one in (share.address, share.trace))
    return structs.replace(share, context=b"", address=address, trace=trace)


def _owners(pack: Pack) -> Iterator[bytes]:
    """Whose each event is: its user's, otherwise its session's, otherwise its pack's."""
    for one in fields_of(pack):
        said = None if isinstance(one, str) else one.user or one.session
        yield repr(said).encode() if said else pack.id.bytes


def _header(pack: Pack, shares: list[Share]) -> bytes:
    """As it stands before so many events, in a pack."""
    count = sum(share.events for share in shares)
    events = pack.events[:count]
    small = replace(
        pack,
        shares=tuple(shares),
        count=count,
        block=(b"\n" if pack.lengths is None else b"").join(events),
        lengths=None if pack.lengths is None else pack.lengths[:count],
        refused={},
    )
    packed = packing.repack(small)
    head_bytes = packing.PREFIX.unpack_from(packed)[4]
    whole = zstandard.ZstdDecompressor().decompress(packed[packing.PREFIX.size :])
    return whole[:head_bytes]


def _first(shares: Iterable[Share], events: int) -> Iterator[Share]:
    """Shares of the first so many events."""
    for share, after in zip(shares, accumulate(one.events for one in shares), strict=True):
        before = after - share.events
        if before >= events:
            return
        yield structs.replace(share, events=min(share.events, events - before))

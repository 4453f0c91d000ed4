"""What a dictionary saves, by how many events share a pack: `python -m bench.dictionary`.

Packs as collectors write them, of up to ten requests from as many clients; trained from other
events than are measured. Times are the processor's, not the clock's.
"""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from uuid import UUID, uuid4

import zstandard

from bench.events import TOKEN, event
from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries, Dictionary
from eventstore.event import new_pack_id
from eventstore.ports import Stored
from eventstore.processing.training import DICTIONARY_BYTES, traffic, trained
from eventstore.times import iso_time

SIZES = (10, 50, 100, 500)
EVENTS = 20_000  # that are trained from, and as many that are measured
REQUESTS_MAX = 10
TAGS = {
    "endpoint": "/v1/events",
    "tenant": "default",
    "source": "/v1/events",
    "node": "collector-01",
    "role": "collector",
    "release": "0.1.0-fd05b217cf5e",
}


def main() -> None:
    """Prints the table."""
    chance = random.Random(5)  # noqa: S311 - load, no secret
    made = dictionary_of(chance)
    print(
        f"A dictionary of {len(made.as_bytes()):,} bytes (at most {DICTIONARY_BYTES:,})\n\n"
        "| events a pack | version 2 | version 3 | with the dictionary | µs to pack | with it"
        " | µs to unpack | with it |\n|---|---|---|---|---|---|---|---|"
    )
    for size in SIZES:
        some = islice(packs_of(chance, size), EVENTS // size)
        packs = [packing.unpack(pack) for _, pack in some]
        old = sum(map(_bytes_in_version_2, packs)) / (size * len(packs))
        plain, with_it = _measured(packs, None), _measured(packs, made)
        both = (one for pair in zip(plain, with_it, strict=True) for one in pair)
        print(f"| {size} | {old:.1f} | " + " | ".join(f"{one:.2f}" for one in both) + " |")


def dictionary_of(chance: random.Random) -> Dictionary:
    """Trained from events like those that packs_of makes."""
    some = islice(packs_of(chance, 10), EVENTS // 10)
    seen = (Stored(0, pack_id, pack, b"", b"", frozenset()) for pack_id, pack in some)
    return trained(traffic(seen, "default", EVENTS, NO_DICTIONARIES, chance), chance)


def packs_of(
    chance: random.Random, size: int, dictionary: Dictionary | None = None, every_s: float = 0
) -> Iterator[tuple[UUID, bytes]]:
    """Endless ones of so many events; every_s: each so much later than the one before, however
    long it takes to make them."""
    began = datetime.now(UTC)
    for number in count():
        now = began + timedelta(seconds=number * every_s)
        requests = min(size, REQUESTS_MAX)
        shares = [
            packing.Share(
                size // requests,
                int(now.timestamp() * 1000),
                address=f"192.0.{chance.randrange(256)}.{chance.randrange(256)}",
            )
            for _ in range(requests)
        ]
        events = [_event(chance, iso_time(shares[0].received_at_ms)) for _ in range(size)]
        ms = shares[0].received_at_ms
        pack_id = UUID(int=ms << 80 | new_pack_id().int & (1 << 80) - 1)
        block = b"\n".join(events)
        packed = packing.pack(pack_id, TAGS, shares, [block], None, dictionary=dictionary)
        yield pack_id, packed


def _event(chance: random.Random, at: str) -> bytes:
    """With an id of its own, as clients make them."""
    return (
        event(chance, 0, at)
        .replace(TOKEN + b"-0", str(uuid4()).encode())
        .replace(TOKEN, b"%012x" % chance.getrandbits(48))
    )


def _bytes_in_version_2(pack: packing.Pack) -> int:
    """The header stood before the frame then, as it was."""
    packed = packing.repack(pack)
    head_bytes = int(packing.PREFIX.unpack_from(packed)[4])
    compressed = zstandard.ZstdCompressor(level=packing.ZSTD_LEVEL).compress(pack.block)
    return packing.PREFIX.size + head_bytes + len(compressed)


def _measured(packs: list[packing.Pack], dictionary: Dictionary | None) -> tuple[float, ...]:
    """Of each event: bytes, µs to pack, µs to unpack."""
    events = sum(pack.count for pack in packs)
    started = time.process_time()
    packed = [packing.repack(pack, dictionary) for pack in packs]
    packed_s = time.process_time() - started
    known = Dictionaries(lambda _: dictionary.as_bytes() if dictionary else None)
    started = time.process_time()
    for one in packed:
        packing.unpack(one, known)
    unpacked_s = time.process_time() - started
    return (sum(map(len, packed)) / events, packed_s * 1e6 / events, unpacked_s * 1e6 / events)


if __name__ == "__main__":
    main()

"""The pack, to the byte: see docs/wire-format.md.

A pack holds events as they came, compressed once, with one set of tags. Layout, little endian:
magic `EVPK` · u8 version · u8 flags (0) · u16 0 · u32 header length · u32 CRC-32 of all that
follows · one zstd frame: the header (JSON), the contexts of its runs, the events. The frame says
which dictionary it needs.
"""

import struct
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, groupby, islice, repeat
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import orjson
import zstandard
from msgspec.structs import asdict, astuple

from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries, Dictionary
from eventstore.errors import PackCorrupt
from eventstore.event import divided
from eventstore.times import UNSTATED, Int64s

VERSION = 3
MAGIC = b"EVPK"
PREFIX = struct.Struct("<4sBBHII")
ZSTD_LEVEL = 1
# A large pack is compressed with a table that stays in the nearest cache, and looks for what is
# alike no farther back than the next one holds: quicker, and no larger for it.
LARGE_BYTES = 256 << 10
LARGE = zstandard.ZstdCompressionParameters.from_level(
    ZSTD_LEVEL, window_log=18, hash_log=13, min_match=7
)
COMPRESSORS_MAX = 4  # a thread's, of a megabyte each
BODY_BYTES_MAX = 64 << 20  # of the uncompressed events: a bound for readers of damaged packs
HEADER_BYTES_MAX = 64 << 20


class Share(msgspec.Struct, frozen=True, gc=False):
    """What some events of one request have in common, and no other's: how many they are, when they
    came and were sent (Unix milliseconds), the sender's User-Agent, address and traceparent, and
    what they share in their format's own terms."""

    events: int
    received_at_ms: int
    sent_at_ms: int | None = None
    user_agent: str = ""
    address: str = ""
    trace: str = ""
    context: bytes = b""


class Tombstone(msgspec.Struct, frozen=True, gc=False):
    """What is left of an erased event: whose certificate says so, and what it counts as."""

    certificate: str
    time_ms: int
    name: str


class Erasure(msgspec.Struct, frozen=True, gc=False):
    """When this pack was changed for a certificate, and the digest of what it was before."""

    certificate: str
    at_ms: int
    was_sha256: str


@dataclass(frozen=True, slots=True)
class Pack:
    """An unpacked pack. block and lengths: the events as `pack` takes them. refused: index → why
    this event is unusable. tombstones: index → what is left of this event, which was erased: its
    own bytes are none."""

    id: UUID
    tags: dict[str, str]
    format: str
    names: dict[str, str]
    shares: tuple[Share, ...]
    count: int
    block: bytes
    lengths: list[int] | None
    refused: Mapping[int, str]
    tombstones: Mapping[int, Tombstone]
    erasures: tuple[Erasure, ...]

    @property
    def events(self) -> list[bytes]:
        """Each event's own bytes."""
        return divided(self.block, self.lengths)

    def per_event(self) -> Iterator[tuple[bytes, Share]]:
        """Each event with the share that it belongs to."""
        shares = chain.from_iterable(repeat(share, share.events) for share in self.shares)
        return zip(self.events, shares, strict=True)

    def moments(self) -> tuple[Int64s, Int64s]:
        """When each event was received, and sent; UNSTATED when its sender doesn't say."""
        counts = [share.events for share in self.shares]
        sent = [UNSTATED if one.sent_at_ms is None else one.sent_at_ms for one in self.shares]
        received = np.array([share.received_at_ms for share in self.shares], dtype=np.int64)
        return np.repeat(received, counts), np.repeat(np.array(sent, dtype=np.int64), counts)

    def runs(self) -> Iterator[tuple[bytes, bytes, list[int] | None, int]]:
        """Events that share a context: the context, their block, their lengths, how many."""
        contexts = [(key, sum(one.events for one in group)) for key, group in
                    groupby(self.shares, key=lambda share: share.context)]  # fmt: skip
        if len(contexts) == 1:
            yield contexts[0][0], self.block, self.lengths, self.count
            return
        events, start = self.events, 0
        for context, number in contexts:
            some = events[start : start + number]
            lengths = None if self.lengths is None else self.lengths[start : start + number]
            yield context, (b"\n" if lengths is None else b"").join(some), lengths, number
            start += number


class Compressors(threading.local):
    """One for each dictionary, two without one, and each thread its own: they keep the memory that
    they work in, which takes as long to get anew as a third of the work."""

    def __init__(self) -> None:
        self._made: dict[tuple[Dictionary | None, bool], zstandard.ZstdCompressor] = {}

    def of(self, dictionary: Dictionary | None, size_bytes: int) -> zstandard.ZstdCompressor:
        """It is this thread's."""
        large = dictionary is None and size_bytes >= LARGE_BYTES
        found = self._made.get((dictionary, large))
        if found is None:
            if len(self._made) >= COMPRESSORS_MAX:
                self._made.clear()
            found = (
                zstandard.ZstdCompressor(compression_params=LARGE)
                if large
                else zstandard.ZstdCompressor(level=ZSTD_LEVEL, dict_data=dictionary)
            )
            self._made[dictionary, large] = found
        return found


COMPRESSORS = Compressors()


def pack(
    pack_id: UUID,
    tags: Mapping[str, str],
    shares: Sequence[Share],
    blocks: Sequence[bytes],
    lengths: Sequence[int] | None,
    *,
    format_name: str = "json",
    names: Mapping[str, str] | None = None,
    refused: Mapping[int, str] | None = None,
    tombstones: Mapping[int, Tombstone] | None = None,
    erasures: Sequence[Erasure] = (),
    dictionary: Dictionary | None = None,
) -> bytes:
    """Packs blocks of events. lengths None: each block has its events divided by a newline, and no
    event contains one. Otherwise the blocks are the events back to back, and these their lengths.

    names: what the pipeline reads of an event → this endpoint's name for it, where it differs.
    """
    divider = b"\n" if lengths is None else b""
    values = zip(*map(astuple, shares), strict=True)
    columns: dict[str, Sequence[Any]] = dict(zip(COLUMNS, values, strict=True))
    # Numbered as they come, without a step of Python for each.
    texts: dict[str, int] = defaultdict(count(1).__next__, {"": 0})
    contexts: dict[bytes, int] = defaultdict(count().__next__)
    for name in ("user_agent", "address", "trace"):
        columns[name] = list(map(texts.__getitem__, columns[name]))
    columns["context"] = list(map(contexts.__getitem__, columns["context"]))
    header: dict[str, Any] = {
        "id": pack_id.hex,
        "format": format_name,
        "tags": tags,
        "names": names or {},
        "events": sum(columns["events"]),
        "bytes": sum(map(len, blocks)) + len(divider) * max(0, len(blocks) - 1),
        "shares": columns,
        "texts": list(texts),
        "contexts": [len(context) for context in contexts],
    }
    if lengths is not None:
        header["lengths"] = list(lengths)
    if refused:
        header["refused"] = {str(index): reason for index, reason in refused.items()}
    if tombstones:
        header["erased"] = {str(index): asdict(left) for index, left in tombstones.items()}
        header["erasures"] = list(map(asdict, erasures))
    head = orjson.dumps(header)
    # Blocks are large: each is copied once.
    divided = chain.from_iterable(zip(repeat(divider), blocks, strict=False))
    whole = b"".join([head, *contexts, *islice(divided, 1, None)])
    frame = COMPRESSORS.of(dictionary, len(whole)).compress(whole)
    return PREFIX.pack(MAGIC, VERSION, 0, 0, len(head), zlib.crc32(frame)) + frame


def repack(found: Pack, dictionary: Dictionary | None = None) -> bytes:
    """What `unpack` has found, in the newest version."""
    return pack(
        found.id,
        found.tags,
        found.shares,
        [found.block],
        found.lengths,
        format_name=found.format,
        names=found.names,
        refused=found.refused,
        tombstones=found.tombstones,
        erasures=found.erasures,
        dictionary=dictionary,
    )


def dictionary_of(data: bytes) -> int:
    """The id of the dictionary that a pack needs; 0: none. Raises PackCorrupt."""
    _, _, rest = _opened(data)
    return _frame_parameters(rest).dict_id if data[4] >= 3 else 0


def unpack(data: bytes, dictionaries: Dictionaries = NO_DICTIONARIES) -> Pack:
    """Raises PackCorrupt on anything that is not a whole, undamaged pack of a known version."""
    version, head_bytes, rest = _opened(data)
    try:
        return _checked(VERSIONS[version](head_bytes, rest, dictionaries))
    except (KeyError, TypeError, ValueError, IndexError, zstandard.ZstdError) as error:
        raise PackCorrupt(f"malformed pack: {error!r}") from error


def _opened(data: bytes) -> tuple[int, int, memoryview]:
    """Version, length of the header, and what follows the prefix."""
    if len(data) < PREFIX.size:
        raise PackCorrupt(f"{len(data)} bytes are too few for a pack")
    magic, version, _, _, head_bytes, crc = PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise PackCorrupt("no pack: the magic is missing")
    if version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise PackCorrupt(f"pack version {version}: this release reads {known}")
    rest = memoryview(data)[PREFIX.size :]
    if zlib.crc32(rest) != crc:
        raise PackCorrupt("the checksum differs: the pack is damaged")
    return version, head_bytes, rest


def _version_1(head_bytes: int, rest: memoryview, _: Dictionaries) -> Pack:
    """Events were JSON, a share had no more than a time and a user agent."""
    header, frame = orjson.loads(rest[:head_bytes]), rest[head_bytes:]
    body = _body(frame, int(header["bytes"]))
    columns = header["requests"]
    shares = tuple(
        Share(events, at, user_agent=header["user_agents"][agent])
        for events, at, agent in zip(
            columns["events"], columns["received_at_ms"], columns["user_agent"], strict=True
        )
    )
    return _pack_of(header, shares, body)


def _version_2(head_bytes: int, rest: memoryview, _: Dictionaries) -> Pack:
    """The header stood before the frame."""
    header, frame = orjson.loads(rest[:head_bytes]), rest[head_bytes:]
    return _contents(header, _body(frame, sum(header["contexts"]) + int(header["bytes"])))


def _version_3(head_bytes: int, frame: memoryview, dictionaries: Dictionaries) -> Pack:
    found = _frame_parameters(frame)
    size = found.content_size
    if size > BODY_BYTES_MAX + min(head_bytes, HEADER_BYTES_MAX):
        raise PackCorrupt(f"{size} bytes: more than a header and {BODY_BYTES_MAX} of events")
    dictionary = dictionaries.get(found.dict_id) if found.dict_id else None
    decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)
    whole = decompressor.decompress(frame, max_output_size=max(size, 1))
    header = orjson.loads(whole[:head_bytes])
    if len(whole) != head_bytes + sum(header["contexts"]) + int(header["bytes"]):
        raise PackCorrupt(f"{len(whole)} bytes, which is not what the header says")
    return _contents(header, whole[head_bytes:])


def _frame_parameters(frame: memoryview) -> zstandard.FrameParameters:
    try:
        return zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError as error:
        raise PackCorrupt(f"malformed pack: {error!r}") from error


def _contents(header: dict[str, Any], whole: bytes) -> Pack:
    """whole: the contexts, then the events."""
    sizes = header["contexts"]
    contexts = divided(whole, sizes)
    texts, columns = header["texts"], header["shares"]
    shares = tuple(
        Share(events, received, sent, texts[agent], texts[address], texts[trace], contexts[context])
        for events, received, sent, agent, address, trace, context in zip(
            *(columns[name] for name in COLUMNS), strict=True
        )
    )
    return _pack_of(header, shares, whole[sum(sizes) :])


COLUMNS = ("events", "received_at_ms", "sent_at_ms", "user_agent", "address", "trace", "context")
VERSIONS: dict[int, Callable[[int, memoryview, Dictionaries], Pack]] = {
    1: _version_1,
    2: _version_2,
    3: _version_3,
}


def _pack_of(header: dict[str, Any], shares: tuple[Share, ...], body: bytes) -> Pack:
    return Pack(
        UUID(header["id"]),
        header["tags"],
        header.get("format", "json"),
        header.get("names", {}),
        shares,
        header["events"],
        body,
        header.get("lengths"),
        {int(index): why for index, why in header.get("refused", {}).items()},
        {int(index): Tombstone(**left) for index, left in header.get("erased", {}).items()},
        tuple(Erasure(**one) for one in header.get("erasures", ())),
    )


def _body(frame: memoryview, size: int) -> bytes:
    if size > BODY_BYTES_MAX:
        raise PackCorrupt(f"{size} bytes of events: at most {BODY_BYTES_MAX}")
    # An empty frame states no size, so the bound is given to the decompressor itself.
    body = zstandard.ZstdDecompressor().decompress(frame, max_output_size=max(size, 1))
    if len(body) != size:
        raise PackCorrupt(f"{len(body)} bytes of events where the header says {size}")
    return body


def _checked(pack: Pack) -> Pack:
    lengths = pack.lengths
    if lengths is not None and (sum(lengths) != len(pack.block) or min(lengths, default=0) < 0):
        raise PackCorrupt("the lengths of the events do not add up")
    found = _lines(pack.block) if lengths is None else len(lengths)
    if found != pack.count or found != sum(share.events for share in pack.shares):
        raise PackCorrupt(f"{found} events where the header says {pack.count}")
    return pack


def _lines(block: bytes) -> int:
    # Three times as fast as bytes.count, which stops at every newline.
    return int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))) + 1

"""What a stream of packs consumes of SQS, DynamoDB and S3, each second, and what that costs.

A pack is sent, received and deleted, each a request for every 64 KB; then it is an item, or its
bytes go into a segment and a small item names them. Beside it are what it adds to its window, the
window's version and the mark that the window has changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scaling import limits
from scaling.figures import Figures
from scaling.prices import Prices

Placement = Literal["auto", "items", "segments"]

HEADER_BYTES = 300  # a message's text, or an item's names and numbers
SEGMENT_BYTES = 6_000_000
LINGER_S = 5.0  # a segment is closed after this, however small it is
COUNT_WRITES = 2  # of a pack, in its window's partition: what it adds, and the version
MARK_WRITES = 1  # that the window has changed
LOOK_S = 2.0  # between a post-processor's looks at windows
WINDOW_S = 60.0
PARTIAL_BYTES = 200
KEYS_A_WRITE = 64  # client ids of 16 bytes
SHARDS = 16  # of a minute's packs
HOUR_S = 3600
RECEIVE_MAX = 10


@dataclass(frozen=True)
class Stream:
    """Events a second, as they come to the queue. client_ids: the share that bears ids of their
    own. processors: each fills its own segments."""

    events_per_s: float
    event_bytes: float
    pack_events: float
    processors: int
    placement: Placement = "auto"
    client_ids: float = 0

    @property
    def packs_per_s(self) -> float:
        return self.events_per_s / self.pack_events


@dataclass(frozen=True)
class Consumption:
    """A second of it. pack_bytes: compressed, with sidecar. pack_writes: of one pack's own item.
    segments: whether its bytes are in one."""

    packs_per_s: float
    pack_bytes: float
    segments: bool
    pack_writes: float
    sqs_requests: float
    writes: float
    reads: float
    puts: float
    gets: float
    key_writes: float

    @property
    def shard_writes(self) -> float:
        """Of the fullest of a minute's shards."""
        return self.packs_per_s * self.pack_writes / SHARDS

    @property
    def window_writes(self) -> float:
        """Of the partition of the window that is open."""
        return self.packs_per_s * COUNT_WRITES

    @property
    def in_flight(self) -> float:
        """Messages that processors hold: until their segment is closed, or as long as it takes."""
        return self.packs_per_s * (LINGER_S if self.segments else 1.0)

    def usd_per_hour(self, prices: Prices) -> dict[str, float]:
        """By service, of what is consumed; what is kept costs by the month, apart."""
        return {
            "SQS": prices.usd("sqs_request", self.sqs_requests * HOUR_S),
            "DynamoDB": prices.usd("dynamodb_write_unit", self.writes * HOUR_S)
            + prices.usd("dynamodb_read_unit", self.reads * HOUR_S),
            "S3": prices.usd("s3_put", self.puts * HOUR_S)
            + prices.usd("s3_get", self.gets * HOUR_S),
        }


def consumed(stream: Stream, figures: Figures, prices: Prices) -> Consumption:
    """auto: whatever of the two costs less an hour."""
    if stream.placement != "auto":
        return _consumed(stream, figures, segments=stream.placement == "segments")
    both = [_consumed(stream, figures, segments=which) for which in (False, True)]
    return min(both, key=lambda one: sum(one.usd_per_hour(prices).values()))


def _consumed(stream: Stream, figures: Figures, *, segments: bool) -> Consumption:
    each = figures.stored_bytes(stream.event_bytes, stream.pack_events)
    pack_bytes = each * stream.pack_events
    message_bytes = pack_bytes - figures.sidecar_bytes * stream.pack_events + HEADER_BYTES
    packs = stream.packs_per_s
    chunks = math.ceil(max(message_bytes, 1) / limits.SQS_CHUNK_BYTES)
    own = _units(HEADER_BYTES if segments else pack_bytes + HEADER_BYTES)
    keys = stream.events_per_s * stream.client_ids / KEYS_A_WRITE
    looked_at = packs * WINDOW_S / 2 * PARTIAL_BYTES / limits.DYNAMODB_READ_BYTES / 2
    puts = _puts(packs * pack_bytes, stream.processors) if segments and packs else 0.0
    return Consumption(
        packs_per_s=packs,
        pack_bytes=pack_bytes,
        segments=segments,
        pack_writes=own,
        sqs_requests=packs * (2 * chunks + 1),
        writes=packs * (own + COUNT_WRITES + MARK_WRITES) + keys,
        reads=packs + keys + looked_at / LOOK_S,
        puts=puts,
        gets=puts / 2,  # post-processors read the sidecars' segments, once
        key_writes=keys,
    )


def _units(item_bytes: float) -> float:
    return math.ceil(item_bytes / limits.DYNAMODB_WRITE_BYTES)


def _puts(bytes_per_s: float, processors: int) -> float:
    """A segment of payloads and one of sidecars, whenever one is full or its time is up."""
    full_per_s = bytes_per_s / SEGMENT_BYTES
    return 2 * max(full_per_s, processors / LINGER_S)

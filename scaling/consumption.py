"""What a stream of packs consumes of SQS, DynamoDB and S3, each second, and what that costs.

A pack is sent, received and deleted, each a request for every 64 KB; then it is an item, or its
bytes go into a segment, with those of others, and a small item says where. Beside it is what it
adds to its window. Once for all that are stored together: the window's version, the mark that the
window has changed, a look whether an erasure stands, and an entry for each log of client ids; of a
segment, that it was begun, and that it is whole. How the engines do it:
eventstore/backends/aws (store, placing, key_log) and eventstore/processing/gathered.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scaling import limits
from scaling.figures import Figures
from scaling.prices import Prices

Placement = Literal["auto", "items", "segments"]

MESSAGE_BYTES = 300  # of a message, beside the pack
ITEM_BYTES = 600  # of a pack's item, beside the pack
GROUP_BYTES = 4 << 20  # so many bytes are enough for a segment of bodies and one of sidecars
LINGER_S = 2.0  # after which fewer are enough
TOGETHER_WRITES = 2  # the window's version, and that it has changed
SEGMENT_WRITES = 2  # that it was begun, and that it is whole
LOOK_S = 2.0  # between a post-processor's looks at windows
LOOK_PUTS, LOOK_GETS = 2, 2  # a table and a manifest; those that are pruned
WINDOW_S = 60.0
PARTIAL_BYTES = 200
KEY_BYTES = 16  # of a client's id
KEYS_A_LOG_S, LOGS_MAX = 15_000, 32  # ids a second of one log; of so many logs at most
SHARDS = 16  # of a minute's packs
HOUR_S = 3600


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
    segments: whether its bytes are in one. groups_per_s: how often packs are stored together.
    key_writes: of all logs of client ids; logs: so many."""

    packs_per_s: float
    groups_per_s: float
    pack_bytes: float
    segments: bool
    pack_writes: float
    sqs_requests: float
    writes: float
    reads: float
    puts: float
    gets: float
    key_writes: float
    logs: int

    @property
    def shard_writes(self) -> float:
        """Of the fullest of a minute's shards."""
        return self.packs_per_s * self.pack_writes / SHARDS

    @property
    def window_writes(self) -> float:
        """Of the partition of the window that is open: what packs add to it, and its version."""
        return self.packs_per_s + self.groups_per_s

    @property
    def log_writes(self) -> float:
        """Of the partition of one log of client ids."""
        return self.key_writes / self.logs

    @property
    def in_flight(self) -> float:
        """Messages that processors hold: until their segment is there, or as long as it takes."""
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
    message_bytes = pack_bytes - figures.sidecar_bytes * stream.pack_events + MESSAGE_BYTES
    packs = stream.packs_per_s
    groups = _groups(stream, packs * pack_bytes) if segments else packs
    chunks = math.ceil(max(message_bytes, 1) / limits.SQS_CHUNK_BYTES)
    own = _units(ITEM_BYTES if segments else pack_bytes + ITEM_BYTES)
    keys = stream.events_per_s * stream.client_ids
    together = TOGETHER_WRITES + (SEGMENT_WRITES if segments else 0)
    logs = min(max(math.ceil(keys / KEYS_A_LOG_S), 1), LOGS_MAX)
    key_writes = groups * logs * _key_units(keys / groups / logs, segments) if keys else 0.0
    keys_read = stream.processors * keys * KEY_BYTES / limits.DYNAMODB_READ_BYTES
    partials_read = packs * WINDOW_S / 2 * PARTIAL_BYTES / limits.DYNAMODB_READ_BYTES / 2
    return Consumption(
        packs_per_s=packs,
        groups_per_s=groups,
        pack_bytes=pack_bytes,
        segments=segments,
        pack_writes=own,
        sqs_requests=packs * (2 * chunks + 1),
        writes=packs * (own + 1) + groups * together + key_writes,
        reads=packs + groups + keys_read + partials_read / LOOK_S,
        puts=(2 * groups if segments else 0.0) + LOOK_PUTS / LOOK_S,
        gets=LOOK_GETS / LOOK_S,
        key_writes=key_writes,
        logs=logs,
    )


def _groups(stream: Stream, bytes_per_s: float) -> float:
    """How often processors have enough, or have waited for long enough; never for no pack."""
    often = max(bytes_per_s / GROUP_BYTES, stream.processors / LINGER_S)
    return min(often, stream.packs_per_s)


def _key_units(keys: float, segments: bool) -> float:
    """Of one entry: it holds the keys, or says where they are."""
    return 1 if segments else _units(keys * KEY_BYTES)


def _units(item_bytes: float) -> float:
    return max(1, math.ceil(item_bytes / limits.DYNAMODB_WRITE_BYTES))

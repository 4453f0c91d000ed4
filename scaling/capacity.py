"""What a rate needs, on paper: nodes, queues, shards, units, money, and what binds first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling import limits
from scaling.consumption import SHARDS, Consumption, Placement, Stream, consumed
from scaling.decide import COMFORTABLE
from scaling.figures import Figures
from scaling.machines import disk_usd_per_hour, zones_usd_per_hour
from scaling.prices import Prices

HOUR_S = 3600
BILLION = 1e9
PACK_BYTES_MAX = 1 << 20  # uncompressed: settings' pack_bytes_max
COMMIT_S = 0.1  # what comes while one batch is on its way to SQS shares the next one's packs
# Nodes are never fewer: one may be lost, or be swapped.
FLOORS = {"collector": 2, "processor": 2, "postprocessor": 1, "autoscaler": 1}


@dataclass(frozen=True)
class Limit:
    """used and limit in the same unit, which name says."""

    name: str
    used: float
    limit: float

    @property
    def share(self) -> float:
        return self.used / self.limit


@dataclass(frozen=True)
class Capacity:
    """costs: US dollars an hour, by what is paid for; zones_usd_per_hour: beside them, at most.
    queues: so many that packs in flight fit."""

    rate: float
    pack_events: float
    nodes: Mapping[str, int]
    instance: str
    queues: int
    shards: int
    consumption: Consumption
    costs: Mapping[str, float]
    zones_usd_per_hour: float
    limits: tuple[Limit, ...]
    measured_by: str

    @property
    def usd_per_hour(self) -> float:
        return sum(self.costs.values())

    @property
    def first(self) -> Limit:
        return max(self.limits, key=lambda one: one.share)

    def provisioned_usd_per_hour(self, prices: Prices) -> float:
        """DynamoDB's units, where they aren't paid by use but kept ready, used so far."""
        used = self.consumption
        writes = prices.usd("dynamodb_wcu_hour", used.writes / COMFORTABLE)
        return writes + prices.usd("dynamodb_rcu_hour", used.reads / COMFORTABLE)

    def per_billion(self, usd_per_hour: float) -> float:
        return usd_per_hour / (self.rate * HOUR_S) * BILLION

    def to_json(self) -> dict[str, Any]:
        return {
            "nodes": dict(self.nodes),
            "usd_per_hour": round(self.usd_per_hour, 4),
            "usd_per_billion_events": round(self.per_billion(self.usd_per_hour), 4),
            "first_limit": self.first.name,
            "limits": [
                {"name": one.name, "used": round(one.used, 2), "limit": one.limit}
                for one in self.limits
            ],
            "measured_by": self.measured_by,
        }


def pack_events_at(rate: float, event_bytes: float, collectors: int) -> float:
    """How many events share a pack: what one collector takes in while it commits the last ones."""
    return min(max(rate / collectors * COMMIT_S, 1), max(PACK_BYTES_MAX // event_bytes, 1))


def capacity(
    rate: float,
    event_bytes: float,
    figures: Figures,
    prices: Prices,
    *,
    instance: str,
    placement: Placement = "auto",
    pack_events: float | None = None,
    client_ids: float = 0,
) -> Capacity:
    """rate: events a second. Without pack_events: as many as collectors put together by then."""
    nodes = nodes_for(rate, figures, prices.instances[instance].vcpus)
    per_pack = pack_events or pack_events_at(rate, event_bytes, nodes["collector"])
    stream = Stream(rate, event_bytes, per_pack, nodes["processor"], placement, client_ids)
    used = consumed(stream, figures, prices)
    node_usd = prices.instances[instance].usd_per_hour
    queues = max(1, math.ceil(used.in_flight / (limits.SQS_IN_FLIGHT * COMFORTABLE)))
    return Capacity(
        rate=rate,
        pack_events=per_pack,
        nodes=nodes,
        instance=instance,
        queues=queues,
        shards=max(1, math.ceil(used.shard_writes * SHARDS / limits.DYNAMODB_PARTITION_WRITES)),
        consumption=used,
        costs={
            "nodes": node_usd * sum(nodes.values()),
            "disks": disk_usd_per_hour(prices) * sum(nodes.values()),
            **used.usd_per_hour(prices),
        },
        zones_usd_per_hour=zones_usd_per_hour(rate, event_bytes, prices),
        limits=limits_of(used, queues),
        measured_by=figures.measured_by,
    )


def nodes_for(rate: float, figures: Figures, vcpus: int) -> dict[str, int]:
    """One process a core, as full as the autoscaler keeps them."""
    each = {role: per_core * vcpus for role, per_core in figures.events_per_core_s.items()}
    return {
        role: max(floor, math.ceil(rate / (each[role] * COMFORTABLE)) if role in each else 0)
        for role, floor in FLOORS.items()
    }


def limits_of(used: Consumption, queues: int = 1) -> tuple[Limit, ...]:
    """All that AWS bounds, the fullest first."""
    partition, fresh = limits.DYNAMODB_PARTITION_WRITES, limits.DYNAMODB_NEW_TABLE_WRITES
    found = (
        Limit("SQS: packs in flight, a queue", used.in_flight / queues, limits.SQS_IN_FLIGHT),
        Limit("SQS: bytes of a message", used.pack_bytes, limits.SQS_MESSAGE_BYTES),
        Limit("DynamoDB: write units/s of a new table", used.writes, fresh),
        Limit("DynamoDB: write units/s of a table", used.writes, limits.DYNAMODB_TABLE_WRITES),
        Limit("DynamoDB: write units/s of a shard", used.shard_writes, partition),
        Limit("DynamoDB: write units/s of the open window", used.window_writes, partition),
        Limit("DynamoDB: write units/s of a log of client ids", used.log_writes, partition),
        Limit("S3: PUTs/s of a prefix", used.puts, limits.S3_PREFIX_PUTS),
    )
    return tuple(sorted(found, key=lambda one: -one.share))

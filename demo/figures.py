"""What the ledger adds up to: totals, quantiles, and a line of them for every second."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from demo.ledger import Connection, Request
from demo.progress import quantile


@dataclass(frozen=True)
class Bucket:
    """One stretch of time, by when the requests began; durations in ms."""

    at: float  # its start, epoch seconds
    seconds: float
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Figures:
    """All requests of a ledger. Failed ones count in the durations too: they were waited for."""

    sent: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_max_ms: float  # the longest that a request began after its place in the schedule
    events_sent: int
    events_acked: int
    body_bytes: int
    failures_by_kind: dict[str, int]
    by_connection: dict[str, int]
    buckets: list[Bucket] = field(repr=False)


def add_up(requests: Iterable[Request], *, bucket_s: float = 1.0) -> Figures:
    """One pass; keeps 4 bytes a request."""
    durations = array("f")
    by_bucket: dict[int, array[float]] = {}
    failed_by_bucket: Counter[int] = Counter()
    kinds: Counter[str] = Counter()
    connections: Counter[str] = Counter()
    late = 0.0
    events = acked = body_bytes = 0
    for request in requests:
        place = int(request.started_at // bucket_s)
        durations.append(request.duration_ms)
        by_bucket.setdefault(place, array("f")).append(request.duration_ms)
        connections[_connection_name(request.connection)] += 1
        late = max(late, request.late_ms)
        events += request.count
        body_bytes += request.body_bytes
        if request.acked:
            acked += request.count
        else:
            kinds[request.outcome.label] += 1
            failed_by_bucket[place] += 1
    ascending = sorted(durations)
    return Figures(
        sent=len(ascending),
        failed=sum(kinds.values()),
        p50_ms=quantile(ascending, 0.5),
        p99_ms=quantile(ascending, 0.99),
        max_ms=ascending[-1] if ascending else 0.0,
        late_max_ms=late,
        events_sent=events,
        events_acked=acked,
        body_bytes=body_bytes,
        failures_by_kind=dict(kinds),
        by_connection=dict(connections),
        buckets=[
            _bucket(place * bucket_s, bucket_s, sorted(one), failed_by_bucket[place])
            for place, one in sorted(by_bucket.items())
        ],
    )


def _bucket(at: float, seconds: float, ascending: Sequence[float], failed: int) -> Bucket:
    return Bucket(
        at=at,
        seconds=seconds,
        requests=len(ascending),
        failed=failed,
        p50_ms=quantile(ascending, 0.5),
        p99_ms=quantile(ascending, 0.99),
        max_ms=ascending[-1],
    )


def _connection_name(connection: Connection) -> str:
    return "keep-alive" if connection is Connection.KEEP_ALIVE else "one request each"

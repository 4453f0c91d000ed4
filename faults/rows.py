"""What came of the faults: rows counted from the load's ledger and from what a reader sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from demo.ledger import Request
from faults.fault import Own


@dataclass
class Row:
    """One fault as it was played, between two moments (Unix seconds). seconds: until every node
    served what it must. broke: why it didn't go as it must; left_behind: why the fleet is not what
    it was before; "" when all is well.

    What a fault breaks itself counts apart: requests_cut of those that reached a node in the
    seconds when its own power was cut or its release was the bad one, and events_swallowed by it.
    """

    name: str
    ends: tuple[str, ...]
    state: str
    seconds: float
    from_t: float
    to_t: float
    broke: str = ""
    left_behind: str = ""
    own: Sequence[Own] = field(default_factory=tuple)
    requests_sent: int = 0
    requests_failed: int = 0
    requests_cut: int = 0
    events_acked: int = 0
    events_lost: int = 0
    events_swallowed: int = 0

    @property
    def ok(self) -> bool:
        lost = self.requests_failed or self.events_lost
        return (
            not (self.broke or self.left_behind or lost)
            and self.state in self.ends
            and self.requests_sent > 0
        )

    def to_json(self) -> dict[str, Any]:
        hidden = ("ends", "from_t", "to_t", "own", "broke", "left_behind")
        kept = {key: value for key, value in asdict(self).items() if key not in hidden}
        said = {"why": self.why()} if not self.ok else {}
        return kept | {"seconds": round(self.seconds, 1), "ok": self.ok} | said

    def why(self) -> str:
        """What is wrong with it, in words."""
        if self.broke or self.left_behind:
            return "; ".join(filter(None, (self.broke, self.left_behind)))
        if self.state not in self.ends:
            return f"it ended as {self.state}, not {' or '.join(self.ends)}"
        if not self.requests_sent:
            return "no request was sent"
        return f"{self.requests_failed} requests failed, {self.events_lost} events lost"


def count(
    rows: Sequence[Row],
    requests: Iterator[Request],
    seen: bytearray,
    nodes: Sequence[str],
) -> None:
    """Counts each request in the row in which it began. seen: see demo.check; nodes: the ids of the
    ledger's targets, in their order."""
    for request in requests:
        row = next((r for r in rows if r.from_t <= request.started_at < r.to_t), None)
        if row is not None:
            _count_one(row, request, seen, nodes[request.target])


def _count_one(row: Row, request: Request, seen: bytearray, node: str) -> None:
    ended_at = request.started_at + request.duration_ms / 1000
    own = {
        one.what
        for one in row.own
        if one.node == node and request.started_at < one.to_t and ended_at >= one.from_t
    }
    row.requests_sent += 1
    if not request.acked:
        row.requests_cut += "requests" in own
        row.requests_failed += "requests" not in own
        return
    row.events_acked += request.count
    unseen = request.count - sum(seen[request.first : request.first + request.count])
    row.events_swallowed += unseen if "events" in own else 0
    row.events_lost += 0 if "events" in own else unseen


def table(rows: Sequence[Row]) -> Iterator[str]:
    """For people."""
    yield f"{'fault':34}{'ends':13}{'requests':>9}{'failed':>8}{'acked':>9}{'lost':>6}{'s':>7}"
    for row in rows:
        mark = "✔" if row.ok else "✗"
        yield (
            f"{mark} {row.name:32}{row.state:13}{row.requests_sent:9}{row.requests_failed:8}"
            f"{row.events_acked:9}{row.events_lost:6}{row.seconds:7.1f}"
        )
        if row.requests_cut or row.events_swallowed:
            yield (
                f"    of the fault itself: {row.requests_cut} requests, "
                f"{row.events_swallowed} events"
            )
        if not row.ok:
            yield f"    {row.why()}"


def document(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What build/rollout-faults.json says."""
    return {**facts, "rows": [row.to_json() for row in rows]}

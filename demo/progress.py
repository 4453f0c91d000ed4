"""What the load client says of itself while it runs: `progress.json`, and a line a second."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from demo.ledger import Request


class Progress:
    """The last second's figures, for whoever watches: `progress.json`, replaced whole."""

    def __init__(self, path: Path, *, quiet: bool) -> None:
        self._path = path
        self._quiet = quiet
        self._recent: deque[tuple[float, float]] = deque(maxlen=100_000)
        self._last_line = 0.0
        self.sent = 0
        self.acked_events = 0
        self.slowest_ms = 0.0
        self.failed: Counter[str] = Counter()

    def add(self, request: Request) -> None:
        self.sent += 1
        self.slowest_ms = max(self.slowest_ms, request.duration_ms)
        self._recent.append(
            (request.started_mono + request.duration_ms / 1000, request.duration_ms)
        )
        if request.acked:
            self.acked_events += request.count
        else:
            self.failed[request.outcome.label] += 1

    def publish(self, state: str) -> None:
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - 1:
            self._recent.popleft()
        durations = sorted(duration for _, duration in self._recent)
        view = {
            "state": state,
            "at": time.time(),
            "sent": self.sent,
            "failed": sum(self.failed.values()),
            "failures_by_kind": dict(self.failed),
            "acked_events": self.acked_events,
            "rate": len(durations),
            "p50_ms": round(quantile(durations, 0.5), 2),
            "p99_ms": round(quantile(durations, 0.99), 2),
            "max_ms": round(self.slowest_ms, 2),
        }
        aside = self._path.with_suffix(".tmp")
        aside.write_text(json.dumps(view))
        aside.replace(self._path)
        if not self._quiet and (now - self._last_line >= 1 or state != "running"):
            self._last_line = now
            print(
                f"{time.strftime('%H:%M:%S')} load {state}: {view['sent']} sent, "
                f"{view['failed']} failed, {view['rate']}/s, p50 {view['p50_ms']} ms, "
                f"p99 {view['p99_ms']} ms",
                file=sys.stderr,
                flush=True,
            )


def quantile(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank quantile; 0.0 of nothing."""
    if not ascending:
        return 0.0
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]

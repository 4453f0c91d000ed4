"""What has happened in the story so far: its rollouts and their swaps, from what evctl printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from demo.evctl import Done
from demo.receipt import Rollout
from demo.report_data import Span


@dataclass
class Told:
    """spans: what the report shows beside them."""

    rollouts: list[Rollout] = field(default_factory=list)
    swaps: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def add(self, done: Done) -> None:
        """Take in a rollout or a rollback that has ended, also one that went wrong."""
        end = next(line for line in reversed(done.lines) if "swapped" in line)
        self.rollouts.append(
            Rollout(
                id=end["id"],
                from_=end["from"] or "",
                to=end["to"] or "",
                state=end["state"],
                nodes=len(end["nodes"]),
                swaps=end["swaps"],
                duration_s=end["duration_s"],
                started_at=end["started_at"],
                ended_at=end["ended_at"],
            )
        )
        self.swaps += [{**swap, "rollout": end["id"], "ok": True} for swap in end["swapped"]]
        self.swaps += _failed_swaps(done.lines, end)


def _failed_swaps(lines: list[dict[str, Any]], end: dict[str, Any]) -> Iterator[dict[str, Any]]:
    began = 0.0
    for line in lines:
        if line.get("event") == "swap":
            began = line["at"]
        if line.get("event") == "answer" and line["action"] == "swap" and not line["ok"]:
            node = end["nodes"][line["node"]]
            yield {
                "node": line["node"],
                "role": node["role"],
                "from": node["from"],
                "to": node["to"],
                "started_at": began,
                "ended_at": line["at"],
                "ready_s": None,
                "drain_s": None,
                "total_s": round(line["at"] - began, 3),
                "rollout": end["id"],
                "ok": False,
                "state": "never ready" if "READY" in json.dumps(line) else "died at start",
            }

"""The health paths of the process contract, the same for every role."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp.web_request import BaseRequest

from eventstore import metrics
from eventstore.collector.reply import Reply, text

PATHS = frozenset({"/livez", "/readyz", "/version", "/metrics"})


@dataclass(frozen=True)
class Health:
    """Answers for one process. identity: role, release, node, pid."""

    identity: Mapping[str, str | int]
    unready: Callable[[], str | None]
    notice: Callable[[], str]
    counters: Callable[[], list[metrics.Counter]]
    gauges: Callable[[], Mapping[str, float]]

    async def answer(self, request: BaseRequest) -> Reply:
        """One of PATHS."""
        if request.path == "/livez":
            return text(200, "alive\n")
        if request.path == "/readyz":
            return self._readyz()
        if request.path == "/version":
            return Reply(200, orjson.dumps(self.identity), "application/json")
        gauges = await asyncio.to_thread(self.gauges)  # engines are asked, over a network maybe
        page = metrics.render(
            self.counters(),
            gauges,
            {key: str(value) for key, value in self.identity.items() if key != "pid"},
        )
        return Reply(200, page.encode(), metrics.CONTENT_TYPE)

    def _readyz(self) -> Reply:
        reason = self.unready()
        if reason is None:
            return text(200, f"ready\n{notice}\n" if (notice := self.notice()) else "ready\n")
        return text(503, reason + "\n")

"""The health paths of the process contract, the same for every role."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp.web import BaseRequest, Response

from eventstore import metrics

PATHS = frozenset({"/livez", "/readyz", "/version", "/metrics"})


@dataclass(frozen=True)
class Health:
    """Answers for one process. identity: role, release, node, pid."""

    identity: Mapping[str, str | int]
    unready: Callable[[], str | None]
    notice: Callable[[], str]
    counters: Callable[[], list[metrics.Counter]]
    gauges: Callable[[], Mapping[str, float]]

    def answer(self, request: BaseRequest) -> Response:
        """One of PATHS."""
        if request.path == "/livez":
            return Response(text="alive\n")
        if request.path == "/readyz":
            return self._readyz()
        if request.path == "/version":
            return Response(body=orjson.dumps(self.identity), content_type="application/json")
        page = metrics.render(
            self.counters(),
            self.gauges(),
            {key: str(value) for key, value in self.identity.items() if key != "pid"},
        )
        return Response(body=page.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})

    def _readyz(self) -> Response:
        reason = self.unready()
        if reason is None:
            return Response(text=f"ready\n{notice}\n" if (notice := self.notice()) else "ready\n")
        return Response(status=503, text=reason + "\n")

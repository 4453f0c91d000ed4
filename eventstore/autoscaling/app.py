"""The autoscaler's role: one working thread beside the health paths, and what it has decided."""

from collections.abc import Mapping
from typing import Any

from eventstore.autoscaling.autoscaler import Autoscaler, body_of
from eventstore.collector.reply import Reply
from eventstore.errors import Refused
from eventstore.metrics import Counter
from eventstore.worker import Worker

PATH = "/desired"


class AutoscalerRole(Worker):
    """Decides, or stands by, and says at /desired what was decided last."""

    def __init__(self, autoscaler: Autoscaler) -> None:
        self._autoscaler = autoscaler
        super().__init__("autoscaler", autoscaler.run, autoscaler.stop)

    async def handle(self, request: Any, /) -> Reply:
        if request.path != PATH:
            raise Refused(404, "no_endpoint", "an autoscaler takes no events", f"GET {PATH}")
        if request.method not in ("GET", "HEAD"):
            raise Refused(
                405, "method", f"{request.method} is not taken", "use GET", allow=("GET", "HEAD")
            )
        return Reply(200, body_of(self._autoscaler.answer), "application/json")

    def unready(self) -> str | None:
        return super().unready() or self._autoscaler.engine_error or None

    def notice(self) -> str:
        answer = self._autoscaler.answer
        looked = answer["at"] is not None  # before that it doesn't know who does
        return "stands by: another one decides" if looked and not answer["decides"] else ""

    def counters(self) -> list[Counter]:
        return [self._autoscaler.changes]

    def gauges(self) -> Mapping[str, float]:
        desired = self._autoscaler.desired().items()
        return {
            "ev_scaling_decides": float(self._autoscaler.answer["decides"]),
            **{f"ev_desired_{role}_nodes": count for role, count in desired},
        }

    def close_engines(self) -> None:
        self._autoscaler.close()

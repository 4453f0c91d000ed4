"""The collector's role: endpoints over one committer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp.web_request import BaseRequest

from eventstore.collector import receipts
from eventstore.collector.committer import Committer
from eventstore.collector.dictionaries import TenantDictionaries
from eventstore.collector.fairness import Shares
from eventstore.collector.handlers import EventsHandler
from eventstore.collector.outlet import Direct, Outlet, Spooling
from eventstore.collector.receipts import ReceiptHandler
from eventstore.collector.reply import Reply
from eventstore.collector.spool import Spool
from eventstore.collector.syslog import Syslog, syslog_of
from eventstore.errors import Refused
from eventstore.formats import paths_of
from eventstore.metrics import Counter
from eventstore.ports import EventStore, Queue
from eventstore.settings import Settings
from eventstore.tagging import tags_for


class Collector:
    """Takes events and acknowledges them once the queue, or the spool, has them on disk. Without a
    spool the queue must be there: raises EngineUnavailable."""

    def __init__(
        self,
        settings: Settings,
        open_queue: Callable[[], Queue],
        open_store: Callable[[], EventStore],
        spool: Spool | None,
        *,
        node: str,
        release: str,
        answers: receipts.Answers | None = None,
    ) -> None:
        self._dictionaries = TenantDictionaries(settings.dictionaries, open_store)
        self._outlet: Outlet = (
            Direct(open_queue())
            if spool is None
            else Spooling(open_queue, spool, self._dictionaries.all)
        )
        self._receipts = answers and ReceiptHandler(answers, self._outlet.holds_back)
        self._committer = Committer(
            self._outlet,
            {
                one.path: tags_for(one, node=node, role="collector", release=release)
                for one in settings.endpoints
            },
            self._dictionaries.of,
            requests_max=settings.waiting_requests_max,
            bytes_max=settings.waiting_bytes_max,
            pack_bytes_max=settings.pack_bytes_max,
            # Its own turn may come after one commit that runs, each within commit_s.
            late_s=2 * settings.commit_s + 1,
        )
        receiving, one_large = Shares(settings.receiving_bytes_max), asyncio.Lock()
        self._routes: dict[str, tuple[EventsHandler, str]] = {}
        for one in settings.endpoints:
            handler = EventsHandler(one, settings, self._committer, receiving, one_large)
            for below in paths_of(one.format):
                self._routes[(one.path + below) or "/"] = (handler, below)
        self._settings = settings
        self._syslog: Syslog | None = None
        self._syslog_stopped: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._dictionaries.start)
        await asyncio.to_thread(self._outlet.start)
        self._committer.start()
        if self._settings.syslog_port:
            self._syslog = syslog_of(self._settings, self._committer)
            self._syslog.start()

    def handle(self, request: BaseRequest) -> Awaitable[Reply]:
        route = self._routes.get(request.path)
        if route is not None:
            handler, below = route
            return handler(request, below)
        if self._receipts and request.path.startswith(receipts.PATH):
            return self._receipts(request)
        raise Refused(
            404, "no_endpoint", "there is no endpoint here", f"use {', '.join(self._routes)}"
        )

    def unready(self) -> str | None:
        return self._outlet.unready() or self._committer.unready()

    def notice(self) -> str:
        return self._outlet.notice() or self._dictionaries.notice()

    def counters(self) -> list[Counter]:
        return self._committer.counters + self._outlet.counters

    def gauges(self) -> Mapping[str, float]:
        return {
            "ev_waiting_requests": self._committer.waiting,
            "ev_syslog_connections": self._syslog.connections if self._syslog else 0,
            **self._outlet.gauges(),
        }

    async def failed(self) -> str:
        """Never: a failed commit is answered, not died of."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    def begin_drain(self) -> None:
        """Syslog's senders can't be answered: they are let go at once. Requests in flight still
        need their commits."""
        if self._syslog is not None:
            self._syslog_stopped = asyncio.ensure_future(self._syslog.stop())

    async def close(self) -> None:
        if self._syslog_stopped is not None:
            await self._syslog_stopped
        await self._committer.close()
        if self._receipts:
            self._receipts.close()
        await asyncio.to_thread(self._outlet.close)
        await asyncio.to_thread(self._dictionaries.close)

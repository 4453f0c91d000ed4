"""Connections with bounds that aiohttp's own have not: how many there are, how long a head may take
to come and an answer to be taken, and how many bytes have come that no handler has read yet.

All that is ready is read in one turn of the loop, before any handler runs: with thousands of
connections that can be gigabytes. So bytes are counted as they come and as handlers take them, and
at the bound nothing more is read until handlers have caught up. What handlers will not take soon
(half a head, requests that are sent ahead of an answer) must not keep everybody waiting: then those
connections are cut. Bytes that handlers have taken are bounded in body.py.

Attributes of aiohttp's that begin with _ are those of the version that the lock pins.
"""

import asyncio
import contextlib
import select
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any, cast

from aiohttp.http import StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo
from aiohttp.web_protocol import RequestPayloadError as BrokenBody
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from eventstore.collector.known_heads import Counted, KnownHeads, Recognising
from eventstore.collector.reply import Reply
from eventstore.settings import Settings

LINGERING_S = 2.0  # for what still comes of a body that was refused: its sender reads after writing
UNREAD_BYTES_MAX = 8 << 20
AHEAD_BYTES_MAX = 2 << 10  # usual framing of a body in chunks adds less than this

App = Callable[[BaseRequest], Awaitable[Reply]]
NotHttp = Callable[[str], Reply]


class Connections(Server):
    """aiohttp's server over bounded connections. not_http: the answer to what can't be parsed.
    counted: what passes on an answer that was made without the app, with the time.perf_counter() of
    when its request came. count: how many there are."""

    def __init__(
        self,
        app: App,
        not_http: NotHttp,
        settings: Settings,
        counted: Counted = lambda _, reply: reply,
    ) -> None:
        super().__init__(cast(Callable[[BaseRequest], Awaitable[StreamResponse]], app))
        self.not_http = not_http
        self.counted = counted
        self.known_heads = KnownHeads()
        self._settings = settings
        self.count = 0
        self._unread = 0
        self._reading = True
        self._when_admitting: Callable[[], None] | None = None

    def __call__(self) -> "Connection":
        return Connection(self, self._settings, self._loop)

    def admits(self, when_admitting: Callable[[], None]) -> bool:
        """Whether there may be one more; it counts from now on. If not, it is told once when to
        ask again. What a new one sends is read before anything can hold it: none at that bound."""
        if self._reading and self.count < self._settings.connections_max:
            self.count += 1
            return True
        self._when_admitting = when_admitting
        return False

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.gone()

    def gone(self) -> None:
        """One that was admitted has ended."""
        self.count -= 1
        self._tell_to_ask_again()

    def came(self, connection: "Connection", size: int) -> None:
        """Bytes that no handler has read yet."""
        self._unread += size
        if self._unread <= UNREAD_BYTES_MAX:
            return
        if not self._reading:  # it was attached since
            connection.hold()
            return
        self._reading = False
        for one in self.connections:
            cast(Connection, one).hold()

    def taken(self, size: int) -> None:
        """Of what came."""
        self._unread -= size
        if self._reading or self._unread > UNREAD_BYTES_MAX // 2:
            return
        self._reading = True
        for one in self.connections:
            cast(Connection, one).let_go()
        self._tell_to_ask_again()

    def _tell_to_ask_again(self) -> None:
        if self._when_admitting is not None:
            tell, self._when_admitting = self._when_admitting, None
            tell()


class Connection(Recognising):
    """aiohttp's protocol of one connection, within bounds. head_bytes: of the headers of the
    request that is being handled."""

    __slots__ = (
        "_answer_late",
        "_answer_s",
        "_head_late",
        "_head_s",
        "_held",
        "_of",
        "_unread",
        "head_bytes",
    )

    def __init__(
        self, of: Connections, settings: Settings, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            of.known_heads,
            of.counted,
            of,
            loop=loop,
            access_log=None,  # aiohttp's own way to have none
            auto_decompress=False,  # bodies are unpacked by body.py, which bounds them
            keepalive_timeout=settings.keep_alive_s,
            lingering_time=0,  # what is left of a body is dropped here, where it is counted
        )
        self._of = of
        self._head_s = settings.header_s
        self._answer_s = settings.answer_s
        self.head_bytes = 0
        self._unread = 0
        self._held = False
        self._head_late: asyncio.TimerHandle | None = None
        self._answer_late: asyncio.TimerHandle | None = None

    async def _answer_next(self) -> None:
        message, body = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        handler = self._of.request_handler
        if isinstance(message, _ErrInfo):
            handler, message = self._make_error_handler(message), ERROR
        task = cast("asyncio.Task[None]", self._task_handler)
        writer = StreamWriter(self, self._loop)
        request = BaseRequest(message, body, self, writer, task, self._loop)
        self.head_bytes = sum(map(len, chain.from_iterable(message.raw_headers)))
        self.took(self.head_bytes)
        self._current_request = request
        response: Any  # of aiohttp's own only the one to an error that nobody has foreseen
        try:
            response = await handler(request)
            self.learn(message, response.again)
            if body.is_eof():
                self.read_whole(response)
            else:
                await self._answer_and_drop_the_rest(request, response)
        except Exception as error:  # noqa: BLE001 -- it is logged, and answered
            response = self.handle_error(request, 500, error)
        _, gone = await self.finish_response(request, response, None)
        if gone or not body.is_eof():
            self.close()
        self._keepalive = bool(response.keep_alive)

    async def _answer_and_drop_the_rest(self, request: BaseRequest, response: Reply) -> None:
        """A client that still writes would not see the answer of a connection that is closed."""
        await response.prepare(request)
        await response.write_eof()
        with contextlib.suppress(TimeoutError, BrokenBody, ConnectionError):
            async with asyncio.timeout(LINGERING_S):
                while not request.content.at_eof():
                    self.took_some(request.content, len(await request.content.readany()))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_late = self._loop.call_later(self._head_s, self._cut_without_a_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._head_late, self._answer_late):
            if timer is not None:
                timer.cancel()
        self.took_all()
        super().connection_lost(exc)
        self._messages.clear()  # their bodies know this connection: a circle again

    def data_received(self, data: bytes) -> None:
        if self.recognised(data):
            if self._head_late is not None:
                self._head_late.cancel()
                self._head_late = None
            return
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            # Its frames hold the data and, in a circle, the error: freed only much later.
            self._messages[-1][0].exc.__traceback__ = None
        if self._waits_for_a_head():
            if data and self._head_late is None:
                self._head_late = self._loop.call_later(self._head_s, self._cut_without_a_head)
        elif self._head_late is not None and self._request_count:
            self._head_late.cancel()
            self._head_late = None
        self._unread += len(data)
        self._of.came(self, len(data))

    def took(self, size: int) -> None:
        """A handler has read this much of what came."""
        size = min(size, self._unread)
        self._unread -= size
        self._of.taken(size)

    def took_some(self, body: StreamReader, size: int) -> None:
        """A handler has read all that was there of a body, and waits for more. What else has come
        was its framing, unless aiohttp has put off reading some of it."""
        all_of_it = not (body.is_eof() or body._size or self._reading_paused)
        self.took(self._unread if all_of_it else size)

    def take_whole(self, body: StreamReader) -> bytes:
        """All of a body that has come to its end."""
        if not body.total_bytes:
            return b""
        whole = body._buffer.popleft() if len(body._buffer) == 1 else b"".join(body._buffer)
        body._buffer.clear()
        body._size = 0
        self.took(len(whole))
        self.resume_reading()
        return whole

    def took_all(self) -> None:
        """Nothing of what came is left."""
        self._of.taken(self._unread)
        self._unread = 0

    def read_whole(self, response: Reply) -> None:
        """A request has been read to its end. One that sends much ahead of the answer is closed:
        what nothing reads must not stay."""
        if self._unread > AHEAD_BYTES_MAX:
            response.force_close()
        elif self._unread and not self._messages:
            self.took_all()

    def hold(self) -> None:
        """Reads nothing more for now; cut, when no handler is about to read what has come."""
        request = self._current_request
        waits = not self._messages if request is None else request.content.at_eof()
        if waits and self._unread > AHEAD_BYTES_MAX:
            self._cut()
            return
        self._held = True
        self._pause_transport_reading()

    def let_go(self) -> None:
        """Reads again."""
        self._held = False
        if not (self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        if not self._held:
            super()._resume_transport_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_late = self._loop.call_later(self._answer_s, self._cut)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answer_late is not None:
            self._answer_late.cancel()
            self._answer_late = None

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """What aiohttp answers by itself. What anyone can cause is not logged."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone: there is nobody to answer
        if status != 400 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        return cast(StreamResponse, self._of.not_http(message or str(exc)))

    def _waits_for_a_head(self) -> bool:
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self.answering

    def _cut_without_a_head(self) -> None:
        self._head_late = None
        if not self._unread and self._something_waits():
            self._head_late = self._loop.call_later(self._head_s, self._cut_without_a_head)
        elif self._waits_for_a_head():
            self._cut()

    def _process_keepalive(self) -> None:
        if self.answering or self._something_waits():
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def _something_waits(self) -> bool:
        """Whether more has come than was read: nothing is read just now, or the loop is late."""
        if self.transport is None or self.transport.is_closing():
            return False
        come = select.poll()
        come.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(come.poll(0))

    def _cut(self) -> None:
        # close() would wait until the client has taken what is still to be written to it.
        if self.transport is not None:
            self.transport.abort()


def connection_of(request: BaseRequest) -> Connection:
    """The one that it came on: Connections makes no other."""
    return cast(Connection, request.protocol)

"""aiohttp's protocol of a connection, with one task for all of its requests: a task for each costs
more than to parse it, and so does asking the transport to read on when nothing has stopped it.

Attributes of aiohttp's that begin with _ are those of the version that the lock pins.
"""

from abc import abstractmethod
from typing import Any

from aiohttp.web_protocol import RequestHandler


class OneTask(RequestHandler):
    """One request after another, until either side has had enough. answering: one is being
    answered without this task, which waits for its turn."""

    __slots__ = ("answering",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answering = False

    async def start(self) -> None:
        """What aiohttp runs for each connection."""
        while self._keepalive and not (self._close or self._force_close):
            if not self._messages or self.answering:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
                continue  # it may have gone since
            self._request_in_progress = True
            try:
                await self._answer_next()
            except ConnectionError:
                break  # the client has gone
            except BaseException:
                self.force_close()
                raise
            finally:
                self._current_request = None
                self._request_in_progress = False
                if self._handler_waiter is not None:  # somebody shuts down
                    self._handler_waiter.set_result(None)
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._process_keepalive()
        if self.transport is not None:
            self.transport.close()

    def go_on(self) -> None:
        """Has the task look again whether there is something to do."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @abstractmethod
    async def _answer_next(self) -> None:
        """Takes the next message and answers it. Nothing of it stays while the next is awaited.
        _keepalive says then whether there may be another; ConnectionError: the client has gone."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)

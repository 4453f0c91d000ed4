"""Heads that need no parsing: their bytes are those of one that was parsed, and answered, before.

A client sends the same head with each of its requests, but for the Content-Length. So of a request
that comes whole, and whose answer says what to do with the next one (Reply.again), the head is
kept: its bytes before and after the digits of its Content-Length. aiohttp has parsed it, as a
message of HTTP/1.1 with just this one framing, after which the connection goes on; other digits in
the same place can't change what the rest of it says.

Where a message begins in what a connection sends is known as long as each came whole, or was alone
until its end; from the first that did not, all of that connection's are parsed.

Attributes of aiohttp's that begin with _ are those of the version that the lock pins.
"""

import asyncio
import re
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from eventstore.collector.one_task import OneTask
from eventstore.collector.reply import Again, Reply

HEADS_MAX = 512
HEAD_BYTES_MAX = 2048
# One spelling of digits for each length: what else a parser may take for a number is left to it.
LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (0|[1-9][0-9]{0,7})\r\n")
HEAD_END = b"\r\n\r\n"

Head = tuple[bytes, bytes]  # before and after the digits of its Content-Length
# Passes on an answer, given when its request came (time.perf_counter()).
Counted = Callable[[float, Reply], Reply]


class Begun(NamedTuple):
    """What bytes tell of a message that they begin with: where its head ends; if that states a
    length in the usual way, what is before and after it, and how many bytes are still to come."""

    end: int
    head: Head | None = None
    left: int = 0


class KnownHeads(dict[Head, Again]):
    """Those of all connections. When there are too many, all are forgotten: who comes again is
    known again after one request."""

    def learn(self, head: Head, again: Again) -> None:
        if len(head[0]) + len(head[1]) > HEAD_BYTES_MAX:
            return
        if len(self) >= HEADS_MAX:
            self.clear()
        self[head] = again


class Recognising(OneTask):
    """A connection whose requests are looked up before they are parsed. address: whom it is with;
    "" over a socket that has no addresses."""

    __slots__ = ("_begun", "_came_s", "_counted", "_known_heads", "_owed", "_parsed", "address")

    def __init__(
        self, known_heads: KnownHeads, counted: Counted, *args: Any, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._known_heads = known_heads
        self._counted = counted
        # Bytes still to come of the message that the parser is in; None: nobody knows any more.
        self._owed: int | None = 0
        self._begun: Begun | None = None
        # The head that came last with the whole of its message, and what it was parsed to.
        self._parsed: tuple[Head, RawRequestMessage] | None = None
        self._came_s = 0.0  # the request that is answered without parsing
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = self.peername
        self.address = peer[0] if isinstance(peer, tuple) else ""

    def recognised(self, data: bytes) -> bool:
        """Whether this is a whole request whose head is known: then it is being answered. All else
        is to be parsed, by the next call."""
        self._begun = None
        if self._owed != 0 or not data:
            return False
        end = data.find(HEAD_END) + len(HEAD_END)
        found = LENGTH.search(data, 0, end)
        if found is None:
            self._begun = Begun(end)
            return False
        digits, after = found.span(1)
        head, left = (data[:digits], data[after:end]), end + int(found[1]) - len(data)
        if left == 0 and self._is_idle():
            again = self._known_heads.get(head)
            if again is not None:
                self._request_count += 1
                self.answering = self._request_in_progress = True
                self._came_s = time.perf_counter()
                again(data[end:], self.address, self._answered)
                return True
        self._begun = Begun(end, head, left)
        return False

    def data_received(self, data: bytes) -> None:
        """Has it parsed."""
        begun, before = self._begun, len(self._messages)
        super().data_received(data)
        if begun is None:
            if self._owed:
                self._owed = left if (left := self._owed - len(data)) >= 0 else None
            return
        self._parsed = self._owed = None
        if len(self._messages) != before + 1:
            return
        message, body = self._messages[-1]
        if not isinstance(message, RawRequestMessage) or message.chunked or message.upgrade:
            return
        if begun.head is None:  # no Content-Length, or one that is spelled otherwise
            self._owed = 0 if begun.end == len(data) and body is EMPTY_PAYLOAD else None
        elif begun.left >= 0:
            self._owed = begun.left
            lasts = message.version == HttpVersion11 and not message.should_close
            if begun.left == 0 and lasts:
                self._parsed = begun.head, message

    def learn(self, message: RawRequestMessage, again: Again | None) -> None:
        """A message was answered; again: what takes the next one with this head."""
        parsed, self._parsed = self._parsed, None
        if parsed is not None and parsed[1] is message and again is not None:
            self._known_heads.learn(parsed[0], again)

    @abstractmethod
    def read_whole(self, response: Reply) -> None:
        """A request has been read to its end, and this will be its answer."""

    def _answered(self, reply: Reply) -> None:
        reply = self._counted(self._came_s, reply)
        self.answering = self._request_in_progress = False
        if self._handler_waiter is not None:  # somebody shuts down
            self._handler_waiter.set_result(None)
        if self.transport is None or self.transport.is_closing():
            return
        self.read_whole(reply)
        try:
            self.transport.write(reply.on_the_wire())
        except ValueError:
            self.force_close()
            raise
        self._keepalive = reply.keep_alive is not False
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._messages or not self._keepalive:
            self.go_on()

    def _is_idle(self) -> bool:
        """Nothing waits to be answered or written, nor is anything being answered."""
        waiter = self._waiter
        return not (
            waiter is None
            or waiter.done()
            or self.answering
            or self._paused
            or self._close
            or self._force_close
        )

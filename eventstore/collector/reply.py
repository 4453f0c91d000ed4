"""Answers that are known whole, which all of the roles' are: written at once, head and body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import REASON_PHRASES

TEXT = "text/plain; charset=utf-8"
BODILESS = frozenset({204, 304})
LAST = f"\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"


class Reply:
    """An answer. aiohttp's own can be changed, streamed and compressed until the last moment, which
    takes several times as long; of those this has what a connection asks for.

    keep_alive: whether the connection is to be kept; None: as the request wants it. again: what
    answers the next request that has the very same head.
    """

    __slots__ = ("_request", "again", "body", "headers", "keep_alive", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = {**headers} if headers else {}
        if content_type:
            self.headers["Content-Type"] = content_type
        self.keep_alive: bool | None = None
        self.again: Again | None = None
        self._request: BaseRequest | None = None

    def force_close(self) -> None:
        """Ends the connection with this answer."""
        self.keep_alive = False

    async def prepare(self, request: BaseRequest) -> None:
        """Nothing is written yet."""
        self._request = request
        if self.keep_alive is None:
            self.keep_alive = request.keep_alive

    async def write_eof(self) -> None:
        """Writes all of it, once."""
        request, self._request = self._request, None
        if request is not None:
            with_body = request.method != "HEAD"
            await request.writer.write_eof(self.on_the_wire(request.version, with_body=with_body))

    def on_the_wire(self, version: HttpVersion = HttpVersion11, *, with_body: bool = True) -> bytes:
        """All of it. ValueError: what would be more than one header."""
        lines = "".join([f"\r\n{name}: {text}" for name, text in self.headers.items()])
        count = len(self.headers)
        if lines.count("\r") != count or lines.count("\n") != count or "\0" in lines:
            raise ValueError(f"a line break or a zero byte within a header: {lines!r}")
        if self.status not in BODILESS:
            lines += f"\r\nContent-Length: {len(self.body)}"
        if version == HttpVersion10:
            if self.keep_alive:
                lines += "\r\nConnection: keep-alive"
        elif self.keep_alive is False:
            lines += "\r\nConnection: close"
        first = _first_line(version, self.status)
        head = f"{first}{lines}\r\nDate: {rfc822_formatted_time()}{LAST}".encode()
        return head + self.body if with_body else head


@cache
def _first_line(version: HttpVersion, status: int) -> str:
    return f"HTTP/{version[0]}.{version[1]} {status} {REASON_PHRASES.get(status, '')}"


# Given a body, its sender's address, and whom to tell the answer, now or later, on the loop.
Again = Callable[[bytes, str, Callable[[Reply], None]], None]


def text(status: int, said: str) -> Reply:
    """As plain text."""
    return Reply(status, said.encode(), TEXT)

"""Answers that are known whole, which all of the roles' are: written at once, head and body."""

from collections.abc import Mapping

from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpVersion10
from aiohttp.http_writer import _serialize_headers
from aiohttp.web import BaseRequest, StreamResponse
from aiohttp.web_response import REASON_PHRASES
from multidict import CIMultiDict

TEXT = "text/plain; charset=utf-8"
BODILESS = frozenset({204, 304})


class Reply(StreamResponse):
    """An answer. aiohttp's own Response can be changed, streamed and compressed until the last
    moment, which takes twice the time."""

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # Not the base's: half of it is for what a Reply never does.
        self._status, self._reason = status, REASON_PHRASES.get(status, "")
        self._headers = CIMultiDict(headers or {})
        if content_type:
            self._headers["Content-Type"] = content_type
        self._whole = body

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is written yet."""
        self._req = request
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        return None

    async def write_eof(self, _data: bytes = b"") -> None:
        """Writes all of it, once."""
        request = self._req
        if self._eof_sent or request is None:
            return
        self._eof_sent = True
        version, headers = request.version, self._headers
        if self._status not in BODILESS:
            headers["Content-Length"] = str(len(self._whole))
        headers["Date"] = rfc822_formatted_time()
        headers["Server"] = SERVER_SOFTWARE
        if version == HttpVersion10:
            if self._keep_alive:
                headers["Connection"] = "keep-alive"
        elif not self._keep_alive:
            headers["Connection"] = "close"
        line = f"HTTP/{version[0]}.{version[1]} {self._status} {self._reason}"
        head = _serialize_headers(line, headers)
        await request.writer.write_eof(head if request.method == "HEAD" else head + self._whole)


def text(status: int, said: str) -> Reply:
    """As plain text."""
    return Reply(status, said.encode(), TEXT)

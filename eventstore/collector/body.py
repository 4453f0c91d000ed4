"""Reading a request's body: bounded in bytes and in time."""

import asyncio

import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest

from eventstore.collector.codings import too_large
from eventstore.collector.connections import connection_of
from eventstore.collector.fairness import Shares
from eventstore.collector.refusals import overloaded
from eventstore.errors import Refused

REQUEST_BYTES = 8 << 10  # what one in flight costs beside what was sent, as measured


class Held(msgspec.Struct, gc=False):
    """What one request takes of the memory that all may take together, until it is answered."""

    shares: Shares
    tenant: str
    size: int = 0

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """All of it, at the end."""
        size, self.size = self.size, 0
        if size:
            self.shares.give_back(self.tenant, size)

    def more(self, size: int) -> None:
        """Raises Refused when there is no room."""
        if not self.shares.take(self.tenant, size):
            raise overloaded("too many bytes are being received", close=True)
        self.size += size

    def whole(self, body: bytes, head_bytes: int, bytes_max: int) -> None:
        """A request that has come to its end; raises Refused, also when it is too large."""
        self.more(REQUEST_BYTES + head_bytes + len(body))
        if len(body) > bytes_max:
            raise too_large(bytes_max)


async def read_body(request: BaseRequest, held: Held, *, bytes_max: int, body_s: float) -> bytes:
    """The body as it came, its Content-Encoding still on; raises Refused (400, 408, 413, 429)."""
    connection, content = connection_of(request), request.content
    if content.is_eof() and content.exception() is None:
        body = connection.take_whole(content)  # it came with its head: there is nothing to wait for
        held.whole(body, connection.head_bytes, bytes_max)
        return body
    held.more(REQUEST_BYTES + connection.head_bytes)
    if (request.content_length or 0) > bytes_max:
        raise too_large(bytes_max)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await _read_raw(request, held, bytes_max, body_s)


async def _read_raw(request: BaseRequest, held: Held, bytes_max: int, body_s: float) -> bytes:
    connection = connection_of(request)
    first, rest = b"", bytearray()  # a list of chunks could cost many times their bytes
    try:
        async with asyncio.timeout(body_s):
            while chunk := await request.content.readany():
                connection.took_some(request.content, len(chunk))
                held.more(len(chunk))
                if len(first) + len(rest) + len(chunk) > bytes_max:
                    raise too_large(bytes_max)
                if first:
                    rest += chunk
                else:
                    first = chunk
                del chunk  # or it would stay for as long as the next one takes to come
    except TimeoutError:
        raise Refused(
            408,
            "slow_body",
            f"the body did not arrive within {body_s:g} s",
            "send it again, faster or in smaller requests",
            close=True,
        ) from None
    except (RequestPayloadError, HttpProcessingError) as error:
        raise Refused(
            400,
            "broken_body",
            f"the body is cut short or malformed: {error}"[:300],
            "send the whole body, framed by Content-Length or chunks",
            close=True,
        ) from None
    return first + rest if rest else first

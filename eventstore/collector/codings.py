"""Content-Encoding: gzip, deflate and zstd, undone with the result bounded while it grows."""

import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from backports import zstd
from multidict import CIMultiDictProxy

from eventstore.errors import Refused

GZIP = 16 + zlib.MAX_WBITS
STREAMS_MAX = 100  # of one body: finding where each ends costs a copy of what is left
SEVERAL = frozenset({"gzip", "x-gzip", "zstd"})  # what RFC 1952 and RFC 8878 let follow its like
# RFC 9659: who sends zstd over HTTP keeps its window within 8 MiB. It is what decoding costs.
ZSTD_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class Decoder(Protocol):
    """Of zlib and of zstd: gives at most max_length bytes; eof once its stream has ended."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _deflate(raw: bytes) -> Decoder:
    """The standard means zlib's format; some clients send it bare. A bare stream never begins like
    zlib's header: that would be a stored block with padding that is not zero."""
    headed = raw[:1] and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2], "big") % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)


DECODERS: Mapping[str, Callable[[bytes], Decoder]] = {
    "gzip": lambda _: zlib.decompressobj(GZIP),
    "x-gzip": lambda _: zlib.decompressobj(GZIP),
    "deflate": _deflate,
    "zstd": lambda _: zstd.ZstdDecompressor(options=ZSTD_WINDOW),
}


def coding_of(headers: CIMultiDictProxy[str]) -> str:
    """One of DECODERS, or "" for a plain body; raises Refused (415) for anything else.

    Codings upon codings are refused: nobody sends them but to make small bodies of huge ones. And
    so are those of the transfer, which aiohttp passes on as if there were none.
    """
    transfer = headers.get("Transfer-Encoding", "").strip().lower()
    if transfer not in ("", "chunked"):
        raise _not_taken("Transfer-Encoding", transfer)
    coding = ", ".join(headers.getall("Content-Encoding", ())).strip().lower()
    if coding in DECODERS:
        return coding
    if coding in ("", "identity"):
        return ""
    raise _not_taken("Content-Encoding", coding)


def undone(coding: str, raw: bytes, bytes_max: int) -> bytes:
    """The body behind a coding; raises Refused (400, 413)."""
    if not coding:
        return raw
    body = b""
    for _ in range(STREAMS_MAX if coding in SEVERAL else 1):
        decoder = DECODERS[coding](raw)
        try:
            body += decoder.decompress(raw, bytes_max + 1 - len(body))
        except (zlib.error, zstd.ZstdError) as error:
            raise _broken(coding, str(error)) from None
        if len(body) > bytes_max:
            raise too_large(bytes_max)
        if not decoder.eof:
            raise _broken(coding, "it is cut short")
        raw = decoder.unused_data
        if not raw:
            return body
    raise _broken(coding, "there are bytes after its end")


def too_large(bytes_max: int) -> Refused:
    """A body above the bound, before or after its coding is undone."""
    return Refused(
        413,
        "too_large",
        f"the body is larger than {bytes_max} bytes (after decompression)",
        "send the events in several requests",
        close=True,
    )


def _not_taken(header: str, coding: str) -> Refused:
    return Refused(
        415,
        "content_encoding",
        f"{header} {coding[:64]!r} is not taken",
        "send it plain, or with a Content-Encoding of gzip, deflate or zstd",
        close=True,
    )


def _broken(coding: str, why: str) -> Refused:
    name = coding.removeprefix("x-")
    return Refused(400, f"bad_{name}", f"the {name} body is unusable: {why}", "compress it again")

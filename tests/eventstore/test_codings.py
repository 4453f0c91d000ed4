"""Content-Encoding: undone within bounds, or refused with a reason."""

import gzip
import os
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from eventstore.collector import codings
from eventstore.errors import Refused
from tests.eventstore.exchange import send
from tests.eventstore.memory import peak_kib

BODY_BYTES_MAX = 1 << 20
EVENT = b'{"id":"1","text":"' + b"x" * 300 + b'"}'
JSON = {"Content-Type": "application/json"}


def raw_deflate(body: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return encoder.compress(body) + encoder.flush()


def zstd_stream(body: bytes) -> bytes:
    """Of a client that streams: the frame does not state its size."""
    encoder = zstandard.ZstdCompressor().compressobj()
    return encoder.compress(body) + encoder.flush()


ENCODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstandard.compress),
    ("zstd", zstd_stream),
]


def refused(coding: str, body: bytes, bytes_max: int = BODY_BYTES_MAX) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        codings.undone(coding, body, bytes_max)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
@given(st.binary(max_size=2000) | st.binary(max_size=20).map(lambda some: some * 500))
def test_what_was_encoded_comes_back(coding: str, encode: Callable[[bytes], bytes], body: bytes):
    assert codings.undone(coding, encode(body), BODY_BYTES_MAX) == body
    assert codings.undone(coding, encode(body), len(body)) == body
    if body:
        assert refused(coding, encode(body), len(body) - 1) == (413, "too_large")


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_what_is_cut_short_damaged_or_goes_on_is_refused(
    coding: str, encode: Callable[[bytes], bytes]
):
    whole = encode(EVENT)
    code = f"bad_{coding.removeprefix('x-')}"
    for length in (0, 1, 5, len(whole) // 2, len(whole) - 1):
        assert refused(coding, whole[:length]) == (400, code), length
    for rest in (b"x", b"\0" * 100, whole[:-1]):
        assert refused(coding, whole + rest) == (400, code)
    assert refused(coding, EVENT) == (400, code)


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_a_body_of_several_streams_is_all_of_them(coding: str, encode: Callable[[bytes], bytes]):
    """As RFC 1952 and RFC 8878 have it, and as buffers make it that are compressed piece by piece.
    What zlib and deflate call a stream ends with it."""
    pieces = [b'{"id":"1"}\n', b"", b'{"id":"2"}\n']
    several = b"".join(map(encode, pieces))
    if coding == "deflate":
        assert refused(coding, several) == (400, "bad_deflate")
        return
    whole = b"".join(pieces)
    assert codings.undone(coding, several, len(whole)) == whole
    assert refused(coding, several, len(whole) - 1) == (413, "too_large")
    assert refused(coding, several + encode(bytes(200 << 20))) == (413, "too_large")
    many = [encode(b"x")] * codings.STREAMS_MAX
    assert codings.undone(coding, b"".join(many), BODY_BYTES_MAX) == b"x" * codings.STREAMS_MAX
    code = f"bad_{coding.removeprefix('x-')}"
    assert refused(coding, b"".join([*many, many[0]])) == (400, code)


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_a_bomb_takes_no_more_than_its_bound(coding: str, encode: Callable[[bytes], bytes]):
    bomb = encode(bytes(200 << 20))
    assert len(bomb) < BODY_BYTES_MAX
    tracemalloc.start()
    try:
        assert refused(coding, bomb) == (413, "too_large")
        assert tracemalloc.get_traced_memory()[1] < 8 * BODY_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_zstd_window_costs_no_more_than_the_standard_allows():
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    encoder = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    assert refused("zstd", encoder.compress(EVENT) + encoder.flush()) == (400, "bad_zstd")


@pytest.mark.parametrize(
    "values", [["br"], ["gzip, gzip"], ["gzip", "gzip"], ["identity", "gzip"], ["gzip;q=1"], [","]]
)
def test_unknown_and_double_codings_are_refused(values: list[str]):
    headers = CIMultiDict([("Content-Encoding", value) for value in values])
    with pytest.raises(Refused) as caught:
        codings.coding_of(CIMultiDictProxy(headers))
    assert (caught.value.status, caught.value.code) == (415, "content_encoding")


def test_codings_are_named_in_any_case():
    for value, coding in (("GZip", "gzip"), (" zstd ", "zstd"), ("identity", ""), ("", "")):
        assert (
            codings.coding_of(CIMultiDictProxy(CIMultiDict({"Content-Encoding": value}))) == coding
        )
    assert codings.coding_of(CIMultiDictProxy(CIMultiDict())) == ""


def test_a_collector_under_bombs_takes_events_and_stays_small(new_node: Callable[..., Any]):
    node = new_node(endpoints=[{"path": "/in"}])
    generation = node.start("collector")
    port = node.port("collector")
    noise = os.urandom(BODY_BYTES_MAX // 2)
    bombs = [(coding, encode(bytes(300 << 20))) for coding, encode in ENCODERS]
    before = peak_kib(generation.pid)
    for coding, bomb in bombs * 3:
        headers = {**JSON, "Content-Encoding": coding}
        answer = send(port, "/in", bomb, headers)
        assert (answer.status, answer.code) == (413, "too_large")
        assert send(port, "/in", noise, headers).status == 400
    assert peak_kib(generation.pid) - before < 64 << 10
    for coding, encode in ENCODERS:
        answer = send(port, "/in", encode(EVENT), {**JSON, "Content-Encoding": coding})
        assert (answer.status, answer.json["accepted"]) == (200, 1)

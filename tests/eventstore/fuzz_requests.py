"""Requests to fuzz with: bodies that some format takes, and what is done to them.

The tables of formats say what there is: a new format is fuzzed without a change here. SEEDS make
it likely that a mutation gets past a format's first check; add to them with a new kind of body.
"""

import gzip
import zlib
from dataclasses import dataclass

import zstandard
from hypothesis import strategies as st

from eventstore.formats import CONTENT_TYPES, FORMATS, methods_of, paths_of

ENDPOINTS = {name: f"/{name}" for name in ("by_content_type", *FORMATS)}
SEEDS = (
    b'{"id":"e1","type":"view","at":"2026-11-25T18:00:00.123Z","user":{"n":[1,2.5,null,true]}}',
    b'[{"a":1},{"b":"\\u00fc\\ud83d\\ude00"}]',
    b'{"a":1}\n{"b":2}\n',
    b'{"batch":[{"type":"track","messageId":"m1","event":"x","properties":{}}],"writeKey":"k"}',
    b'{"schema":"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",'
    b'"data":[{"e":"pv","eid":"5bf9d0a8-1f5c-4b0a-9c7e-1d2f3a4b5c6d","tv":"js-3"}]}',
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"stringValue":'
    b'"x"}}]}]}]}',
    b'{"specversion":"1.0","id":"c1","source":"/s","type":"t","data":{"a":1}}',
    b'{"api_key":"k","events":[{"event_type":"x","user_id":"u","time":1}]}',
    b'{"client_id":"1.2","events":[{"name":"x","params":{"a":1}}]}',
    b"data=W3siZXZlbnQiOiJ4IiwicHJvcGVydGllcyI6e319XQ%3D%3D&verbose=1",
    b"type=view&page=%2Fa+b&n=1&n=2&empty=&=x&%zz",
    b'type,page,n\r\nview,"/a,""b""",1\r\nclick,/b,2\r\n',
    b"\x92\x81\xa1a\x01\x82\xa1b\xa3xyz\xa1c\xcb?\xf0\0\0\0\0\0\0",  # MessagePack
    b"\n\x1a\n\x02\n\0\x12\x14\n\x02\n\0\x12\x0e\t\x01\0\0\0\0\0\0\0*\x03\n\x01x",  # protobuf
    b"<34>1 2026-11-25T18:00:00Z host app 1 ID47 - message",
    b'{"a":' * 70 + b"1" + b"}" * 70,
    b"",
)
TOKENS = (
    *(b"{}", b"[]", b'"', b"\\", b",", b":", b"\n", b"\r\n", b"\0", b"\xff", b"\xed\xa0\x80"),
    *(b"NaN", b"1e999", b"-", b"9" * 400, b'"id":', b"\\ud800", b"null", b"\xef\xbb\xbf", b"="),
)  # fmt: skip
HEADER_TOKENS = (
    *(b"\r\n", b"\r", b"\n", b": ", b"\0", b" ", b"\t", b"Content-Length: 5\r\n", b"chunked"),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0"),
    *(b"X" * 9000, b"\xff", b"%", b"/../", b"?", b"#", b";", b"GET "),
)  # fmt: skip
ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "br": bytes,
    "gzip, gzip": bytes,
    "identity": bytes,
}


@dataclass(frozen=True)
class Request:
    """target: path and query, as they are sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def raw(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


@st.composite
def mutated(draw: st.DrawFn, whole: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Up to four changes: something inserted, cut out, doubled, overwritten; or cut off."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(whole)))
        end = min(len(whole), start + draw(st.sampled_from((0, 1, 2, 8, 64, 10**9))))
        middle = draw(st.sampled_from((b"", whole[start:end] * 2, *tokens)) | st.binary(max_size=4))
        whole = whole[:start] + middle + whole[end:]
    return whole


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """One that a format might take, or nearly so."""
    name = draw(st.sampled_from(tuple(ENDPOINTS)))
    method = draw(
        st.sampled_from(methods_of(name))
        | st.sampled_from(("GET", "POST", "PUT", "HEAD", "OPTIONS"))
    )
    target = ENDPOINTS[name] + draw(st.sampled_from(paths_of(name)))
    query = draw(
        st.sampled_from(("", "?", "?e=pv&n=1&n=%ff&=&a", "?data=e30%3D", "?x=" + "y" * 3000))
    )
    headers = {
        "Content-Type": draw(
            st.sampled_from((*CONTENT_TYPES, "application/x-www-form-urlencoded", "text/csv"))
            | st.sampled_from(
                ("application/x-protobuf", "application/msgpack", "text/plain", "", "a/b;c=\xff")
            )
        )
    }
    body = draw(st.sampled_from(SEEDS).flatmap(lambda seed: mutated(seed, TOKENS)))
    encoding = draw(st.none() | st.sampled_from(tuple(ENCODERS)))
    if encoding is not None:
        headers["Content-Encoding"] = encoding
        if draw(st.booleans()):
            body = draw(mutated(ENCODERS[encoding](body), TOKENS))
    return Request(method, target + query, headers, body)


def raw_requests() -> st.SearchStrategy[bytes]:
    """The bytes of one, changed anywhere."""
    return requests().flatmap(lambda request: mutated(request.raw(), HEADER_TOKENS))

"""The port of a format. It has two halves, far apart in time:

- at the collector, `read` divides a request's body into events, each kept byte for byte, and
  `answer` and `refuse` speak to the sender as its own clients expect;
- at the processor, a reader (formats.READERS) says what the pipeline needs to know of each event.

Both are pure.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
import orjson

from eventstore.columnar import Coded, Texts
from eventstore.errors import Refused
from eventstore.event import divided
from eventstore.times import Int64s

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request's events."""

    depth_max: int
    events_max: int
    bytes_max: int  # of what a format itself unpacks; the body is within it already


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A request: its path below the endpoint's, its query string as it came (bytes that are not
    UTF-8 as surrogate escapes), its headers (any case), its body with the Content-Encoding undone.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    received_at_ms: int


class Events(msgspec.Struct, frozen=True, gc=False):
    """A request's events as one block.

    lengths: as in packing.pack. contexts: runs of events and what each run shares, in the format's
    own terms; (): all of them share nothing. sent_at_ms: when the sender says that it sent them.
    refused: index → why this event is unusable; it is kept, and becomes a dead letter. places:
    where in its request each event stood, when others of it are left to be sent again.
    anonymous: its sender wants its address kept nowhere.
    """

    block: bytes
    count: int
    lengths: list[int] | None = None
    contexts: tuple[tuple[int, bytes], ...] = ()
    sent_at_ms: int | None = None
    refused: Mapping[int, str] = msgspec.field(default_factory=dict)
    places: Sequence[int] = ()
    anonymous: bool = False

    @property
    def size_bytes(self) -> int:
        """What they take while they wait, and in their pack."""
        size = len(self.block)
        for _, context in self.contexts:
            size += len(context)
        return size


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where a request's events are: pack, index of the first, how many."""

    pack_id: str
    first: int
    accepted: int

    def to_json(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "pack": self.pack_id, "first": self.first}

    def span(self) -> str:
        """The same as one word, for a header: pack, first and last index."""
        return f"{self.pack_id}:{self.first}-{self.first + self.accepted - 1}"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a sender gets."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


def json_receipt(_sent: Sent, receipt: Receipt, _events: Events) -> Answer:
    """200 with the receipt as JSON."""
    return Answer(200, orjson.dumps(receipt.to_json()))


def json_refusal(_sent: Sent, refused: Refused) -> Answer:
    """The refusal's own status, with {"error": {"code", "reason", "next"}}."""
    return Answer(refused.status, orjson.dumps(refused.to_json()))


def header_key(sent: Sent) -> str | None:
    """A write key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`."""
    kind, _, key = sent.headers.get("Authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else sent.headers.get("X-Api-Key")


def header_or_url_key(sent: Sent) -> str | None:
    """The same, or `?write_key=KEY`: images, forms and beacons of browsers set no headers."""
    return header_key(sent) or dict(parse_qsl(sent.query)).get("write_key")


def basic_user(sent: Sent) -> str | None:
    """The user's name of `Authorization: Basic`; None without, or when it is none."""
    kind, _, credentials = sent.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[0]
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Format:
    """The collector's half of a format.

    stored_as: the entry of formats.READERS for its events. paths: below the endpoint's own.
    key: where its clients put their write key; it is compared elsewhere, in constant time.
    """

    read: Callable[[Sent, Limits], Events]
    stored_as: str
    paths: tuple[str, ...] = ("",)
    methods: tuple[str, ...] = ("POST",)
    answer: Callable[[Sent, Receipt, Events], Answer] = json_receipt
    refuse: Callable[[Sent, Refused], Answer] = json_refusal
    key: Callable[[Sent], str | None] = header_or_url_key


class Fields(msgspec.Struct, gc=False):
    """What the pipeline reads of one event: whatever JSON value stands there, None without one.
    The fields are those of event.FIELDS, in its order. ago_ms: how long before it was sent it
    happened, where an event says that instead of its time."""

    client_id: Any = None
    name: Any = None
    time: Any = None
    user_agent: Any = None
    url: Any = None
    referrer: Any = None
    user: Any = None
    session: Any = None
    address: Any = None
    ago_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Events of a pack that share a context. names: fields.NAME → what this endpoint calls it."""

    block: bytes
    count: int
    lengths: list[int] | None
    context: bytes
    names: Mapping[str, str]

    def events(self) -> list[bytes]:
        """Each event's own bytes."""
        return divided(self.block, self.lengths)


class Read(Protocol):
    """What the pipeline reads of some events, by the names of event.FIELDS: "" where an event has
    no text there."""

    def __len__(self) -> int: ...

    def texts(self, name: str, /) -> Texts: ...

    def pieces(self, name: str, /) -> list[bytes]:
        """The same, each in UTF-8."""

    def coded(self, name: str, /) -> Coded: ...

    def stated_times(self) -> Int64s:
        """As in times.py, of their field `time`."""

    def agos(self) -> Int64s | None:
        """How long before they were sent they happened, in milliseconds, as far as they say that;
        UNSTATED where one doesn't. None: none of them does."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The processor's half of a format.

    fields: of each event of a run, in order; a text says why that event can't be read. value: one
    event as the JSON object that transforms and readers see. columns: the same as fields at once,
    where a format can and none of the run's events is unusable; otherwise None. values: of some
    events that have no context, what value makes of each; None when that doesn't go at once.
    """

    fields: Callable[[Run], list[Fields | str]]
    value: Callable[[bytes, bytes], dict[str, Any]]
    columns: Callable[[Run], Read | None] = lambda _: None
    values: Callable[[Sequence[bytes]], list[dict[str, Any]] | None] = lambda _: None

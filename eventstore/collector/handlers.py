"""A request for an endpoint: who sends it → read → divide → commit → answer in its own protocol."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

import msgspec
from aiohttp.web_request import BaseRequest
from msgspec.structs import replace
from multidict import CIMultiDictProxy

from eventstore import packing
from eventstore.collector import codings, cors, peer, signatures
from eventstore.collector.body import Held, read_body
from eventstore.collector.committer import Committer, Kind
from eventstore.collector.connections import connection_of
from eventstore.collector.fairness import Shares
from eventstore.collector.reply import Reply
from eventstore.endpoints import Endpoint
from eventstore.errors import Refused
from eventstore.event import TEXT_CHARS_MAX
from eventstore.formats import (
    Answer,
    Events,
    Format,
    Limits,
    Receipt,
    Sent,
    format_for,
    methods_of,
    refusal_of,
)
from eventstore.formats.format import json_refusal
from eventstore.settings import Settings

log = logging.getLogger("eventstore.collector")
FAULT = "a fault of ours at %s"
RECEIPT = "X-Event-Receipt"
LARGE_BYTES = 256 << 10  # of such bodies one is read in each turn of the loop: others come between
PARSED_BYTES = 1 << 20  # what a large one holds beside its bytes: fewer wait while one is parsed
# Of a request without events, where its protocol allows that.
NOTHING = Receipt(str(UUID(int=0)), 0, 0)

Answering = Callable[[Reply], None]


class Head(msgspec.Struct, frozen=True):
    """What the head of a request says, and so that of every one with the same bytes. path: below
    the endpoint's own. keeps: whether its events are; of HEAD, which asks what GET would say, none.
    """

    method: str
    path: str
    query: str
    headers: CIMultiDictProxy[str]
    spoken: Format
    kind: Kind
    coding: str
    trace: str
    agent: str
    keeps: bool

    def sent(self, body: bytes) -> Sent:
        """The request, with its body."""
        now_ms = time.time_ns() // 1_000_000
        return Sent(self.method, self.path, self.query, self.headers, body, now_ms)


class Taken(msgspec.Struct, gc=False):
    """A request whose events wait for their commit: called with what came of it, it answers."""

    handler: "EventsHandler"
    head: Head
    sent: Sent
    events: Events
    held: Held
    answer: Answering

    def __call__(self, outcome: Receipt | Refused) -> None:
        self.held.give_back()
        self.answer(self.handler.reply_of(self, outcome))


class EventsHandler:
    """Takes events on one endpoint. path: below the endpoint's own."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        committer: Committer,
        receiving: Shares,
        one_large: asyncio.Lock,
    ) -> None:
        self._endpoint = endpoint
        self._receiving = receiving
        self._one_large = one_large
        self._settings = settings
        self._committer = committer
        self._body_bytes_max = endpoint.body_bytes_max or settings.body_bytes_max
        self._limits = Limits(
            settings.depth_max,
            endpoint.request_events_max or settings.request_events_max,
            self._body_bytes_max,
        )
        self._names = tuple({**settings.fields, **endpoint.fields}.items())
        self._methods = methods_of(endpoint.format)
        self._refuse = refusal_of(endpoint.format)
        self._kinds: dict[str, Kind] = {}
        self._keys = tuple(key.encode() for key in endpoint.keys)

    async def __call__(self, request: BaseRequest, path: str) -> Reply:
        """The answer of the endpoint's protocol: its success only once the events are durable."""
        if request.method == "OPTIONS" and self._endpoint.origins:
            return self._preflight(request)
        method, headers = request.method, request.headers
        query = request.raw_path.partition("?")[2]  # query_string would be decoded
        refuse, trace = self._refuse, peer.trace_of(headers)
        try:
            if method not in self._methods:
                raise _other_method(method, self._methods)
            spoken = format_for(self._endpoint.format, headers)
            refuse = spoken.refuse
            if not request.content.is_eof():
                # Before the body: what is refused must cost less than what is taken.
                size = min(request.content_length or 0, self._body_bytes_max)
                self._committer.refuse_overload(self._endpoint.tenant, size)
            head = Head(
                *("GET" if method == "HEAD" else method, path, query, headers),
                spoken=spoken,
                kind=self._kind(spoken),
                coding=codings.coding_of(headers),
                trace=trace,
                agent=_agent_of(headers),
                keeps=method != "HEAD",
            )
            with Held(self._receiving, self._endpoint.tenant) as held:
                raw = await read_body(
                    request, held, bytes_max=self._body_bytes_max, body_s=self._settings.body_s
                )
                connection = connection_of(request)
                answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
                take = partial(self._take, head, raw, held, connection.address)
                if len(raw) > LARGE_BYTES:
                    if len(raw) < self._settings.receiving_bytes_max // 2:  # else it has no room
                        held.more(min(len(raw), PARSED_BYTES))
                    async with self._one_large:
                        take(partial(_resolve, answer))
                        await asyncio.sleep(0)
                else:
                    take(partial(_resolve, answer))
                reply = await answer
        except Refused as refused:
            sent = _sent(method, path, query, headers, b"")
            return self._completed(_refused(refuse(sent, refused), refused), headers, trace)
        if head.keeps:
            reply.again = partial(self._again, head, connection.head_bytes)
        return reply

    def _again(
        self, head: Head, head_bytes: int, raw: bytes, peer_address: str, answer: Answering
    ) -> None:
        """Answers a request that came whole, and whose head is known."""
        held = Held(self._receiving, self._endpoint.tenant)
        try:
            held.whole(raw, head_bytes, self._body_bytes_max)
            self._take(head, raw, held, peer_address, answer)
        except Refused as refused:
            held.give_back()
            answer(self._refusal(head, refused))
        except Exception:
            log.exception(FAULT, self._endpoint.path)
            held.give_back()
            answer(fault())

    def _take(
        self, head: Head, raw: bytes, held: Held, peer_address: str, answer: Answering
    ) -> None:
        """Answers once the body's events are durable, or can't be. Raises Refused instead when
        it is refused at once."""
        if self._endpoint.signature is not None:
            signatures.verify(self._endpoint.signature, head.headers, raw, time.time())
        body = raw
        if head.coding:
            body = codings.undone(head.coding, raw, self._body_bytes_max)
            held.more(len(body))
        sent, spoken = head.sent(body), head.spoken
        if self._keys:
            self._refuse_strangers(sent, spoken)
        events = spoken.read(sent, self._limits)

        taken = Taken(self, head, sent, events, held, answer)
        if events.count and head.keeps:
            shares = self._shares(head, peer_address, sent, events)
            self._committer.put(head.kind, events, shares, taken)
        else:
            taken(NOTHING)

    def reply_of(self, taken: Taken, outcome: Receipt | Refused) -> Reply:
        """What its sender gets."""
        head = taken.head
        try:
            if isinstance(outcome, Refused):
                return self._refusal(head, outcome)
            reply = _reply(head.spoken.answer(taken.sent, outcome, taken.events))
            if outcome.accepted:
                reply.headers[RECEIPT] = outcome.span()
            return self._completed(reply, head.headers, head.trace)
        except Exception:
            log.exception(FAULT, self._endpoint.path)
            return fault()

    def _refusal(self, head: Head, refused: Refused) -> Reply:
        reply = _refused(head.spoken.refuse(head.sent(b""), refused), refused)
        return self._completed(reply, head.headers, head.trace)

    def _completed(self, reply: Reply, headers: CIMultiDictProxy[str], trace: str) -> Reply:
        if trace:
            reply.headers["traceparent"] = peer.continued(trace)
        if self._endpoint.origins:
            reply.headers.update(cors.headers_for(self._endpoint.origins, headers))
        return reply

    def _preflight(self, request: BaseRequest) -> Reply:
        origins = self._endpoint.origins
        return Reply(
            204,
            headers={
                "Allow": ", ".join((*self._methods, "OPTIONS")),
                **cors.preflight(origins, self._methods, request.headers),
                **cors.headers_for(origins, request.headers),
            },
        )

    def _kind(self, spoken: Format) -> Kind:
        kind = self._kinds.get(spoken.stored_as)
        if kind is None:
            kind = Kind(self._endpoint.path, spoken.stored_as, self._names)
            self._kinds[spoken.stored_as] = kind
        return kind

    def _refuse_strangers(self, sent: Sent, spoken: Format) -> None:
        given = (spoken.key(sent) or "").encode("utf-8", "replace")
        # All of them are compared, so that the time says nothing of which one was nearly right.
        alike = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(alike):
            raise Refused(
                401, "wrong_key", "the write key is missing or wrong", "send this endpoint's key"
            )

    def _shares(
        self, head: Head, peer_address: str, sent: Sent, events: Events
    ) -> list[packing.Share]:
        address = peer.recorded(
            peer.address_of(peer_address, head.headers, self._settings.trusted_proxies),
            "none" if events.anonymous else self._endpoint.address,
        )
        share = packing.Share(
            events=events.count,
            received_at_ms=sent.received_at_ms,
            sent_at_ms=events.sent_at_ms,
            user_agent=head.agent,
            address=address,
            trace=head.trace,
        )
        if not events.contexts:
            return [share]
        return [replace(share, events=count, context=run) for count, run in events.contexts]


def fault() -> Reply:
    """The answer after an exception that nobody has foreseen."""
    what = "a fault of ours; it is in the log"
    return refusal(Refused(500, "fault", what, "send it again later"))


def refusal(refused: Refused) -> Reply:
    """The answer to a request that is for no endpoint."""
    return _refused(json_refusal(Sent("GET", "", "", {}, b"", 0), refused), refused)


def _resolve(answer: asyncio.Future[Reply], reply: Reply) -> None:
    if not answer.done():  # somebody still waits
        answer.set_result(reply)


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer.body, answer.content_type, answer.headers)


def _refused(answer: Answer, refused: Refused) -> Reply:
    """A format's answer, and what HTTP itself says of a refusal."""
    reply = _reply(answer)
    if refused.retry_after_s is not None:
        reply.headers["Retry-After"] = str(refused.retry_after_s)
    if refused.allow:
        reply.headers["Allow"] = ", ".join(refused.allow)
    if refused.close:
        reply.force_close()
    return reply


def _other_method(method: str, taken: tuple[str, ...]) -> Refused:
    return Refused(
        405,
        "method",
        f"{method} is not taken here",
        f"use {' or '.join(taken)}",
        allow=taken,
    )


def _agent_of(headers: CIMultiDictProxy[str]) -> str:
    agent = headers.get("User-Agent", "").encode("utf-8", "replace").decode()
    return agent[:TEXT_CHARS_MAX]


def _sent(method: str, path: str, query: str, headers: CIMultiDictProxy[str], body: bytes) -> Sent:
    return Sent(method, path, query, headers, body, time.time_ns() // 1_000_000)

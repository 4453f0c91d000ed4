"""A request for an endpoint: who sends it → read → divide → commit → answer in its own protocol."""

import hmac
import time
from uuid import UUID

from aiohttp.web import BaseRequest

from eventstore import packing
from eventstore.collector import codings, cors, peer, signatures
from eventstore.collector.body import Held, read_body
from eventstore.collector.committer import Committer, Kind
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

RECEIPT = "X-Event-Receipt"
# Of a request without events, where its protocol allows that.
NOTHING = Receipt(str(UUID(int=0)), 0, 0)


class EventsHandler:
    """Takes events on one endpoint. path: below the endpoint's own."""

    def __init__(
        self, endpoint: Endpoint, settings: Settings, committer: Committer, receiving: Shares
    ) -> None:
        self._endpoint = endpoint
        self._receiving = receiving
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
        refuse, trace = self._refuse, peer.trace_of(request)
        try:
            if request.method not in self._methods:
                raise _other_method(request.method, self._methods)
            spoken = format_for(self._endpoint.format, request.headers)
            refuse = spoken.refuse
            if not request.content.is_eof():
                # Before the body: what is refused must cost less than what is taken.
                size = min(request.content_length or 0, self._body_bytes_max)
                self._committer.refuse_overload(self._endpoint.tenant, size)
            with Held(self._receiving, self._endpoint.tenant) as held:
                answer, receipt = await self._answer(request, held, path, spoken, trace)
        except Refused as refused:
            reply = _refused(refuse(_sent(request, path, b""), refused), refused)
        else:
            reply = Reply(answer.status, answer.body, answer.content_type, answer.headers)
            if receipt.accepted:
                reply.headers[RECEIPT] = receipt.span()
        if trace:
            reply.headers["traceparent"] = peer.continued(trace)
        if self._endpoint.origins:
            reply.headers.update(cors.headers_for(self._endpoint.origins, request.headers))
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

    async def _answer(
        self, request: BaseRequest, held: Held, path: str, spoken: Format, trace: str
    ) -> tuple[Answer, Receipt]:
        coding = codings.coding_of(request.headers)
        raw = await read_body(
            request, held, bytes_max=self._body_bytes_max, body_s=self._settings.body_s
        )
        if self._endpoint.signature is not None:
            signatures.verify(self._endpoint.signature, request.headers, raw, time.time())
        body = codings.undone(coding, raw, self._body_bytes_max)
        if body is not raw:
            held.more(len(body))
        sent = _sent(request, path, body)
        if self._keys:
            self._refuse_strangers(sent, spoken)
        events = spoken.read(sent, self._limits)
        if not events.count:
            return spoken.answer(sent, NOTHING, events), NOTHING
        kind = self._kinds.get(spoken.stored_as)
        if kind is None:
            kind = Kind(self._endpoint.path, spoken.stored_as, self._names)
            self._kinds[spoken.stored_as] = kind
        shares = self._shares(request, sent, events, trace)
        receipt = await self._committer.submit(kind, events, shares)
        return spoken.answer(sent, receipt, events), receipt

    def _refuse_strangers(self, sent: Sent, spoken: Format) -> None:
        given = (spoken.key(sent) or "").encode("utf-8", "replace")
        # All of them are compared, so that the time says nothing of which one was nearly right.
        alike = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(alike):
            raise Refused(
                401, "wrong_key", "the write key is missing or wrong", "send this endpoint's key"
            )

    def _shares(
        self, request: BaseRequest, sent: Sent, events: Events, trace: str
    ) -> list[packing.Share]:
        agent = request.headers.get("User-Agent", "").encode("utf-8", "replace").decode()
        address = peer.recorded(
            peer.address_of(request, self._settings.trusted_proxies), self._endpoint.address
        )
        return [
            packing.Share(
                count,
                sent.received_at_ms,
                events.sent_at_ms,
                agent[:TEXT_CHARS_MAX],
                address,
                trace,
                context,
            )
            for count, context in events.contexts or ((events.count, b""),)
        ]


def refusal(refused: Refused) -> Reply:
    """The answer to a request that is for no endpoint."""
    return _refused(json_refusal(Sent("GET", "", "", {}, b"", 0), refused), refused)


def _refused(answer: Answer, refused: Refused) -> Reply:
    """A format's answer, and what HTTP itself says of a refusal."""
    reply = Reply(answer.status, answer.body, answer.content_type, answer.headers)
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


def _sent(request: BaseRequest, path: str, body: bytes) -> Sent:
    query = request.raw_path.partition("?")[2]  # query_string would be decoded
    now_ms = time.time_ns() // 1_000_000
    return Sent(request.method, path, query, request.headers, body, now_ms)

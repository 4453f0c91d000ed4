"""A request for an endpoint: who sends it → read → divide → commit → answer in its own protocol."""

import hmac
import time
from uuid import UUID

from aiohttp.web import BaseRequest, Response

from eventstore import packing
from eventstore.collector import codings, cors, peer, signatures
from eventstore.collector.body import Held, read_body
from eventstore.collector.committer import Committer, Kind
from eventstore.collector.fairness import Shares
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
NOTHING = Receipt(UUID(int=0), 0, 0)  # of a request without events, where its protocol allows that


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
        self._kinds: dict[str, Kind] = {}
        self._keys = tuple(key.encode() for key in endpoint.keys)

    async def __call__(self, request: BaseRequest, path: str) -> Response:
        """The answer of the endpoint's protocol: its success only once the events are durable."""
        response = await self._answered(request, path)
        if self._endpoint.origins:
            response.headers.update(cors.headers_for(self._endpoint.origins, request.headers))
        return response

    async def _answered(self, request: BaseRequest, path: str) -> Response:
        if request.method == "OPTIONS" and self._endpoint.origins:
            return self._preflight(request)
        refuse = refusal_of(self._endpoint.format)
        try:
            self._refuse_other_methods(request.method)
            spoken = format_for(self._endpoint.format, request.headers)
            refuse = spoken.refuse
            if not request.content.is_eof():
                # Before the body: what is refused must cost less than what is taken.
                size = min(request.content_length or 0, self._body_bytes_max)
                self._committer.refuse_overload(self._endpoint.tenant, size)
            with Held(self._receiving, self._endpoint.tenant) as held:
                answer, receipt = await self._answer(request, held, path, spoken)
        except Refused as refused:
            sent = _sent(request, path, b"")
            return _response(refuse(sent, refused), request, refused)
        response = _response(answer, request)
        if receipt.accepted:
            response.headers[RECEIPT] = receipt.span()
        return response

    def _preflight(self, request: BaseRequest) -> Response:
        methods = methods_of(self._endpoint.format)
        allowed = cors.preflight(self._endpoint.origins, methods, request.headers)
        return Response(status=204, headers={"Allow": ", ".join((*methods, "OPTIONS")), **allowed})

    async def _answer(
        self, request: BaseRequest, held: Held, path: str, spoken: Format
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
        self._refuse_strangers(sent, spoken)
        events = spoken.read(sent, self._limits)
        if not events.count:
            return spoken.answer(sent, NOTHING, events), NOTHING
        kind = self._kinds.get(spoken.stored_as)
        if kind is None:
            kind = Kind(self._endpoint.path, spoken.stored_as, self._names)
            self._kinds[spoken.stored_as] = kind
        receipt = await self._committer.submit(kind, events, self._shares(request, sent, events))
        return spoken.answer(sent, receipt, events), receipt

    def _refuse_other_methods(self, method: str) -> None:
        taken = methods_of(self._endpoint.format)
        if method not in taken:
            raise Refused(
                405,
                "method",
                f"{method} is not taken here",
                f"use {' or '.join(taken)}",
                allow=taken,
            )

    def _refuse_strangers(self, sent: Sent, spoken: Format) -> None:
        if not self._keys:
            return
        given = (spoken.key(sent) or "").encode("utf-8", "replace")
        # All of them are compared, so that the time says nothing of which one was nearly right.
        alike = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(alike):
            raise Refused(
                401, "wrong_key", "the write key is missing or wrong", "send this endpoint's key"
            )

    def _shares(
        self, request: BaseRequest, sent: Sent, events: Events
    ) -> tuple[packing.Share, ...]:
        agent = request.headers.get("User-Agent", "").encode("utf-8", "replace").decode()
        runs = events.contexts or ((events.count, b""),)
        address = peer.recorded(
            peer.address_of(request, self._settings.trusted_proxies), self._endpoint.address
        )
        trace = peer.trace_of(request)
        return tuple(
            packing.Share(
                count,
                sent.received_at_ms,
                events.sent_at_ms,
                agent[:TEXT_CHARS_MAX],
                address,
                trace,
                context,
            )
            for count, context in runs
        )


def refusal(refused: Refused) -> Response:
    """The answer to a request that is for no endpoint."""
    nothing = Sent("GET", "", "", {}, b"", 0)
    return _finished(json_refusal(nothing, refused), refused)


def _response(answer: Answer, request: BaseRequest, refused: Refused | None = None) -> Response:
    response = _finished(answer, refused)
    trace = peer.trace_of(request)
    if trace:
        response.headers["traceparent"] = peer.continued(trace)
    return response


def _finished(answer: Answer, refused: Refused | None) -> Response:
    response = Response(status=answer.status, body=answer.body, headers=answer.headers)
    response.headers["Content-Type"] = answer.content_type
    if refused is not None:
        if refused.retry_after_s is not None:
            response.headers["Retry-After"] = str(refused.retry_after_s)
        if refused.allow:
            response.headers["Allow"] = ", ".join(refused.allow)
        if refused.close:
            response.force_close()
    return response


def _sent(request: BaseRequest, path: str, body: bytes) -> Sent:
    query = request.raw_path.partition("?")[2]  # query_string would be decoded
    now_ms = time.time_ns() // 1_000_000
    return Sent(request.method, path, query, request.headers, body, now_ms)

"""The queue on SQS: a message a pack, at least once. It remembers nothing of what was taken.

What a pack has been through travels in its message. A pack that is handed back is sent anew before
the old message goes, so that its attempts and its reason are its own. What kills each processor
that receives it, or is no pack at all, SQS itself moves to the dead-letter queue.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.calls import Calls
from eventstore.backends.aws.entries import refused
from eventstore.backends.aws.message import (
    BATCH_MAX,
    MESSAGE_BYTES_MAX,
    PACK,
    REASON_CHARS_MAX,
    Header,
    Message,
    batches,
    read,
)
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable, QueueFull
from eventstore.ports import Depth, Lease, Packed, QueueLedger, Stage, Waiting, Way

log = logging.getLogger("eventstore.sqs")
LONG_POLL_S = 2  # a drain waits for it
# How old the number of waiting packs may be that a put relies on: so many seconds, and more as long
# as what was put here meanwhile is little of the room that there was.
COUNT_S, COUNT_S_MAX = 1.0, 10.0
ROOM_SHARE = 100
IN_FLIGHT_MAX = 100_000  # SQS itself has some 120,000 a queue, and then gives nothing: no error
IN_FLIGHT_S = 5.0  # how old the number of those may be that a claim relies on
HAND_BACK_S = 60  # for sending anew what is handed back
DELAY_S_MAX = 900
VISIBILITY_S_MAX = 43_200
COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
RECEIVES = "ApproximateReceiveCount"


class SqsQueue:
    """The port Queue over one SQS queue. claims: where packs go that fit no message."""

    def __init__(
        self,
        place: Place,
        *,
        packs_max: int,
        retries: Retries,
        claims: Bucket | None = None,
        long_poll_s: int = LONG_POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = Calls("sqs", place, retries)
        self._packs_max = packs_max
        self._claims = claims
        self._long_poll_s = long_poll_s
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0  # as it was counted, and what came and went here since
        self._counted_at_s = -math.inf
        self._count_again_at = 0
        self._in_flight = 0
        self._looked_at_s = -math.inf
        self._url: str = self._calls("get_queue_url", QueueName=place.name)["QueueUrl"]
        self._check_redrive()

    def put(self, packs: Sequence[Packed]) -> None:
        if not packs:
            return
        self._take_room(len(packs))
        now = _now_ms()
        self._send(
            self._message(Header(str(one.pack_id), one.endpoint, one.events, now), one.body)
            for one in packs
        )

    def put_back(self, packs: Sequence[Packed]) -> None:
        self.put(packs)

    def claim(
        self,
        packs_max: int,
        lease_s: float,
        *,
        wait_s: float | None = None,
        node: str = "",
        release: str = "",
    ) -> list[Lease]:
        self._check_in_flight()
        leases: list[Lease] = []
        left, poll_s = packs_max, self._long_poll_s
        if wait_s is not None:
            poll_s = min(poll_s, round(wait_s))  # SQS waits for whole seconds
        while left > 0:  # ends: left shrinks, or nothing more is there
            wanted = min(left, BATCH_MAX)
            received = self._calls(
                "receive_message",
                QueueUrl=self._url,
                MaxNumberOfMessages=wanted,
                VisibilityTimeout=_visibility_s(lease_s),
                WaitTimeSeconds=poll_s,
                MessageAttributeNames=[PACK],
                MessageSystemAttributeNames=[RECEIVES],
            ).get("Messages", [])
            for message in received:
                try:
                    leases.append(self._lease(message, node, release))
                except ValueError as error:  # its redrive takes it away
                    log.error("message %s is left alone: %s", message.get("MessageId"), error)
            if len(received) < wanted:
                break
            left, poll_s = left - wanted, 0
        return leases

    def extend(self, leases: Collection[Lease], lease_s: float) -> list[Lease]:
        timeout = {"VisibilityTimeout": _visibility_s(lease_s)}
        return self._each("change_message_visibility_batch", leases, timeout)

    def release(self, leases: Collection[Lease], *, delay_s: float = 0, reason: str = "") -> None:
        held = self.extend(leases, HAND_BACK_S)
        delay = min(math.ceil(delay_s), DELAY_S_MAX)
        self._send([self._anew(lease, delay, reason) for lease in held])
        self._each("delete_message_batch", held)

    def ack(self, leases: Collection[Lease]) -> None:
        gone = self._each("delete_message_batch", leases)
        with self._lock:
            self._waiting = max(0, self._waiting - len(gone))

    def depth(self) -> Depth:
        answer = self._calls(
            "get_queue_attributes", QueueUrl=self._url, AttributeNames=list(COUNTS)
        )
        visible, leased, delayed = (int(answer["Attributes"][name]) for name in COUNTS)
        return Depth(visible + leased + delayed, None, leased)

    def find(self, pack_id: UUID) -> Waiting | None:  # noqa: ARG002 -- SQS finds no message by id
        return None

    def ledger(
        self,
        since_minute: int,  # noqa: ARG002 -- it remembers of no minute
        *,
        recount: bool = False,  # noqa: ARG002
    ) -> QueueLedger | None:
        return None

    def close(self) -> None:
        self._calls.close()
        if self._claims is not None:
            self._claims.close()

    def _check_redrive(self) -> None:
        """Without a dead-letter queue a message that is no pack comes back for ever."""
        answer = self._calls(
            "get_queue_attributes", QueueUrl=self._url, AttributeNames=["RedrivePolicy"]
        )
        if "RedrivePolicy" not in answer.get("Attributes", {}):
            raise EngineUnavailable(
                f"{self._calls.place.url}: the queue has no dead-letter queue; give it a"
                " RedrivePolicy: docs/aws/README.md"
            )

    def _check_in_flight(self) -> None:
        """At SQS's own cap it would look as if nothing waited."""
        if self._clock() - self._looked_at_s > IN_FLIGHT_S:
            self._in_flight = self.depth().leased
            self._looked_at_s = self._clock()
        if self._in_flight >= IN_FLIGHT_MAX:
            raise EngineUnavailable(
                f"{self._calls.place.url}: {self._in_flight} packs are leased, and SQS gives no"
                " more from about 120,000 on: nothing is claimed until they are fewer; see why they"
                " are neither stored nor handed back, or lower lease_s"
            )

    def _take_room(self, packs: int) -> None:
        """Counts anew when the count is old, and before anyone is refused."""
        with self._lock:
            age_s = self._clock() - self._counted_at_s
            much = self._waiting >= self._count_again_at
            old = age_s > (COUNT_S if much else COUNT_S_MAX)
            if old or self._waiting + packs > self._packs_max:
                self._waiting = self.depth().packs
                room = max(0, self._packs_max - self._waiting)
                self._count_again_at = self._waiting + max(1, room // ROOM_SHARE)
                self._counted_at_s = self._clock()
            if self._waiting + packs > self._packs_max:
                raise QueueFull(f"{self._waiting} packs wait: {self._packs_max} are the bound")
            self._waiting += packs

    def _message(self, header: Header, body: bytes, delay_s: int = 0) -> Message:
        message = Message(header, body, delay_s)
        if message.size_bytes() <= MESSAGE_BYTES_MAX:
            return message
        if self._claims is None:
            raise EngineUnavailable(
                f"{self._calls.place.url}: a pack of {len(body)} bytes fits no message of"
                f" {MESSAGE_BYTES_MAX}; set claims: s3://<bucket>/<prefix>"
            )
        key = f"{header.id}.pack"
        self._claims.put(key, body)
        return Message(replace(header, claim=key), b"", delay_s)

    def _anew(self, lease: Lease, delay_s: int, reason: str) -> Message:
        """Without a reason this attempt did not count."""
        header = Header(
            str(lease.pack_id),
            lease.way.endpoint,
            lease.way.events,
            lease.way.stages[0].at_ms,
            lease.attempts if reason else lease.attempts - 1,
            (reason or lease.reason)[:REASON_CHARS_MAX],
        )
        return self._message(header, lease.body, delay_s)

    def _send(self, messages: Iterable[Message]) -> None:
        for batch in batches(messages):
            entries = [message.entry(number) for number, message in enumerate(batch)]
            wrong = refused(self._calls, "send_message_batch", self._url, entries)
            if wrong:
                why = "; ".join(sorted(set(wrong.values())))
                raise EngineUnavailable(
                    f"{self._calls.place.url}: refuses {len(wrong)} of {len(batch)} packs: {why}"
                )

    def _each(
        self, operation: str, leases: Collection[Lease], more: Mapping[str, Any] | None = None
    ) -> list[Lease]:
        """Those for which it was done; the others are no longer held."""
        done: list[Lease] = []
        in_order = list(leases)
        for start in range(0, len(in_order), BATCH_MAX):
            some = in_order[start : start + BATCH_MAX]
            entries = [
                {"Id": str(number), "ReceiptHandle": lease.token, **(more or {})}
                for number, lease in enumerate(some)
            ]
            wrong = refused(self._calls, operation, self._url, entries)
            done += [lease for number, lease in enumerate(some) if str(number) not in wrong]
        return done

    def _lease(self, message: Mapping[str, Any], node: str, release: str) -> Lease:
        """Raises ValueError when it is no pack's message."""
        header, body = read(message)
        if header.claim:
            claimed = self._claims.get(header.claim) if self._claims else None
            if claimed is None:
                raise ValueError(f"its pack {header.claim} is not among the claims")
            body = claimed
        attempts = header.attempts + int(message["Attributes"][RECEIVES])
        note = f"attempt {attempts}" + (f": {header.reason}" if header.reason else "")
        stages = (
            Stage("queued", header.queued_at_ms),
            Stage("leased", _now_ms(), node, release, note),
        )
        return Lease(
            header.pack_id,
            body,
            attempts,
            message["ReceiptHandle"],
            header.reason,
            Way(header.endpoint, header.events, stages),
        )


def _visibility_s(lease_s: float) -> int:
    return min(math.ceil(lease_s), VISIBILITY_S_MAX)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

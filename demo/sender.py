"""One request at a time: send the next events once, and say what became of them."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp

from demo.ledger import Connection, Ledger, Outcome, Request, at_ms
from demo.numbered import batch_size, event_bytes

EVENTS_PATH = "/v1/events"
USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
)
GZIP_ONE_IN = 16
RECEIPT_BYTES_MAX = 1 << 16


@dataclass(frozen=True)
class Plan:
    """What to send: requests a second in all, over how many connections of each kind."""

    targets: tuple[str, ...]
    rate: float
    keep_alive: int
    one_shot: int
    timeout_s: float
    requests_max: int | None = None
    gzip: bool = True


class Sender:
    """One connection's worth of load: a request, its answer, its line in the ledger."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        plan: Plan,
        connection: Connection,
        ledger: Ledger,
    ) -> None:
        self._session = session
        self._plan = plan
        self._connection = connection
        self._run = ledger.run.run
        self._ledger = ledger

    async def send(self, target: int, due: float) -> Request:
        """Sends the next events once; every way it can end is a value, none is raised."""
        count = batch_size(self._run, self._ledger.next_number)
        first = self._ledger.take(count)
        wall, mono = time.time(), time.monotonic()
        body, headers = self._body(first, count, at_ms(wall))
        status, outcome, pack = 0, Outcome.RESET, bytes(16)
        try:
            async with self._session.post(
                self._plan.targets[target] + EVENTS_PATH,
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as response:
                status = response.status
                answer = await response.content.read(RECEIPT_BYTES_MAX)
                while chunk := await response.content.read(RECEIPT_BYTES_MAX):
                    answer = chunk if len(answer) >= RECEIPT_BYTES_MAX else answer + chunk
            outcome, pack = judge(status, answer, count)
        except TimeoutError:
            outcome = Outcome.TIMEOUT
        except aiohttp.ClientConnectorError:
            outcome = Outcome.REFUSED
        except (aiohttp.ClientError, OSError):
            outcome = Outcome.RESET
        return Request(
            started_at=wall,
            started_mono=mono,
            duration_ms=(time.monotonic() - mono) * 1000,
            late_ms=max(0.0, mono - due) * 1000,
            status=status,
            outcome=outcome,
            connection=self._connection,
            target=target,
            count=count,
            first=first,
            body_bytes=len(body),
            pack=pack,
        )

    def _body(self, first: int, count: int, moment_ms: int) -> tuple[bytes, dict[str, str]]:
        events = [event_bytes(self._run, first + k, moment_ms) for k in range(count)]
        content_type, body = framed(events, first)
        headers = {
            "Content-Type": content_type,
            "User-Agent": USER_AGENTS[first % len(USER_AGENTS)],
        }
        if self._connection is Connection.ONE_SHOT:
            headers["Connection"] = "close"
        if self._plan.gzip and first % GZIP_ONE_IN == 0:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1, mtime=0)
        return body, headers


def framed(events: list[bytes], first: int) -> tuple[str, bytes]:
    """Content-Type and body: an object alone; more of them as an array or as lines."""
    if len(events) == 1:
        return "application/json", events[0]
    if first % 3 == 0:
        return "application/json", b"[" + b",".join(events) + b"]"
    return "application/x-ndjson", b"\n".join(events) + b"\n"


def judge(status: int, answer: bytes, count: int) -> tuple[Outcome, bytes]:
    """What an answer means, and its pack's id (16 bytes)."""
    if status >= 500:
        return Outcome.SERVER_ERROR, bytes(16)
    if not 200 <= status < 300:
        return Outcome.CLIENT_ERROR, bytes(16)
    try:
        receipt: Any = json.loads(answer)
        pack = uuid.UUID(receipt["pack"]).bytes
        accepted = receipt["accepted"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Outcome.BAD_RECEIPT, bytes(16)
    return (Outcome.ACKED if accepted == count else Outcome.BAD_RECEIPT), pack

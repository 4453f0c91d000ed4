"""The load generator: `python -m bench.load --port N …`, one process, raw HTTP over uvloop.

Each connection sends a request, awaits its answer, and sends the next. Prints one JSON object:
{"requests", "events", "failed", "seconds", "p50_ms", "p99_ms", "max_ms", "cpu_s"}.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import time
from collections.abc import Iterator
from typing import cast

import uvloop

from bench.events import bodies, templates

HEAD = (
    b"POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\n"
    b"User-Agent: bench/1\r\nContent-Length: %d\r\n\r\n"
)
EMPTY = b"GET /livez HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sent_at_s = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._run.answered(ok=head.startswith(b"HTTP/1.1 200"), since_s=self._sent_at_s)
        self._answer = b""
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self._run.closed()

    def _send(self) -> None:
        due = self._run.next_due()
        if due is None:
            self._transport.close()
        elif due <= (now := time.monotonic()):
            self._write(now)
        else:
            asyncio.get_running_loop().call_later(due - now, self._write, due)

    def _write(self, due: float) -> None:
        self._sent_at_s = due
        self._transport.write(self._run.request())


class Run:
    """What all connections share: the schedule, the bodies, the figures."""

    def __init__(self, given: argparse.Namespace) -> None:
        made = templates(given.batch, given.seed, bytes_each=given.bytes_each)
        self._bodies: Iterator[bytes] = bodies(made, given.first)
        self._given = given
        self._step_s = given.batch / given.rate if given.rate else 0.0
        self._count = itertools.count()
        self.latencies_ms: list[float] = []
        self.failed = 0
        self.open = 0
        self.done = asyncio.Event()
        self.began_s = self.ends_s = 0.0

    def request(self) -> bytes:
        """The next one."""
        if self._given.empty:
            return EMPTY
        body = next(self._bodies)
        kind = b"application/json" if self._given.batch == 1 else b"application/x-ndjson"
        return HEAD % (kind, len(body)) + body

    def begin(self) -> None:
        self.began_s = time.monotonic()
        self.ends_s = self.began_s + self._given.seconds

    def next_due(self) -> float | None:
        """When the next request is due (monotonic); None when the time is up."""
        now = time.monotonic()
        due = self.began_s + next(self._count) * self._step_s if self._step_s else now
        return None if max(due, now) >= self.ends_s else due

    def answered(self, *, ok: bool, since_s: float) -> None:
        self.latencies_ms.append((time.monotonic() - since_s) * 1000)
        self.failed += not ok

    def closed(self) -> None:
        self.open -= 1
        if not self.open:
            self.done.set()

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.latencies_ms) or [0.0]
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "requests": len(self.latencies_ms),
            "events": (len(self.latencies_ms) - self.failed) * self._given.batch,
            "failed": self.failed,
            "seconds": time.monotonic() - self.began_s,
            "p50_ms": ordered[len(ordered) // 2],
            "p99_ms": ordered[len(ordered) * 99 // 100],
            "max_ms": ordered[-1],
            "cpu_s": used.ru_utime + used.ru_stime,
        }


async def _main(given: argparse.Namespace) -> None:
    run = Run(given)
    loop = asyncio.get_running_loop()
    run.open = given.connections
    run.begin()
    for _ in range(given.connections):
        await loop.create_connection(lambda: Client(run), "127.0.0.1", given.port)
    await asyncio.wait_for(run.done.wait(), given.seconds + 60)
    print(json.dumps(run.figures()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--batch", type=int, default=500, help="events a request")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=0, help="events a second; 0: all it can")
    parser.add_argument("--bytes-each", type=int, default=None, help="pad events to this size")
    parser.add_argument("--empty", type=int, default=0, help="1: GET /livez, for comparison")
    parser.add_argument("--first", type=int, default=0, help="number of the first request")
    parser.add_argument("--seed", type=int, default=1)
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()

"""A small HTTP load over raw sockets, which counts every request that fails."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

ANSWER_WITHIN_S = 10.0


@dataclass
class Tally:
    """What became of the requests. `bodies`: answers by their text."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    bodies: dict[str, int] = field(default_factory=dict)

    def add(self, body: bytes) -> None:
        self.answered += 1
        text = body.decode("utf-8", "replace")[:200]
        self.bodies[text] = self.bodies.get(text, 0) + 1


class Load:
    """Keep-alive and one-request clients, until `stop`. `stop` returns the tally."""

    def __init__(
        self, host: str, port: int, path: str, *, keep_alive: int, one_request: int
    ) -> None:
        self.tally = Tally()
        self._address = (host, port)
        self._path = path
        self._over = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._client(keep))
            for keep in [True] * keep_alive + [False] * one_request
        ]

    async def answered(self, more: int) -> None:
        """Wait until so many more requests were answered (bounded by the caller)."""
        wanted = self.tally.answered + more
        while self.tally.answered < wanted and not self.tally.failures:
            await asyncio.sleep(0.01)

    async def stop(self) -> Tally:
        self._over.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 2 * ANSWER_WITHIN_S)
        return self.tally

    async def _client(self, keep: bool) -> None:
        while not self._over.is_set():
            try:
                await self._connection(keep)
            except (OSError, EOFError, ValueError) as error:
                self.tally.failures.append(repr(error))

    async def _connection(self, keep: bool) -> None:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(*self._address)
        try:
            while not self._over.is_set():
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    stays = await self._request(reader, writer, keep)
                if not stays:
                    return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool
    ) -> bool:
        status, body, stays = await exchange(reader, writer, self._path, keep)
        if status == 200:
            self.tally.add(body)
        else:
            self.tally.failures.append(f"{status} {body[:100]!r}")
        return stays


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, keep: bool
) -> tuple[int, bytes, bool]:
    """One GET: status, body, and whether the connection may be used again."""
    connection = "keep-alive" if keep else "close"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n".encode())
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(lines[0].split(" ")[1]), body, keep and headers.get("connection") != "close"


async def get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    async with asyncio.timeout(ANSWER_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            status, body, _ = await exchange(reader, writer, path, keep=False)
        finally:
            writer.close()
    return status, body

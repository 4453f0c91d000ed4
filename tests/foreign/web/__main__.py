"""Serve on the socket that was handed over, say READY, answer, drain."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time

from web.faults import planted

FIRST_LISTEN_FD = 3
# Ends before the engine would kill it, so that a drain with idle connections is still a clean one.
DRAIN_MARGIN_S = 0.5


class Server:
    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.draining = False
        self.requests = 0
        self.in_flight = 0
        self.open: set[asyncio.Task[None]] = set()

    def accept(self, listener: socket.socket) -> None:
        """All that wait. Other generations accept from the same socket: finding none is fine."""
        while True:
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            task = asyncio.create_task(self.serve(connection))
            self.open.add(task)
            task.add_done_callback(self.open.discard)

    async def serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self.one_request(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, version = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        headers = head.lower()
        if b"\r\ncontent-length:" in headers:
            length = headers.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
        status, body = await self.answer(method, path)
        close = self.draining or version == "HTTP/1.0" or b"\r\nconnection: close" in headers
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: text/plain\r\n{'Connection: close' if close else 'X-App: foreign'}"
            "\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        return not close

    async def answer(self, method: str, path: str) -> tuple[int, bytes]:
        self.requests += 1
        if path == "/fail" and self.fault == "unready-later":
            self.fault = "not-ready"
        if path == "/livez":
            return 200, b"alive\n"
        if path == "/readyz":
            return (
                (503, b"planted: not ready\n") if self.fault == "not-ready" else (200, b"ready\n")
            )
        if path == "/version":
            return 200, json.dumps(self.version()).encode()
        if path == "/metrics":
            return 200, self.metrics().encode()
        if path.startswith("/slow/"):
            self.in_flight += 1
            await asyncio.sleep(int(path.removeprefix("/slow/")) / 1000)
            self.in_flight -= 1
        return 200, f"{method} hello from {os.environ['EV_RELEASE']}\n".encode()

    def metrics(self) -> str:
        counted = f"# TYPE web_requests counter\nweb_requests {self.requests}\n"
        return f"{counted}# TYPE web_in_flight gauge\nweb_in_flight {self.in_flight}\n"

    def version(self) -> dict[str, object]:
        release = "another" if self.fault == "wrong-version" else os.environ["EV_RELEASE"]
        return {
            "role": os.environ["EV_ROLE"],
            "release": release,
            "node": os.environ["EV_NODE"],
            "pid": os.getpid(),
        }

    async def drain(self, deadline_s: float) -> None:
        self.draining = True
        if self.open:
            await asyncio.wait(self.open, timeout=deadline_s)


def notify(message: str) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)


def handed_over() -> socket.socket:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise SystemExit("no listening socket was handed over")
    return socket.socket(fileno=FIRST_LISTEN_FD)


async def main() -> None:
    fault = planted()
    print(f"starting, fault {fault}", flush=True)
    if fault == "die":
        sys.exit("planted: dies at start")
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(
        signal.SIGTERM, lambda: None if fault == "ignore-sigterm" else stop.set()
    )

    server = Server(fault)
    shared = handed_over()
    own = socket.socket(socket.AF_UNIX)
    address = os.environ["EV_ADMIN_SOCKET"]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)  # noqa: PTH108 - a socket's name
    own.bind(address)
    own.listen(16)
    own.setblocking(False)
    for listener in (shared, own):
        loop.add_reader(listener.fileno(), server.accept, listener)
    if fault != "never-ready":
        notify("READY=1")
    if fault == "die-later":
        await asyncio.sleep(0.3)
        os._exit(9)
    await stop.wait()

    began = time.monotonic()
    loop.remove_reader(shared.fileno())
    await server.drain(float(os.environ["EV_DRAIN_S"]) - DRAIN_MARGIN_S)
    loop.remove_reader(own.fileno())
    print(f"drained in {time.monotonic() - began:.3f} s", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

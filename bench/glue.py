"""The baseline: what a team usually glues together, each piece used well.

aiohttp takes a batch and adds each event to a Redis Stream, one pipeline a request, with
`appendfsync always`; a worker reads 500 at a time, decodes with orjson and stores with executemany.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import redis
import redis.asyncio
import uvloop
from aiohttp import web

from bench.processes import Measured, running, until

STREAM, GROUP = "events", "workers"
EVENTS_A_READ = 500


@contextmanager
def glue(folder: Path, *, transform: bool = False) -> Iterator[list[Measured]]:
    """Redis, the web process (first), and a worker."""
    socket = folder / "redis.sock"
    with ExitStack() as stack:
        server = (
            *("redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"),
        )
        store = stack.enter_context(running("redis", server, listens=False))
        until(socket.exists, 30)
        client = redis.Redis(unix_socket_path=str(socket))
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        me = (sys.executable, "-m", "bench.glue")
        web_process = stack.enter_context(running("web", (*me, "web", str(socket)), listens=True))
        words = (
            *me,
            "worker",
            str(socket),
            str(folder / "glue.sqlite"),
            *["transform"] * transform,
        )
        worker = stack.enter_context(running("worker", words, listens=False))
        yield [web_process, worker, store]


def stored(folder: Path) -> int:
    """How many events the worker has stored."""
    with sqlite3.connect(folder / "glue.sqlite", timeout=30) as database:
        return int(database.execute("SELECT count(*) FROM events").fetchone()[0])


def serve(socket: str) -> None:
    client = redis.asyncio.Redis(unix_socket_path=socket)

    async def take(request: web.Request) -> web.Response:
        lines = (await request.read()).split(b"\n")
        for line in lines:
            orjson.loads(line)
        async with client.pipeline(transaction=False) as pipeline:
            for line in lines:
                pipeline.xadd(STREAM, {"event": line})
            await pipeline.execute()
        return web.json_response({"accepted": len(lines)})

    async def run() -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/events", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        print(f"listening on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        await runner.cleanup()

    uvloop.run(run())


def work(socket: str, database: str, transform: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    client = redis.Redis(unix_socket_path=socket)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (id TEXT PRIMARY KEY, name TEXT, at TEXT, body BLOB)")
    counts: dict[tuple[str, str], int] = {}
    while True:
        found: Any = client.xreadgroup(GROUP, "w1", {STREAM: ">"}, count=EVENTS_A_READ, block=1000)
        for _, entries in found or ():
            rows = []
            for _, entry in entries:
                event = transform(orjson.loads(entry[b"event"]))
                rows.append((event["id"], event["type"], event["at"], orjson.dumps(event)))
                key = (event["at"][:16], event["type"])
                counts[key] = counts.get(key, 0) + 1
            with connection:
                connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)
            client.xack(STREAM, GROUP, *(entry_id for entry_id, _ in entries))


def _same(event: dict[str, Any]) -> dict[str, Any]:
    return event


def _transformed(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "page": event["url"].partition("?")[0]}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    what, *words = sys.argv[1:]
    if what == "web":
        serve(words[0])
    else:
        work(words[0], words[1], _transformed if "transform" in words[2:] else _same)


if __name__ == "__main__":
    main()

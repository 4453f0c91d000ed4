"""The process of a role: sockets, readiness, health, drain. docs/architecture.md has the contract.

run() reads as the procedure: start → listen → READY → serve → drain → exit 0.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import uvloop
from aiohttp.web_request import BaseRequest

from eventstore import notify
from eventstore.collector.connections import Connections
from eventstore.collector.drain import Listener, until_no_connections
from eventstore.collector.handlers import FAULT, fault, refusal
from eventstore.collector.health import PATHS, Health
from eventstore.collector.reply import Reply, text
from eventstore.ended import Ended
from eventstore.errors import EngineUnavailable, EventStoreError, Refused, SettingsError
from eventstore.metrics import Counter, Histogram
from eventstore.settings import Settings

log = logging.getLogger("eventstore.service")
FIRST_INHERITED = 3
BACKLOG = 4096
GC_OBJECTS = 20_000
READY_LOOK_S = 0.05
STATM = Path("/proc/self/statm")
REASON_CHARS_MAX = 200
# What remains after the last connections were cut: their close, the engines', the exit itself.
EXIT_MARGIN = 0.2
EXIT_MARGIN_MIN_S = 0.5
EXIT_MARGIN_MAX_S = 2.0


class Role(Protocol):
    """What a role brings; everything is called on the loop's thread."""

    async def start(self) -> None:
        """Begins its work; raises EventStoreError when it cannot."""

    def handle(self, request: Any, /) -> Awaitable[Any]:
        """A request that is for no health path; raises Refused."""

    def unready(self) -> str | None:
        """Why it cannot do its work now, or None."""

    def notice(self) -> str:
        """What whoever asks should know although it can; "" when all is well."""

    def counters(self) -> list[Counter]:
        """For /metrics."""

    def gauges(self) -> Mapping[str, float]:
        """For /metrics."""

    async def failed(self) -> str:
        """Returns only when the role cannot go on: why."""

    def begin_drain(self) -> None:
        """Told to stop; requests still in flight will come to handle()."""

    async def close(self) -> None:
        """After the last request: finish, let go of everything."""


@dataclass(frozen=True)
class Process:
    """What the environment says this process is."""

    role: str
    node: str
    release: str
    drain_s: float
    admin_socket: Path | None
    state: Path | None = None

    @classmethod
    def from_environment(cls, role: str) -> "Process":
        """Raises SettingsError on a drain time that is none."""
        text = os.environ.get("EV_DRAIN_S", "10")
        try:
            drain_s = float(text)
        except ValueError:
            drain_s = -1.0
        if not 0 < drain_s <= 3600:
            raise SettingsError(f"EV_DRAIN_S: {text!r}: expected seconds, above 0, up to 3600")
        admin = os.environ.get("EV_ADMIN_SOCKET")
        return cls(
            role=role,
            node=os.environ.get("EV_NODE", socket.gethostname()),
            release=os.environ.get("EV_RELEASE", "unreleased"),
            drain_s=drain_s,
            admin_socket=Path(admin) if admin else None,
            state=Path(state) if (state := os.environ.get("STATE_DIRECTORY")) else None,
        )


RoleMaker = Callable[[Settings, Process], Role]


def serve(
    process: Process,
    settings: Settings,
    make_role: RoleMaker,
    engine_counters: Callable[[], list[Counter]] = list,
) -> int:
    """Runs a role to its end; the exit code. make_role is called with the loop running.
    engine_counters: for /metrics, beside the role's own."""
    new_loop = uvloop.new_event_loop if settings.event_loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            return runner.run(_run(process, settings, make_role, engine_counters))
        except (EventStoreError, OSError) as error:
            log.error("%s cannot start: %s", process.role, error)
            return 1


async def _run(
    process: Process,
    settings: Settings,
    make_role: RoleMaker,
    engine_counters: Callable[[], list[Counter]],
) -> int:
    told = _told_to_stop()
    role = make_role(settings, process)
    await role.start()
    app = _App(process, role, engine_counters)
    public_server = Connections(app, app.not_http, settings, app.counted)
    app.connections = public_server
    public = Listener(_public_socket(settings), public_server)
    public.start()
    admin_server = Connections(app, app.not_http, settings, app.counted)
    admin: Listener | None = None
    with _admin_socket(process.admin_socket) as admin_socket:
        if admin_socket is not None:
            admin = Listener(admin_socket, admin_server)
            admin.start()
        gc.freeze()  # what is there now stays: one in seventy is garbage, and may
        gc.enable()
        gc.set_threshold(GC_OBJECTS)  # requests leave few circles, and each look costs them time
        failed = asyncio.ensure_future(role.failed())
        stop = asyncio.ensure_future(_ready_then(told, role))
        await asyncio.wait({stop, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            log.error("%s failed: %s", process.role, failed.result())
            return 1
        failed.cancel()
        stop.result()
        await _drain(process, app, role, public, public_server)
        if admin is not None:
            await admin.stop()
        await admin_server.shutdown(0)
    app.leave_counts()
    return 0


async def _ready_then(told: asyncio.Event, role: Role) -> None:
    """Says READY once the role is, and returns when the process is told to stop."""
    while role.unready() is not None and not told.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), READY_LOOK_S)
    if not told.is_set():
        try:
            notify.ready()
        except OSError as error:  # who waits for it will give up by itself; requests are answered
            log.error("cannot say READY: %s", error)
        log.info("ready")
    await told.wait()


async def _drain(
    process: Process, app: "_App", role: Role, listener: Listener, server: Connections
) -> None:
    """Lets go of the socket, answers what comes on open connections, cuts the rest at the end."""
    loop = asyncio.get_running_loop()
    margin_s = min(max(process.drain_s * EXIT_MARGIN, EXIT_MARGIN_MIN_S), EXIT_MARGIN_MAX_S)
    margin_s = min(margin_s, process.drain_s / 2)
    cut_at_s = loop.time() + process.drain_s - margin_s
    app.draining = True
    role.begin_drain()
    await listener.stop()
    left = await until_no_connections(server, cut_at_s - loop.time())
    log.info("drained: %d connections were left", left)
    await server.shutdown(margin_s / 4)
    await role.close()


class _App:
    """One request in, one answer out, whatever happens."""

    def __init__(
        self, process: Process, role: Role, engine_counters: Callable[[], list[Counter]]
    ) -> None:
        self._started_at_s = time.time()
        self._ended = Ended(process.state / "ended" if process.state else None)
        self._release = process.release
        self._engine_counters = engine_counters
        self.draining = False
        self.connections: Connections | None = None  # the public ones
        self._role = role
        self._requests = Counter("ev_requests_total", "Requests answered.", "code")
        self._cpu = Counter("process_cpu_seconds_total", "Processor time of this process.")
        self._times = Histogram("ev_request_seconds", "How long requests took to answer.")
        self._health = Health(
            identity={
                "role": process.role,
                "release": process.release,
                "node": process.node,
                "pid": os.getpid(),
            },
            unready=self._unready,
            notice=role.notice,
            counters=lambda: [
                *(self._used(), self._requests, self._times, self._ended),
                *self._billed(),
            ],
            gauges=self._gauges,
        )

    async def __call__(self, request: BaseRequest) -> Reply:
        path = request.path
        if path in PATHS:
            return self._last_said(await self._health_answer(request))
        began_s = time.perf_counter()
        try:
            reply = await self._role.handle(request)
        except Refused as refused:
            reply = refusal(refused)
        except ConnectionError:
            raise  # the sender has gone: there is nobody to answer
        except Exception:
            log.exception(FAULT, path)
            reply = fault()
        return self.counted(began_s, reply)

    def counted(self, began_s: float, reply: Reply) -> Reply:
        """An answer to a request of the role's, that came when time.perf_counter() was began_s."""
        self._requests.add(label=str(reply.status))
        self._times.observe(time.perf_counter() - began_s)
        return self._last_said(reply)

    def _last_said(self, reply: Reply) -> Reply:
        # Here and not later: when the headers are being written it is too late to say it.
        if self.draining:
            reply.force_close()
        return reply

    def leave_counts(self) -> None:
        """After everything: for the bill."""
        self._ended.leave(self._release, self._started_at_s, time.time(), self._billed())

    def _billed(self) -> list[Counter]:
        return [*self._role.counters(), *self._engine_counters()]

    def not_http(self, why: str) -> Reply:
        """The answer to what a parser of HTTP can't read."""
        reason = why.split("\n", 1)[0].rstrip(":")[:REASON_CHARS_MAX]
        self._requests.add(label="400")
        return refusal(
            Refused(400, "not_http", f"no HTTP request: {reason}", "send HTTP/1.1", close=True)
        )

    async def _health_answer(self, request: BaseRequest) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return refusal(
                Refused(
                    405,
                    "method",
                    f"{request.method} is not taken",
                    "use GET",
                    allow=("GET", "HEAD"),
                )
            )
        try:
            return await self._health.answer(request)
        except EngineUnavailable as error:
            return text(503, f"{error}\n")

    def _used(self) -> Counter:
        self._cpu.add(time.process_time() - self._cpu.value())
        return self._cpu

    def _gauges(self) -> Mapping[str, float]:
        count = 0 if self.connections is None else self.connections.count
        return {
            "process_resident_memory_bytes": _resident_bytes(),
            "process_start_time_seconds": self._started_at_s,
            "ev_connections": count,
            **self._role.gauges(),
        }

    def _unready(self) -> str | None:
        return "draining" if self.draining else self._role.unready()


def _resident_bytes() -> int:
    """What this process has of the machine's memory."""
    pages = int(STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _told_to_stop() -> asyncio.Event:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    return told


def _public_socket(settings: Settings) -> socket.socket:
    """The one that was handed over (LISTEN_FDS), or, run by hand, one on the loopback."""
    mine = os.environ.get("LISTEN_PID", str(os.getpid())) == str(os.getpid())
    if mine and os.environ.get("LISTEN_FDS", "0") not in ("", "0"):
        os.set_inheritable(FIRST_INHERITED, False)
        return socket.socket(fileno=FIRST_INHERITED)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", settings.listen_port))
    sock.listen(BACKLOG)
    print(f"listening on http://127.0.0.1:{sock.getsockname()[1]}", file=sys.stderr, flush=True)
    return sock


@contextlib.contextmanager
def _admin_socket(path: Path | None) -> Iterator[socket.socket | None]:
    """This generation's own socket, gone when it ends."""
    if path is None:
        yield None
        return
    path.unlink(missing_ok=True)  # of an earlier process of this generation
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        sock.listen(64)
        inode = path.stat().st_ino
        try:
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:  # not the socket of one that came after
                    path.unlink()

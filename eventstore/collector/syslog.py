"""Syslog over TCP: a listener of the collector's own, beside HTTP.

Syslog has no acknowledgement: what has been read must be kept. So a connection is read only while
nothing of it waits for its commit, and what the committer can't take now is offered again; the
sender meanwhile sees a full window.

The socket isn't the node's: each generation binds the port for itself (SO_REUSEPORT), the new one
while the old one still listens. So there is no moment without a listener, and no port to wait for.
The old one then takes what is in its backlog, reads what has arrived, and closes; senders connect
anew. What a sender writes after that last read is lost: its protocol has no way to say so.
"""

import asyncio
import errno
import logging
import socket
import time

from eventstore import packing
from eventstore.collector.committer import Committer, Kind
from eventstore.errors import Refused
from eventstore.formats.syslog import FORMAT, Framing, Message, events_of
from eventstore.settings import Settings

log = logging.getLogger("eventstore.syslog")
BACKLOG = 1024
READ_BYTES = 64 << 10
ACCEPT_AGAIN_S = 0.1  # when there is no file left for a connection
OFFER_AGAIN_S = 0.05
READ_ON_S = 0.5  # while draining, of senders that don't pause
FINISH_S = 1.0  # for the commits of what was read until then


class Syslog:
    """Takes messages on a socket until it is told to stop. endpoint: whose tags they get.

    line_bytes_max: of one message. connections_max: at one time; more are closed at once.
    """

    def __init__(
        self,
        sock: socket.socket,
        endpoint: str,
        committer: Committer,
        *,
        line_bytes_max: int,
        connections_max: int,
    ) -> None:
        self._socket = sock
        self._kind = Kind(endpoint, FORMAT.stored_as)
        self._committer = committer
        self._line_bytes_max = line_bytes_max
        self._connections_max = connections_max
        self._loop = asyncio.get_running_loop()
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._stopped = False
        self._ending = False

    @property
    def connections(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        """Begins to accept."""
        if not self._stopped:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    async def stop(self) -> None:
        """Returns when all that was read is committed, or after READ_ON_S + FINISH_S."""
        self._stopped = True
        self._accept()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for connection in self._connections.values():
            _end_reading(connection)
        await self._until_done(READ_ON_S)
        self._ending = True
        for task in await self._until_done(FINISH_S):
            log.error("messages of a connection could not be committed before the end")
            task.cancel()

    async def _until_done(self, wait_s: float) -> set["asyncio.Task[None]"]:
        """Those that are not done in time."""
        if not self._connections:
            return set()
        return (await asyncio.wait(list(self._connections), timeout=wait_s))[1]

    def _accept(self) -> None:
        """All that wait: those of a generation that ends are reset if it leaves them."""
        for _ in range(BACKLOG):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept: %s", error)
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(ACCEPT_AGAIN_S, self.start)
                return
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        if len(self._connections) >= self._connections_max:
            log.warning("a connection too many: %d are open", len(self._connections))
            connection.close()
            return
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            address = str(connection.getpeername()[0])
        except OSError:  # it has gone already
            connection.close()
            return
        task = self._loop.create_task(self._serve(connection, address))
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        framing = Framing(self._line_bytes_max)
        with connection:
            try:
                while not self._ending and (
                    data := await self._loop.sock_recv(connection, READ_BYTES)
                ):
                    await self._commit(framing.feed(data), address)
            except OSError as error:
                log.info("a connection went away: %s", error)
            await self._commit(framing.finish(), address)

    async def _commit(self, messages: list[Message], address: str) -> None:
        """Returns when they are durable, however often they must be offered."""
        if not messages:
            return
        events = events_of(messages)
        share = packing.Share(events.count, time.time_ns() // 1_000_000, address=address)
        while True:
            try:
                await self._committer.submit(self._kind, events, (share,))
                return
            except Refused:
                await asyncio.sleep(OFFER_AGAIN_S)


def syslog_of(settings: Settings, committer: Committer) -> Syslog:
    """As the settings say; OSError when the port can't be had."""
    return Syslog(
        _bound(settings.syslog_address, settings.syslog_port),
        next(one.path for one in settings.endpoints if one.format == "syslog"),
        committer,
        line_bytes_max=settings.syslog_line_bytes_max,
        connections_max=settings.syslog_connections_max,
    )


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"syslog on {address} port {port}: {error.strerror}: choose another"
        ) from None
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _end_reading(connection: socket.socket) -> None:
    """What has arrived can still be read; then the stream ends."""
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise

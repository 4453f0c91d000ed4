"""Accepting on a socket that generations share, and letting go of it without losing a request.

The loop's own servers cannot do it: closing them kills connections that were accepted and not yet
attached. So accepting is done here, the same way on asyncio and on uvloop: watch the socket, accept
until there is nothing left, hand each connection to aiohttp's server. To drain: stop watching, wait
for what is being attached, then answer every request with `Connection: close` until no connection
is left. A connection that stays idle is kept until close to the deadline, since its next request
may be on its way. While there are as many connections as there may be, new ones wait in the
socket's own queue, for this generation or another.
"""

import asyncio
import errno
import logging
import socket

from aiohttp.web_server import Server

from eventstore.collector.connections import Connections

log = logging.getLogger("eventstore.drain")
ACCEPTED_A_TURN = 16  # the other generation, and what this loop has to do, get their turns too
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
OUT_OF_FILES_PAUSE_S = 0.1
LOOK_S = 0.02


class Listener:
    """Accepts connections for a server until it is told to stop."""

    def __init__(self, sock: socket.socket, server: Connections) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._attaching: set[asyncio.Task[None]] = set()
        self._stopped = False

    def start(self) -> None:
        """Begins to accept."""
        if not self._stopped:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    async def stop(self) -> None:
        """Accepts nothing more; what was accepted is attached. The socket stays open and bound."""
        self._stopped = True
        self._loop.remove_reader(self._socket.fileno())
        while self._attaching:
            await asyncio.wait(self._attaching)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_A_TURN):
            if not self._server.admits(self.start):
                self._loop.remove_reader(self._socket.fileno())
                return
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._server.gone()
                return
            except OSError as error:
                self._server.gone()
                if error.errno not in OUT_OF_FILES:
                    raise
                log.error("cannot accept: %s", error)
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(OUT_OF_FILES_PAUSE_S, self.start)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._attach(connection))
            self._attaching.add(task)
            task.add_done_callback(self._attaching.discard)

    async def _attach(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._server, connection)
        except OSError as error:
            log.info("a connection went away while it was accepted: %s", error)
            connection.close()
            self._server.gone()


async def until_no_connections(server: Server, wait_s: float) -> int:
    """Waits for the server's connections to end by themselves; how many are left at the end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while server.connections and loop.time() < deadline:
        await asyncio.sleep(LOOK_S)
    return len(server.connections)

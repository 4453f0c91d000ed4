"""A role that works in a thread of its own: blocking engines never hold up its health paths."""

import asyncio
import threading
from collections.abc import Callable

from eventstore.errors import Refused


class Worker:
    """Runs `run` in a thread until `stop`; a worker that ends by itself has failed."""

    def __init__(self, name: str, run: Callable[[], None], stop: Callable[[], None]) -> None:
        self._run = run
        self._stop = stop
        self._ended = asyncio.Event()
        self._error = ""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._body, name=name, daemon=True)

    async def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    async def handle(self, _request: object, /) -> object:
        """A worker has no paths of its own."""
        raise Refused(404, "no_endpoint", "this role takes no events", "ask a collector")

    def unready(self) -> str | None:
        """Why it does not work now, or None."""
        return None if self._thread.is_alive() else self._error or "the worker has ended"

    def notice(self) -> str:
        """It works, or it does not."""
        return ""

    async def failed(self) -> str:
        """Returns when the thread has ended: the reason."""
        await self._ended.wait()
        return self._error or "the worker has ended"

    def begin_drain(self) -> None:
        """Tells the thread to finish what it has in hand."""
        self._stop()

    async def close(self) -> None:
        """Waits for the thread and lets go of the engines."""
        await asyncio.to_thread(self._thread.join)
        self.close_engines()

    def close_engines(self) -> None:
        """For the roles to fill in."""

    def _body(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._error = f"{type(error).__name__}: {error}"
            raise  # threading prints the traceback; the process ends with exit code 1
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

"""Where packs go: into the queue; or, where there is a spool, into that while the queue is
unavailable.

A thread empties the spool into the queue as soon as it works again: in the order in which they were
spooled, with the same ids, what other generations have left too. What comes in the meantime goes
into the queue directly.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from uuid import UUID

from eventstore import packing
from eventstore.collector.spool import Segment, Spool, records
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import EngineUnavailable, PackCorrupt, QueueFull
from eventstore.metrics import Counter
from eventstore.ports import Packed, Queue

LOOK_S = 0.5
PACKS_A_PUT = 32  # of the spool; traffic puts about one at a time, and a spool has to empty faster

log = logging.getLogger("eventstore.spool")


class StoreAway(Exception):
    """What an earlier generation has spooled can't be read now; what comes need not wait for it."""


class Outlet(Protocol):
    """put() is called from the committer's thread, everything else from the loop's."""

    counters: list[Counter]

    def start(self) -> None:
        """Begins its work."""

    def put(self, packs: Sequence[Packed]) -> None:
        """Durable when it returns: all or none. Raises QueueFull, EngineUnavailable."""

    def unready(self) -> str | None:
        """Why packs cannot be kept, or None."""

    def notice(self) -> str:
        """What works, but not as it should; "" when all is well."""

    def holds_back(self) -> bool:
        """Whether there are packs that the queue has not seen yet."""

    def gauges(self) -> Mapping[str, float]:
        """For /metrics: what can be said now."""

    def close(self) -> None:
        """Lets go of everything."""


class Direct:
    """The queue alone."""

    def __init__(self, queue: Queue) -> None:
        self.counters: list[Counter] = []
        self._queue = queue

    def start(self) -> None:
        """Nothing."""

    def put(self, packs: Sequence[Packed]) -> None:
        self._queue.put(packs)

    def unready(self) -> str | None:
        try:
            self._queue.depth()
        except EngineUnavailable as error:
            return str(error)
        return None

    def notice(self) -> str:
        return ""

    def holds_back(self) -> bool:
        return False

    def gauges(self) -> Mapping[str, float]:
        depth = _depth(self._queue)
        return {"ev_queue_available": bool(depth), **depth}

    def close(self) -> None:
        self._queue.close()


class Spooling:
    """The queue, which need not be there yet, and the spool."""

    def __init__(
        self,
        open_queue: Callable[[], Queue],
        spool: Spool,
        dictionaries: Dictionaries = NO_DICTIONARIES,
    ) -> None:
        self._open_queue = open_queue
        self._dictionaries = dictionaries
        self._spool = spool
        self._queue: Queue | None = None
        self._opening = threading.Lock()
        self._appending = threading.Lock()
        self._stopping = threading.Event()
        self._error = ""  # why the queue is unavailable; "": it is not
        self._waits_for = ""  # what of another engine the spool needs
        self._moved: dict[Path, int] = {}  # how many of a segment's packs are in the queue already
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._spooled = Counter("ev_spooled_packs_total", "Packs that went into the spool.")
        self._unspooled = Counter("ev_unspooled_packs_total", "Packs moved on into the queue.")
        self.counters = [self._spooled, self._unspooled]

    def start(self) -> None:
        """Opens the queue, or finds out that it isn't there, and begins to empty the spool."""
        try:
            self._opened()
        except EngineUnavailable as error:
            self._failed(error)
        self._thread.start()

    def put(self, packs: Sequence[Packed]) -> None:
        if not self._error:
            try:
                self._opened().put(packs)
                return
            except EngineUnavailable as error:
                self._failed(error)
        with self._appending:
            self._spool.append([(pack.pack_id, pack.body) for pack in packs])
        self._spooled.add(len(packs))

    def unready(self) -> str | None:
        return None  # a spool that fails, fails commits

    def notice(self) -> str:
        return self._error and f"events go into the spool: {self._error}"

    def holds_back(self) -> bool:
        try:
            return self._spool.bytes() > 0
        except EngineUnavailable:
            return True  # nobody can tell

    def gauges(self) -> Mapping[str, float]:
        found: dict[str, float] = {"ev_queue_available": not self._error}
        if self._queue is not None:
            found |= _depth(self._queue)
        with contextlib.suppress(EngineUnavailable):
            found["ev_spool_bytes"] = self._spool.bytes()
        return found

    def close(self) -> None:
        """What is still in the spool is for the next generation."""
        self._stopping.set()
        self._thread.join()
        self._spool.hand_over()
        if self._queue is not None:
            self._queue.close()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self._empty()
            except EngineUnavailable as error:
                self._failed(error)
                continue
            except StoreAway as error:
                if str(error) != self._waits_for:
                    log.error("%s", error)
                self._waits_for = str(error)
            except QueueFull:
                pass  # it works; the rest is moved when there is room
            except Exception:
                log.exception("the spool cannot be emptied: a fault of ours")
            self._works()

    def _empty(self) -> None:
        # First what nobody appends to: with a queue that still fails, each look at what is appended
        # to here would begin a file.
        self._move_waiting()
        with self._appending:
            self._spool.hand_over()
        self._move_waiting()

    def _move_waiting(self) -> None:
        for segment in self._spool.waiting():
            try:
                self._move(segment)
            except BaseException:
                segment.close()
                raise
            segment.delete()
            self._moved.pop(segment.path, None)

    def _move(self, segment: Segment) -> None:
        queue = self._opened()
        packs = list(records(segment.read()))
        moved = self._moved.get(segment.path, 0)
        at_once = PACKS_A_PUT
        while moved < len(packs):
            if self._stopping.is_set():
                raise QueueFull("told to stop")
            some = packs[moved : moved + at_once]
            try:
                queue.put([self._packed(*pack) for pack in some])
            except QueueFull:
                if at_once == 1:
                    raise
                at_once = 1  # there may be room for some of them
                continue
            self._works()
            moved += len(some)
            self._moved[segment.path] = moved
            self._unspooled.add(len(some))

    def _packed(self, pack_id: UUID, body: bytes) -> Packed:
        try:
            pack = packing.unpack(body, self._dictionaries)
        except PackCorrupt:  # for a processor to bury, like any other that nobody can read
            return Packed(pack_id, body, "", 0)
        except EngineUnavailable as error:
            raise StoreAway(f"the spool waits for a dictionary: {error}") from error
        return Packed(pack_id, body, pack.tags.get("endpoint", ""), pack.count)

    def _opened(self) -> Queue:
        with self._opening:
            if self._queue is None:
                self._queue = self._open_queue()
            return self._queue

    def _works(self) -> None:
        if self._error:
            log.info("the queue is available again")
            self._error = ""

    def _failed(self, error: EngineUnavailable) -> None:
        if not self._error:
            log.error("the queue is unavailable, events go into the spool: %s", error)
        self._error = str(error)


def _depth(queue: Queue) -> dict[str, float]:
    try:
        return queue.depth().gauges()
    except EngineUnavailable:
        return {}

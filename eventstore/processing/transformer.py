"""The processor's side of transforms: hands packs to a worker process, and outlives it.

An event in which the worker is killed or dies is a dead letter; the pack's others are run again, by
a new worker. So a pack ends within its budget, and costs one round trip, not one an event.
"""

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec
import orjson

from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import SettingsError
from eventstore.processing.transform_worker import (
    PROGRESS_BYTES,
    READY,
    TRANSFORMED,
    Transformed,
    Work,
)
from eventstore.settings import Settings

START_S = 60
GRACE_S = 5  # what a worker that keeps its own time may be late
EXIT_S = 1
NOWHERE = -1


class TransformerFailed(Exception):
    """The worker died and no event is to blame."""


class Transformer:
    """One worker process. For one thread."""

    def __init__(self, names: Sequence[str], *, event_s: float, pack_s: float) -> None:
        """Raises SettingsError when a transform can't be loaded."""
        self._names = list(names)
        self._event_s = min(event_s, pack_s)
        self._pack_s = pack_s
        self._shared = os.memfd_create("progress")
        os.ftruncate(self._shared, PROGRESS_BYTES)
        self._memory = mmap.mmap(self._shared, PROGRESS_BYTES)
        self._progress = memoryview(self._memory).cast("q")
        self._worker: subprocess.Popen[bytes] | None = None
        self._connection: Connection
        self._told: set[int] = set()  # dictionaries that this worker has
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def run(
        self,
        body: bytes,
        sidecar: bytes,
        dead: Collection[int],
        dictionaries: Dictionaries = NO_DICTIONARIES,
    ) -> Transformed:
        """A pack's events but the dead ones. Ends within about pack_s."""
        needed = packing.dictionary_of(body)
        ends_at_s = time.monotonic() + self._pack_s
        failed: dict[int, str] = {}
        while True:  # ends: without time left a worker runs nothing, and answers
            left_s = max(0.0, ends_at_s - time.monotonic())
            if self._worker is None:
                self._start()
            dictionary = b""
            if needed and needed not in self._told:
                dictionary = dictionaries.get(needed).as_bytes()
            skipped = frozenset([*dead, *failed])
            made = self._asked(Work(body, sidecar, skipped, left_s, dictionary))
            if made is not None:
                self._told.add(needed)
                made.dead |= failed
                return made
            index, why = self._progress[0], self._end()
            if index == NOWHERE:
                raise TransformerFailed(f"{why}, before any event")
            failed[index] = why

    def close(self) -> None:
        """Ends the worker."""
        self._end()
        self._progress.release()
        self._memory.close()
        os.close(self._shared)

    def _asked(self, work: Work) -> Transformed | None:
        """None: the worker is dead, or should be."""
        self._progress[0] = NOWHERE
        try:
            self._connection.send_bytes(msgspec.msgpack.encode(work))
            if not self._connection.poll(work.budget_s + 1.25 * self._event_s + GRACE_S):
                return None
            return TRANSFORMED.decode(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        command = [sys.executable, "-m", "eventstore.processing.transform_worker"]
        with theirs:
            self._worker = subprocess.Popen(
                [*command, str(theirs.fileno()), str(self._shared), str(self._event_s)],
                pass_fds=(theirs.fileno(), self._shared),
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__.fileno() if sys.__stderr__ else None,
                env={**os.environ, "PYTHONHASHSEED": "0"},  # or the order of a set would vary
            )
        self._told.clear()
        self._connection.send_bytes(orjson.dumps(self._names))
        try:
            said = self._connection.recv_bytes() if self._connection.poll(START_S) else b""
        except (EOFError, OSError):
            said = b""
        if said != READY:
            why = said.decode() or f"transforms: {', '.join(self._names)}: could not be loaded"
            self._end()
            raise SettingsError(why)

    def _end(self) -> str:
        """Kills the worker; what it died of."""
        if self._worker is None:
            return "was not started"
        worker, self._worker = self._worker, None
        self._connection.close()
        try:
            code = worker.wait(EXIT_S)  # it ends when the connection does, if it listens
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            code = -signal.SIGALRM  # what its own timer should have done
        if code == -signal.SIGALRM:
            return f"out of time: it ran for more than {self._event_s:g} s"
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        return f"the transforms' process {ended}"


def transformer_of(settings: Settings) -> Transformer | None:
    """As the settings have it; None without transforms. Between two packs a processor renews its
    leases when a third of their time has gone: with a third for a pack they never run out."""
    if not settings.transforms:
        return None
    return Transformer(
        settings.transforms, event_s=settings.transform_s, pack_s=settings.lease_s / 3
    )

"""The process that runs a user's transforms: `python -m eventstore.processing.transform_worker`.

It may loop for ever inside of C code, take all memory or crash: it can be killed, its processor
can't. So it says in shared memory which event it is at, and lets the kernel's timer kill it when
that event takes too long, which works whatever the event does and whether or not the processor is
still there.

Its life: load → say READY, or why not → a pack in, its view and its dead events out → … → the
processor has gone.
"""

import gc
import mmap
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import orjson

from eventstore import packing
from eventstore.dictionaries import Dictionaries
from eventstore.errors import SettingsError
from eventstore.formats import READERS, Reader
from eventstore.processing import sidecar, view
from eventstore.processing.heap import keep_freed
from eventstore.processing.transforms import Transform, line_of, load, reason_of

READY = b"ready"
PROGRESS_BYTES = 8
MEMORY_BYTES_MAX = 1 << 30
READ_AT_ONCE_BYTES = 24 << 10  # what more become has left the nearest cache before its turn


class Work(msgspec.Struct, array_like=True):
    """A pack, in which the skipped events are dead already, and how long it may take. dictionary:
    the one that it needs, if this worker hasn't been given it before."""

    body: bytes
    sidecar: bytes
    skipped: frozenset[int]
    budget_s: float
    dictionary: bytes = b""


class Transformed(msgspec.Struct, array_like=True):
    """What has become of it. view, times: see view.py. dead: index → why."""

    view: bytes = b""
    times: list[int] | None = None
    dead: dict[int, str] = {}


WORK = msgspec.msgpack.Decoder(Work)
TRANSFORMED = msgspec.msgpack.Decoder(Transformed)


def main(connection: Connection, progress: "memoryview[int]", event_s: float) -> None:
    """Serves packs until the processor has gone; names of transforms come first."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    try:
        transforms = [load(name) for name in orjson.loads(connection.recv_bytes())]
    except SettingsError as error:
        connection.send_bytes(str(error).encode())
        return
    connection.send_bytes(READY)
    gc.freeze()
    given: dict[int, bytes] = {}
    dictionaries = Dictionaries(given.get)
    while True:
        try:
            work = WORK.decode(connection.recv_bytes())
        except EOFError:
            return
        if work.dictionary:
            given[packing.dictionary_of(work.body)] = work.dictionary
        pack = packing.unpack(work.body, dictionaries)
        dead, lines = _transformed(pack, work, transforms, Watch(progress, event_s, work.budget_s))
        made = Transformed(view.encode(lines), view.times(lines), dead)
        connection.send_bytes(msgspec.msgpack.encode(made))


class Watch:
    """Says where the work is, and bounds how long it may stay there.

    The timer is set anew not for every event but after a quarter of its time: an event gets between
    event_s and a quarter more.
    """

    def __init__(self, progress: "memoryview[int]", event_s: float, budget_s: float) -> None:
        self._progress = progress
        self._event_s = event_s
        self._ends_at_s = time.monotonic() + budget_s
        self.time_is_up = False

    def over(self, indexes: Iterable[int]) -> Iterator[int]:
        """Each of them, at which the work then is. time_is_up: that of the whole pack."""
        clock, progress, again_at_s = time.monotonic, self._progress, 0.0
        for index in indexes:
            now_s = clock()
            if now_s >= again_at_s:
                self.time_is_up = now_s >= self._ends_at_s
                signal.setitimer(signal.ITIMER_REAL, self._event_s * 1.25)
                again_at_s = min(now_s + self._event_s / 4, self._ends_at_s)
            progress[0] = index
            yield index
        signal.setitimer(signal.ITIMER_REAL, 0)


def _transformed(
    pack: packing.Pack, work: Work, transforms: Sequence[Transform], watch: Watch
) -> tuple[dict[int, str], list[bytes]]:
    """Index → why that event is a dead letter; and the lines of the view."""
    reader = READERS[pack.format]
    sent_as = pack.events
    contexts = chain.from_iterable(repeat(one.context, one.events) for one in pack.shares)
    dead: dict[int, str] = {}
    lines = [view.AS_SENT] * pack.count
    room = view.BYTES_MAX - pack.count
    found: Iterator[dict[str, Any] | None] = repeat(None, pack.count)
    if any(one.takes_enriched for one in transforms):
        found = _rows(work.sidecar)
    at, skipped = watch.over(range(pack.count)), work.skipped
    values = chain.from_iterable(_values(reader, sent_as))
    for index, sent, context, value, enriched in zip(
        at, sent_as, contexts, values, found, strict=True
    ):
        if index in skipped:
            continue
        if watch.time_is_up:
            dead[index] = "out of time: the pack's whole time was used up before this event"
            continue
        try:
            event = reader.value(sent, context) if value is None else value
            line = line_of(transforms, event, sent, context, reader.value, enriched=enriched)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            dead[index] = reason_of(error)
            continue
        room -= len(line)
        if room < 0:
            dead[index] = f"the results of this pack are larger than {view.BYTES_MAX} bytes"
            continue
        lines[index] = line
    return dead, lines


def _values(reader: Reader, events: Sequence[bytes]) -> Iterator[Iterable[dict[str, Any] | None]]:
    """Of each, some at a time, what its reader makes of it; None for those that must be read one by
    one."""
    each_bytes = 1 + sum(map(len, events)) // max(1, len(events))
    at_once = max(1, READ_AT_ONCE_BYTES // each_bytes)
    for start in range(0, len(events), at_once):
        some = events[start : start + at_once]
        yield reader.values(some) or repeat(None, len(some))


def _rows(found: bytes) -> Iterator[dict[str, Any]]:
    """What enrichment found out about each event."""
    columns = sidecar.decode(found)
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


if __name__ == "__main__":
    descriptor, shared, seconds = sys.argv[1:]
    keep_freed()
    main(
        Connection(int(descriptor)),
        memoryview(mmap.mmap(int(shared), PROGRESS_BYTES)).cast("q"),
        float(seconds),
    )

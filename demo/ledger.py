"""The load client's ledger: what was sent, when, and what came back. Append-only, on disk.

    run.json      which run, which targets, when it began
    reserved      one number a line: no event at or above the last one was ever sent
    requests.bin  one fixed-size record a request, written when its answer, or failure, is known

A block of numbers is reserved on disk *before* any of it is sent, so a stored event that the
ledger never allowed is truly a phantom. Records are flushed every fraction of a second: a
client that is killed loses the tail of them. A lost record makes its events "sent, not known to
be acknowledged", which can hide a loss of those few, and can never invent one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

RESERVE_BLOCK = 8192
_READ_RECORDS = 4096


class Outcome(IntEnum):
    """What became of a request; everything but ACKED has failed."""

    ACKED = 0
    REFUSED = 1  # no connection could be made
    RESET = 2  # the connection ended before the whole answer was there
    TIMEOUT = 3
    SERVER_ERROR = 4  # 5xx
    CLIENT_ERROR = 5  # 3xx or 4xx: nothing we send deserves one
    BAD_RECEIPT = 6  # 2xx, but the receipt isn't for what we sent

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Outcome.ACKED: "acked",
    Outcome.REFUSED: "refused",
    Outcome.RESET: "reset",
    Outcome.TIMEOUT: "timeout",
    Outcome.SERVER_ERROR: "5xx",
    Outcome.CLIENT_ERROR: "4xx",
    Outcome.BAD_RECEIPT: "receipt",
}


class Connection(IntEnum):
    KEEP_ALIVE = 0
    ONE_SHOT = 1


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Events `first` … `first + count - 1`; their time is `at_ms`."""

    started_at: float  # wall clock, epoch seconds
    started_mono: float  # monotonic seconds
    duration_ms: float
    late_ms: float  # how long after its place in the schedule it began
    status: int  # 0 without an answer
    outcome: Outcome
    connection: Connection
    target: int  # index into Run.targets
    count: int
    first: int
    body_bytes: int
    pack: bytes  # 16 bytes: the receipt's pack id; zeros without one

    @property
    def at_ms(self) -> int:
        return at_ms(self.started_at)

    @property
    def acked(self) -> bool:
        return self.outcome is Outcome.ACKED


def at_ms(started_at: float) -> int:
    """The event time of a request's events: the millisecond in which it started."""
    return int(started_at * 1000)


@dataclass(frozen=True)
class Run:
    run: str
    targets: tuple[str, ...]
    started_at: float
    rate: float
    keep_alive: int
    one_shot: int


_RECORD = struct.Struct("<ddffHBBBxHQI16s")


class Ledger:
    """The writing side. One process, one thread."""

    def __init__(self, folder: Path, run: Run) -> None:
        """Makes the folder. FileExistsError if it holds a ledger already."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "run.json").open("x") as file:
            json.dump(asdict(run), file)
        self.run = run
        self._reserved_file: IO[bytes] = (folder / "reserved").open("ab", buffering=0)
        self._requests: IO[bytes] = (folder / "requests.bin").open("ab", buffering=1 << 16)
        self._reserved = 0
        self._next = 0

    def take(self, count: int) -> int:
        """The first of `count` numbers of events, reserved on disk by the time it returns."""
        first = self._next
        self._next += count
        if self._next > self._reserved:
            self._reserved = self._next + RESERVE_BLOCK
            self._reserved_file.write(b"%d\n" % self._reserved)
        return first

    @property
    def next_number(self) -> int:
        return self._next

    def write(self, request: Request) -> None:
        self._requests.write(
            _RECORD.pack(
                request.started_at,
                request.started_mono,
                request.duration_ms,
                request.late_ms,
                request.status,
                request.outcome,
                request.connection,
                request.target,
                request.count,
                request.first,
                request.body_bytes,
                request.pack,
            )
        )

    def flush(self) -> None:
        self._requests.flush()

    def close(self) -> None:
        self._requests.close()
        self._reserved_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_run(folder: Path) -> Run:
    fields = json.loads((folder / "run.json").read_text())
    fields["targets"] = tuple(fields["targets"])
    return Run(**fields)


def read_reserved(folder: Path) -> int:
    """No event with this number or a higher one was sent. A torn last line doesn't count:
    its block had not been handed out yet."""
    lines = (folder / "reserved").read_bytes().split(b"\n")[:-1]
    return int(lines[-1]) if lines else 0


def read_requests(folder: Path) -> Iterator[Request]:
    """Every whole record, in the order of completion; a torn last one is left out."""
    with (folder / "requests.bin").open("rb") as file:
        while block := file.read(_RECORD.size * _READ_RECORDS):
            whole = len(block) - len(block) % _RECORD.size
            for fields in _RECORD.iter_unpack(block[:whole]):
                yield _request(fields)


def _request(fields: tuple[Any, ...]) -> Request:
    return Request(
        started_at=fields[0],
        started_mono=fields[1],
        duration_ms=fields[2],
        late_ms=fields[3],
        status=fields[4],
        outcome=Outcome(fields[5]),
        connection=Connection(fields[6]),
        target=fields[7],
        count=fields[8],
        first=fields[9],
        body_bytes=fields[10],
        pack=fields[11],
    )

"""Which client keys were stored already: exact, for ever, at hundreds of thousands a second.

A key is 128 bits of hash and the span, ten seconds of time, that its event states for itself. A
client's retry states the same, so only keys of one span are compared, and what is hot is small. On
disk, in the store's own transactions: each put adds a run of new keys to the open segment of their
span; a full segment is sorted into chunks. In memory, a cache of what is committed and of nothing
else: a Bloom filter for each segment, and half of each key in open ones. A filter only ever
suspects; a suspect is looked up.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise

import numpy as np

from eventstore.backends.embedded.key_filter import Probe, Segment
from eventstore.backends.sorted_keys import Bools, Int64s, copies, held, in_order

Row = tuple[int, int, int, int | None, bytes]  # of key_runs

SCHEMA = (
    # first: of a closed segment's chunk, its first key's first half; NULL: a run as it was put
    "CREATE TABLE key_runs (id INTEGER PRIMARY KEY AUTOINCREMENT, span INTEGER NOT NULL,"
    " segment INTEGER NOT NULL, first INTEGER, keys BLOB NOT NULL)",
    "CREATE INDEX key_runs_by_span ON key_runs (span, segment, first)",
    "CREATE TABLE key_segments (span INTEGER NOT NULL, segment INTEGER NOT NULL,"
    " keys INTEGER NOT NULL, PRIMARY KEY (span, segment)) WITHOUT ROWID",
)
SEGMENT_KEYS = 240_000  # 4 MiB are held while one is closed; with one put more, a filter of 2^18
CHUNK_KEYS = 1000  # a page of the file: what it costs to look one suspect up
CHUNKS_AT_ONCE = 8  # for a filter
CACHE_BYTES_MAX = 16 << 20
NO_SPAN = -(1 << 62)
FEW = 64  # so many keys of a span that isn't hot are looked up, and nothing is kept for them

RUNS_SINCE = "SELECT id, span, segment, first, keys FROM key_runs WHERE id > ? ORDER BY id"
RUNS_OF = "SELECT id, span, segment, first, keys FROM key_runs WHERE span = ? ORDER BY id"
RUN = "SELECT keys FROM key_runs WHERE id = ?"
CHUNK = (
    "SELECT keys FROM key_runs WHERE span = ? AND segment = ? AND first <= ?"
    " ORDER BY first DESC LIMIT 1"
)
KEYS_OF = "SELECT keys FROM key_segments WHERE span = ? AND segment = ?"
OPEN_RUNS = "SELECT keys FROM key_runs WHERE span = ? AND segment = ? AND first IS NULL"
DELETE_OPEN = "DELETE FROM key_runs WHERE span = ? AND segment = ? AND first IS NULL"
ADD_RUN = "INSERT INTO key_runs (span, segment, first, keys) VALUES (?, ?, ?, ?)"
SEGMENTS_OF = "SELECT segment FROM key_segments WHERE span = ? ORDER BY segment"
LAST_SEGMENT = "SELECT segment, keys FROM key_segments WHERE span = ? ORDER BY segment DESC LIMIT 1"
COUNT_KEYS = (
    "INSERT INTO key_segments VALUES (?, ?, ?) ON CONFLICT (span, segment)"
    " DO UPDATE SET keys = excluded.keys"
)


class KeyIndex:
    """One for each connection's process; every call is made within a write transaction."""

    def __init__(
        self, *, segment_keys: int = SEGMENT_KEYS, cache_bytes_max: int = CACHE_BYTES_MAX
    ) -> None:
        self._segment_keys = segment_keys
        self._cache_bytes_max = cache_bytes_max
        self._spans: OrderedDict[int, dict[int, Segment]] = OrderedDict()
        self._seen_id = 0

    def claim(self, connection: sqlite3.Connection, spans: Int64s, keys: Int64s) -> Bools:
        """Which keys were there before, in the store or earlier in this very call; from now on all
        of them are. spans: shape (n,); keys: shape (n, 2)."""
        self._catch_up(connection)
        known: Bools = np.zeros(len(keys), dtype=np.bool_)
        ascending = np.sort(spans)  # np.unique takes fifteen times as long for few values
        asked = ascending[np.flatnonzero(np.diff(ascending, prepend=NO_SPAN))].tolist()
        for span in asked:
            places = np.flatnonzero(spans == span)
            some = keys.take(places, axis=0)  # a tenth of what keys[places] takes
            order = in_order(some)
            places, ordered = places[order], some.take(order, axis=0)
            found = self._stored(connection, span, ordered) | copies(ordered)
            known[places] = found
            if not found.all():
                self._add(connection, span, ordered.compress(~found, axis=0))
        self._forget(sum(span in self._spans for span in asked))
        return known

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Takes in what was committed since, by this process or another."""
        for rows in _batches(connection.execute(RUNS_SINCE, (self._seen_id,))):
            self._seen_id, span, *_ = rows[-1]
            if span in self._spans:
                self._take_in(connection, self._spans[span], rows)

    def _segments(self, connection: sqlite3.Connection, span: int) -> dict[int, Segment]:
        segments = self._spans.get(span)
        if segments is None:
            segments = self._spans[span] = {}
            for rows in _batches(connection.execute(RUNS_OF, (span,))):
                self._take_in(connection, segments, rows)
        self._spans.move_to_end(span)
        return segments

    def _take_in(
        self, connection: sqlite3.Connection, segments: dict[int, Segment], rows: Sequence[Row]
    ) -> None:
        """rows: a run, or chunks of one segment."""
        row_id, span, number, first, _ = rows[0]
        segment = segments.setdefault(number, Segment())
        halves = np.concatenate([_halves(blob)[0] for *_, blob in rows])
        if first is None:
            segment.add_run(row_id, halves)
            return
        if not segment.closed:
            (keys,) = connection.execute(KEYS_OF, (span, number)).fetchone()
            segment.close(keys)
        if not segment.whole:
            segment.add(halves)

    def _stored(self, connection: sqlite3.Connection, span: int, keys: Int64s) -> Bools:
        found: Bools = np.zeros(len(keys), dtype=np.bool_)
        if span not in self._spans and len(keys) <= FEW:
            segments = [number for (number,) in connection.execute(SEGMENTS_OF, (span,))]
            if len(segments) > 1:  # otherwise hundreds of thousands would be read for these few
                return _on_disk(connection, span, segments, keys)
        probe = Probe(keys[:, 0])
        for number, segment in self._segments(connection, span).items():
            suspected = ~found if segment.words is None else probe.among(segment.words) & ~found
            suspects = np.flatnonzero(suspected)
            if not len(suspects):
                continue
            if segment.closed:
                found[suspects] = _in_chunks(connection, span, number, keys[suspects])
                continue
            for row_id, halves in segment.runs.items():
                at = np.searchsorted(halves, keys[suspects, 0])
                alike = suspects[halves[np.minimum(at, len(halves) - 1)] == keys[suspects, 0]]
                if len(alike):
                    (blob,) = connection.execute(RUN, (row_id,)).fetchone()
                    found[alike] |= _holds(blob, keys[alike])
        return found

    def _add(self, connection: sqlite3.Connection, span: int, keys: Int64s) -> None:
        number, count = connection.execute(LAST_SEGMENT, (span,)).fetchone() or (0, 0)
        if count >= self._segment_keys:
            _close(connection, span, number)
            number, count = number + 1, 0
        connection.execute(ADD_RUN, (span, number, None, _encoded(keys)))
        connection.execute(COUNT_KEYS, (span, number, count + len(keys)))

    def _forget(self, hot: int) -> None:
        """The spans that were asked for least recently, but for the last so many; of these, filters
        of closed segments: all of a segment's keys are looked up then, some milliseconds a put."""
        held = sum(one.bytes for segments in self._spans.values() for one in segments.values())
        while held > self._cache_bytes_max and len(self._spans) > hot:
            _, segments = self._spans.popitem(last=False)
            held -= sum(one.bytes for one in segments.values())
        for segments in self._spans.values():
            for segment in segments.values():
                if held > self._cache_bytes_max and segment.closed:
                    held -= segment.bytes
                    segment.words = None


def _close(connection: sqlite3.Connection, span: int, number: int) -> None:
    """Sorts a full segment's runs into chunks, where a key is found by reading one of them."""
    # Column by column, and nothing held longer than needed: a processor's memory peaks here.
    (keys,) = connection.execute(KEYS_OF, (span, number)).fetchone()
    first, second = np.empty((2, keys), dtype=np.int64)
    end = 0
    for (blob,) in connection.execute(OPEN_RUNS, (span, number)):
        run = _halves(blob)
        start, end = end, end + len(run[0])
        first[start:end], second[start:end] = run
    order = np.argsort(first)
    first.sort()
    connection.execute(DELETE_OPEN, (span, number))
    # Keys that are half alike stay in one chunk.
    starts = np.unique(np.searchsorted(first, first[::CHUNK_KEYS]))
    for start, end in pairwise([*starts.tolist(), len(first)]):
        chunk = first[start:end].tobytes() + second[order[start:end]].tobytes()
        connection.execute(ADD_RUN, (span, number, int(first[start]), chunk))


def _on_disk(
    connection: sqlite3.Connection, span: int, segments: Sequence[int], keys: Int64s
) -> Bools:
    """Which of the keys a span holds, whose segments are all closed but the last."""
    found: Bools = np.zeros(len(keys), dtype=np.bool_)
    for number in segments[:-1]:
        found |= _in_chunks(connection, span, number, keys)
    for (blob,) in connection.execute(OPEN_RUNS, (span, segments[-1])):
        found |= _holds(blob, keys)
    return found


def _in_chunks(connection: sqlite3.Connection, span: int, number: int, keys: Int64s) -> Bools:
    """Which of the keys a closed segment holds. They ascend, so each chunk is read once."""
    found: Bools = np.zeros(len(keys), dtype=np.bool_)
    start = 0
    while start < len(keys):  # ends: start grows
        end = start + 1
        row = connection.execute(CHUNK, (span, number, int(keys[start, 0]))).fetchone()
        if row is not None:
            last = _halves(row[0])[0][-1]
            end = max(end, int(np.searchsorted(keys[:, 0], last, side="right")))
            found[start:end] = _holds(row[0], keys[start:end])
        start = end
    return found


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Each run, and of chunks of one segment that follow each other some at a time."""
    for (*_, is_run), some in groupby(rows, lambda row: (row[1], row[2], row[3] is None)):
        while batch := list(islice(some, 1 if is_run else CHUNKS_AT_ONCE)):
            yield batch


def _encoded(keys: Int64s) -> bytes:
    return keys[:, 0].tobytes() + keys[:, 1].tobytes()


def _halves(blob: bytes) -> tuple[Int64s, Int64s]:
    both = np.frombuffer(blob, dtype=np.int64)
    return both[: len(both) // 2], both[len(both) // 2 :]


def _holds(blob: bytes, keys: Int64s) -> Bools:
    """Which of the keys a sorted run or chunk holds."""
    return held(*_halves(blob), keys)

"""text/csv with a header (RFC 4180): an event is a row's own bytes, without the end of its line.

The header row is the context of the rows. Empty lines are passed over; a byte order mark, which
spreadsheets write, is too.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

from eventstore.errors import Refused
from eventstore.event import FIELDS
from eventstore.formats.checks import check_count
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent
from eventstore.formats.json_body import block_of
from eventstore.formats.texts import time_of

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEADER_ABSENT = re.compile(r";\s*header\s*=\s*\"?absent", re.IGNORECASE)
FIELD = rb'(?:"[^"\0]*+(?:""[^"\0]*+)*+"|[^",\r\n\0]*+)'
ROW = re.compile(rb"(" + FIELD + rb"(?:," + FIELD + rb")*+)(?:\r?\n|\Z)")
EMPTY_ROWS = re.compile(rb"(?:\r?\n)++")
# The module's own bound, 128 KiB, is for the whole process; bodies are bounded anyway.
csv.field_size_limit(64 << 20)


def read(sent: Sent, limits: Limits) -> Events:
    """Each row, exactly as it was sent."""
    if HEADER_ABSENT.search(sent.headers.get("Content-Type", "")):
        raise _not_csv("header=absent: its columns have no names", "put a row of names first")
    rows = _rows(sent.body.removeprefix(BYTE_ORDER_MARK))
    header = next(rows, b"")
    events: list[bytes] = []
    for row in rows:
        check_count(len(events) + 1, limits)
        events.append(row)
    if not events:
        raise Refused(400, "empty", "there is no row in the body", "send a header and rows")
    _check(header, events)
    block = block_of(events)
    return Events(block.block, block.count, block.lengths, ((block.count, header),))


def fields(run: Run) -> list[Fields | str]:
    """By column, by the endpoint's own names."""
    rows = _values(run.events())
    columns = dict(zip(_names(run.context), zip(*rows, strict=True), strict=True))
    wanted = {what: columns.get(name) for what, name in {**FIELDS, **run.names}.items()}
    if (times := wanted["time"]) is not None:
        wanted["time"] = tuple(map(time_of, times))
    return list(
        map(Fields, *(repeat(None, run.count) if c is None else c for c in wanted.values()))
    )


def value(event: bytes, context: bytes) -> dict[str, Any]:
    """Column → text."""
    (row,) = _values([event])
    return dict(zip(_names(context), row, strict=True))


def _rows(body: bytes) -> Iterator[bytes]:
    """Rows that are not empty, as they stand in the body."""
    start, number = 0, 1
    while start < len(body):
        empty = EMPTY_ROWS.match(body, start)
        if empty:
            start, number = empty.end(), number + empty[0].count(b"\n")
            continue
        found = ROW.match(body, start)
        if found is None:
            raise _not_csv(
                f"row {number} has a quote that is not closed or not at a field's ends, a NUL, or a"
                " carriage return alone",
                'quote fields with such characters, and double the quotes in them: "a ""b"""',
            )
        yield found[1]
        start, number = found.end(), number + 1


def _check(header: bytes, events: list[bytes]) -> None:
    try:
        names = _names(header)
        widths = list(map(len, _values(events)))
    except UnicodeDecodeError as error:
        raise _not_csv(f"it is not UTF-8: {error}", "encode it as UTF-8") from None
    if len(set(names)) != len(names):
        raise _not_csv("two columns have the same name", "give each column a name of its own")
    for index, width in enumerate(widths):
        if width != len(names):
            raise _not_csv(
                f"event {index} has {width} fields, the header {len(names)}",
                "give every row a field for each column",
            )


def _names(header: bytes) -> list[str]:
    (names,) = _values([header])
    return names


def _values(rows: Iterable[bytes]) -> list[list[str]]:
    return list(csv.reader(map(bytes.decode, rows), strict=True))


def _not_csv(why: str, next_step: str) -> Refused:
    return Refused(400, "not_csv", f"the CSV cannot be read: {why}"[:300], next_step)


FORMAT = Format(read, stored_as="csv")
READER = Reader(fields, value)

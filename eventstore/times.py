"""When events happened: what they state themselves, and what is believed of it. Milliseconds, UTC.

Texts of the usual form, 2026-11-25T18:00:00.123Z, are read many at a time; of the few minutes that
most events share each is read once.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from eventstore.columnar import Texts

Int64s = npt.NDArray[np.int64]

UNSTATED = -(1 << 62)
# Numbers above this are milliseconds, below it seconds: as seconds it would be the year 5138.
SECONDS_MAX = 1e11
NUMBER_MAX = 1e15
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
TEXT_CHARS_MAX = 40
MANY = 64  # of fewer, one at a time is as fast
LEAST = np.frombuffer(b"0000-00-00T00:00:00.000Z", dtype=np.uint8)
SPAN = np.where(ord("0") == LEAST, 9, 0).astype(np.uint8)  # how far above it each place may be
PAIRS = (0, 2, 5, 8, 11, 14, 17, 20)  # two digits each: century, year … second, hundredths
MINUTE_CHARS = 16  # of a text: 2026-11-25T18:00
MINUTES_MAX = 6  # of more, each time is read for itself
# What follows a minute is one number, whose lowest byte is the first of it.
START_TEXT = b":00.000Z"
START = np.frombuffer(START_TEXT, dtype="<u8")[0]
HIGH = np.uint64(0x8080808080808080)
# What is more than each byte of START may be above it reaches the highest bit.
TO_HIGH = np.frombuffer(bytes(0x7F - most for most in (0, 5, 9, 0, 9, 9, 9, 0)), dtype="<u8")[0]
TEN, THOUSAND, LOWEST = np.uint64(10), np.uint64(1000), np.uint64(0xFF)
BYTE, FOUR_BYTES, SIX_BYTES = np.uint64(8), np.uint64(32), np.uint64(48)
DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def stated_ms(value: object) -> int | None:
    """The time that a value states; None when it states none.

    ISO 8601 text, or a number: seconds, or milliseconds above SECONDS_MAX.
    """
    if type(value) is str:
        return _text_ms(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -NUMBER_MAX < value < NUMBER_MAX:
        return None
    return round(value * 1000) if abs(value) < SECONDS_MAX else int(value)


def stated_times(values: Sequence[object]) -> Int64s:
    """`stated_ms` of each; UNSTATED for None."""
    if len(values) < MANY:
        return _one_by_one(values)
    try:
        text = "".join(values).encode("ascii")  # type: ignore[arg-type] # of other types: below
    except (TypeError, UnicodeEncodeError):
        return _one_by_one(values)
    if set(map(len, values)) != {len(LEAST)}:  # type: ignore[arg-type] # they are texts
        return _one_by_one(values)
    return _many(text, values.__getitem__)


def stated_agos(values: Sequence[float | None]) -> Int64s | None:
    """In milliseconds, UNSTATED for None; None when there is nothing else."""
    if not any(value is not None for value in values):
        return None
    return np.array([UNSTATED if one is None else round(one) for one in values], dtype=np.int64)


def times_in(texts: Texts) -> Int64s:
    """The same of texts."""
    if len(texts) < MANY or (texts.sizes() != len(LEAST)).any():
        return _one_by_one(texts.texts())
    return _many(texts.joined(), texts.text)


def iso_time(time_ms: int) -> str:
    """Unix milliseconds as RFC 3339 has them, in UTC: 2026-11-25T18:00:00.123Z."""
    when = EPOCH + time_ms * MILLISECOND
    return f"{when.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def event_times(
    stated: Int64s,
    received: Int64s,
    sent: Int64s,
    agos: Int64s | None,
    *,
    late_max_s: int,
    early_max_s: int,
) -> Int64s:
    """When events happened: their own time if it is believable. All shape (n,).

    Where the sender says when it sent the event, its clock's error is known and taken out:
    time + (received − sent). Without a time, how long before the sending it was (agos) counts from
    the receipt. A time that is missing, or outside received − late_max_s … received + early_max_s,
    is replaced by the time of receipt: a wrong clock must not open windows without bound.
    """
    times = np.where(sent == UNSTATED, stated, stated + (received - sent))
    known = stated != UNSTATED
    if agos is not None:
        ago = ~known & (agos != UNSTATED)
        times, known = np.where(ago, received - agos, times), known | ago
    believed = known & (times >= received - late_max_s * 1000)
    believed &= times <= received + early_max_s * 1000
    found: Int64s = np.where(believed, times, received)
    return found


def _one_by_one(values: Sequence[object]) -> Int64s:
    stated = [UNSTATED if (one := stated_ms(value)) is None else one for value in values]
    return np.array(stated, dtype=np.int64)


def _many(block: bytes, value: Callable[[int], object]) -> Int64s:
    """Texts as long as those of the usual form, one after another; and each by its place."""
    rows = np.frombuffer(block, dtype=np.uint8).reshape(-1, len(LEAST))
    times, usual = _times_by_minute(rows) or _usual_times(rows)
    odd = np.flatnonzero(~usual)
    times[odd] = _one_by_one(list(map(value, odd.tolist())))
    return times


def _times_by_minute(rows: npt.NDArray[np.uint8]) -> tuple[Int64s, npt.NDArray[np.bool_]] | None:
    """The same as _usual_times; None when there are more than a few minutes among them."""
    first, second, rest = rows.view("<u8").T
    digits = rest ^ START
    usual = ((digits + TO_HIGH) | digits) & HIGH == 0
    pairs = digits * TEN + (digits >> BYTE)  # with the digit that follows, wherever one does
    seconds, hundredths = pairs >> BYTE & LOWEST, pairs >> FOUR_BYTES & LOWEST
    times = (seconds * THOUSAND + hundredths * TEN + (digits >> SIX_BYTES)).view(np.int64)
    left = np.ones(len(rows), dtype=np.bool_)
    for _ in range(MINUTES_MAX):
        place = int(left.argmax())
        if not left[place]:
            return times, usual
        same = (first == first[place]) & (second == second[place])
        minute = _minute_ms(rows[place, :MINUTE_CHARS].tobytes())
        if minute is None:
            usual &= ~same
        else:
            times += minute * same
        left &= ~same
    return None


@lru_cache(maxsize=4096)
def _minute_ms(minute: bytes) -> int | None:
    """When it begins; None when it hasn't the usual form."""
    times, usual = _usual_times(np.frombuffer(minute + START_TEXT, np.uint8).reshape(1, -1))
    return int(times[0]) if usual[0] else None


def _usual_times(rows: npt.NDArray[np.uint8]) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    """Texts of the usual form, shape (n, 24) → their times, and which of them are such texts."""
    digits = rows - LEAST  # what is below it becomes large
    wrong = (digits > SPAN).view(np.uint64)  # eight places at a time
    usual = np.bitwise_or.reduce(wrong, axis=1) == 0
    row = digits.reshape(-1)
    pairs = row[:-1] * np.uint8(10) + row[1:]  # with the digit that follows, wherever one does
    century, year, month, day, hour, minute, second, hundredths = (
        pairs[place :: len(LEAST)].astype(np.int32) for place in PAIRS
    )
    year += century * 100
    millis = hundredths * 10 + row[22 :: len(LEAST)]
    usual &= (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    month = np.where(usual, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    usual &= (year > 0) & (day >= 1) & (day <= DAYS[month - 1] + (leap & (month == 2)))
    # Days since 1970 of a proleptic Gregorian date, with years that begin in March.
    march = month <= 2
    years, months = year - march, month + 12 * march - 3
    days = 365 * years + years // 4 - years // 100 + years // 400
    days += (153 * months + 2) // 5 + day - 1 - 719468
    days = days.astype(np.int64)
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis, usual


@lru_cache(maxsize=4096)
def _text_ms(text: str) -> int | None:
    if len(text) > TEXT_CHARS_MAX:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND

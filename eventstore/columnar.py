"""A text for each of many events, in two ways: as places in one block of bytes, where a step on all
of them costs little; and coded.

Most values repeat, so a coded column has its distinct values, and for each event which of them it
has. What works on the distinct values is cheap, whatever it does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Text = TypeVar("Text", str, bytes)
Codes = npt.NDArray[np.uint32]
Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
Rows = npt.NDArray[np.uint64]  # shape (n, words)
Appearing = tuple[list[int], Codes]  # which values some events have, and of each event which one
MANY = 512  # of fewer, one at a time is as fast
PADDING = b"\0"
WORD_BYTES = 8
WIDTH_MAX = 128  # of a row, in bytes
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads all bits upwards
FACTORS = np.cumprod(np.full(WIDTH_MAX // WORD_BYTES, MIX))  # of a row's words
HALF = np.uint64(29)  # so many bits further down than they are, high bits are spread too


@dataclass(frozen=True, slots=True)
class Coded:
    """values[codes[n]] is what event n has."""

    values: list[str]
    codes: Codes

    def texts(self) -> list[str]:
        """A value for each event."""
        return [self.values[code] for code in self.codes.tolist()]

    def mapped(self, function: Callable[[str], str]) -> "Coded":
        """Another column with the same codes."""
        return Coded([function(value) for value in self.values], self.codes)

    def merged(self, texts: Iterable[str]) -> "Coded":
        """A text for each value instead; for values that become the same, codes of their own."""
        inner = coded(list(texts))
        return Coded(inner.values, inner.codes.take(self.codes))

    def among(self, places: Sequence[int], codes: Codes) -> "Coded":
        """Of some events: the values in these places, and which of them each event has."""
        return Coded([self.values[place] for place in places], codes)


def coded(texts: Sequence[str]) -> Coded:
    """A text for each event, coded in the order of their first appearance."""
    return Coded(*_distinct(texts))


def _distinct(texts: Sequence[Text]) -> tuple[list[Text], Codes]:
    order: defaultdict[Text, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(order.__getitem__, texts), dtype=np.uint32, count=len(texts))
    return list(order), codes


def appearing(codes: Codes, lengths: Sequence[int], values: Sequence[int]) -> list[Appearing]:
    """Codes of several sections, one after another: how many events each has, and how many values.
    Of each section: which of its values appear, in the order in which they first do, and the codes
    of that order. All sections at once: for a short one alone this costs as much as for a long."""
    bases = np.cumsum([0, *values])
    numbers = codes + np.repeat(bases[:-1], lengths)  # one for each value of each section
    places = np.arange(len(numbers), dtype=np.int32)
    first = np.full(bases[-1], len(numbers), dtype=np.int32)
    first[numbers[::-1]] = places[::-1]  # of several the one that is written last counts
    first.sort()
    firsts = first[: np.searchsorted(first, len(numbers))]
    found = numbers[firsts]
    ends = np.cumsum(lengths)
    found_ends = np.searchsorted(firsts, ends)
    counts = np.diff(found_ends, prepend=0)
    order = np.empty(bases[-1], dtype=np.uint32)
    order[found] = np.arange(len(found)) - np.repeat(found_ends - counts, counts)
    renumbered = order.take(numbers)
    appear = (found - np.repeat(bases[:-1], counts)).tolist()
    return [
        (appear[found_end - count : found_end], renumbered[end - length : end])
        for found_end, count, end, length in zip(
            found_ends.tolist(), counts.tolist(), ends.tolist(), lengths, strict=True
        )
    ]


@dataclass(frozen=True)
class Texts:
    """Event n has block[starts[n]:ends[n]], UTF-8. They stand in their order, none in another."""

    block: bytes
    starts: Int64s
    ends: Int64s

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """One after another."""
        whole = "".join(texts)
        block = encoded(whole)
        alike = len(block) == len(whole)
        sizes = map(len, texts if alike else map(encoded, texts))
        ends = np.cumsum(np.fromiter(sizes, dtype=np.int64, count=len(texts)))
        return cls(block, np.concatenate([np.zeros(1, dtype=np.int64), ends])[:-1], ends)

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def array(self) -> Bytes:
        """The block."""
        return np.frombuffer(self.block, dtype=np.uint8)

    def sizes(self) -> Int64s:
        """In bytes."""
        return self.ends - self.starts

    def joined(self) -> bytes:
        """All of them, one after another."""
        if np.array_equal(self.starts[1:], self.ends[:-1]):
            return self.block[self.starts[0] : self.ends[-1]] if len(self) else b""
        return b"".join(self._sliced())

    def pieces(self) -> list[bytes]:
        """Each event's own bytes."""
        rows = self._rows()
        return self._sliced() if rows is None else _texts_in(rows)

    def distinct(self) -> tuple[list[bytes], Codes]:
        """The distinct ones, in any order, and which of them each event has."""
        rows = self._rows()
        found = None if rows is None else _alike(rows)
        if rows is None or found is None:
            return _distinct(self._sliced())
        places, codes = found
        return _texts_in(rows.take(places, axis=0)), codes

    def _rows(self) -> Rows | None:
        """Each text as a row of words, all as wide, with zeros behind it. None: they are few, one
        of them is too long, or one has a zero itself; they are sliced one after another."""
        if len(self) < MANY or PADDING in self.block:
            return None
        sizes = self.sizes()
        width = max(1, -(-int(sizes.max()) // WORD_BYTES)) * WORD_BYTES
        if width > WIDTH_MAX:
            return None
        block = np.frombuffer(self.block + bytes(width), dtype=np.uint8)
        every = np.ndarray(len(self.block) + 1, f"V{width}", block, strides=(1,))
        rows = _words(every[self.starts])
        rows &= _words(_first_bytes(width).take(sizes))
        return rows

    def _sliced(self) -> list[bytes]:
        block, places = self.block, zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [block[start:end] for start, end in places]

    def text(self, place: int) -> str:
        """One event's."""
        return decoded(self.block[self.starts[place] : self.ends[place]])

    def texts(self) -> list[str]:
        """Each event's text."""
        if not self.block.isascii():
            return list(map(decoded, self._sliced()))
        text = self.block.decode("ascii")
        places = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [text[start:end] for start, end in places]

    def first(self, byte: int) -> Int64s:
        """Of each text the place where this ASCII character first stands; without it, its end."""
        if byte not in self.block:
            return self.ends
        places = np.flatnonzero(self.array == byte)
        following = np.append(places, len(self.block))[np.searchsorted(places, self.starts)]
        found: Int64s = np.minimum(following, self.ends)
        return found


def encoded(text: str) -> bytes:
    """UTF-8, whatever half of a surrogate pair some client may have sent."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: bytes) -> str:
    """The text again."""
    return data.decode("utf-8", "surrogatepass")


def _alike(rows: Rows) -> tuple[Places, Codes] | None:
    """Where each distinct row stands, and of each row which of these it is. They are hashed, and
    those of one hash compared. None: two that differ have one hash."""
    hashes = (rows ^ (rows >> HALF)) @ FACTORS[: rows.shape[1]]
    order = np.argsort(hashes)
    ordered = hashes[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    codes = np.empty(len(rows), dtype=np.uint32)
    codes[order] = np.cumsum(begins) - 1
    places = order[begins]
    are_alike = np.array_equal(rows.take(places.take(codes), axis=0), rows)
    return (places, codes) if are_alike else None


def _texts_in(rows: Rows) -> list[bytes]:
    """Each without the zeros behind it."""
    found: list[bytes] = rows.view(f"S{rows.shape[1] * WORD_BYTES}").ravel().tolist()
    return found


@lru_cache
def _first_bytes(width: int) -> npt.NDArray[np.void]:
    """At n: a row whose first n bytes are kept."""
    kept = np.tri(width + 1, width, -1, dtype=np.uint8) * np.uint8(255)
    return kept.view(f"V{width}").ravel()


def _words(rows: npt.NDArray[np.void]) -> Rows:
    return rows.view("<u8").reshape(len(rows), -1)

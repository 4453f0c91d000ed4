"""What a processor remembers of a segment of client keys: a Bloom filter, and while the segment is
open also the first halves of its keys.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eventstore.backends.sorted_keys import Bools, Int64s

Words = npt.NDArray[np.uint64]

KEYS_A_WORD = 4  # 16 bits a key: one in a thousand is suspected wrongly
LINE_WORDS = 8  # what a cache moves at once
IN_LINE = np.uint64(LINE_WORDS - 1)
WORDS_MIN = 1 << 6
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads all bits upwards


class Probe:
    """First halves of keys as a filter wants them: their highest bits say which line of words, and
    they have three bits in each of two of these. Keys in order look at line after line, not all
    over a filter that is too large for the nearest cache."""

    def __init__(self, halves: Int64s) -> None:
        self._first = halves.view(np.uint64)
        self._word = self._first >> np.uint64(18) & IN_LINE
        self._bits = _three_bits(self._first)

    def among(self, words: Words) -> Bools:
        """Which of the keys may be in the filter."""
        lines = self._lines(words)
        found: Bools = (words[lines | self._word] & self._bits) == self._bits
        maybe = np.flatnonzero(found)  # few: the second word is looked at for these only
        word, bits = _second(self._first[maybe])
        found[maybe] = (words[lines[maybe] | word] & bits) == bits
        return found

    def add_to(self, words: Words) -> None:
        lines = self._lines(words)
        for word, bits in ((self._word, self._bits), _second(self._first)):
            np.bitwise_or.at(words, lines | word, bits)

    def _lines(self, words: Words) -> Words:
        """Where each key's line begins."""
        lines: Words = self._first >> np.uint64(65 - len(words).bit_length()) & ~IN_LINE
        return lines


def _second(first: Words) -> tuple[Words, Words]:
    """Which word of its line a key's second one is, and its bits there."""
    mixed = first * MIX
    return mixed >> np.uint64(61), _three_bits(mixed >> np.uint64(40))


def _three_bits(halves: Words) -> Words:
    one, mask = np.uint64(1), np.uint64(63)
    bits: Words = one << (halves & mask)
    for shift in (6, 12):
        bits |= one << (halves >> np.uint64(shift) & mask)
    return bits


def _no_words() -> Words:
    return np.zeros(WORDS_MIN, dtype=np.uint64)


@dataclass
class Segment:
    """words: the filter; None: too large to keep, every key is a suspect. runs: row id → sorted
    first halves of its keys, while the segment is open. whole: it is closed, and the filter had all
    of its keys by then."""

    words: Words | None = field(default_factory=_no_words)
    count: int = 0
    runs: dict[int, Int64s] = field(default_factory=dict)
    closed: bool = False
    whole: bool = False

    def add_run(self, row_id: int, halves: Int64s) -> None:
        self.runs[row_id] = halves
        self._grow_for(len(halves))
        self.add(halves)

    def close(self, keys: int) -> None:
        """Chunks replace the runs, of which this process may not have seen all."""
        self.closed, self.runs, self.whole = True, {}, self.count == keys
        if not self.whole:
            self.count, self.words = 0, _no_words()
            self._grow_for(keys)
        # Half as large it has, in each line, what were two.
        while self.words is not None and keys <= KEYS_A_WORD * (half := len(self.words) // 2):
            if half < LINE_WORDS:
                break
            pairs = self.words.reshape(-1, 2, LINE_WORDS)
            self.words = (pairs[:, 0] | pairs[:, 1]).reshape(-1)

    def add(self, halves: Int64s) -> None:
        self.count += len(halves)
        if self.words is not None:
            Probe(halves).add_to(self.words)

    def _grow_for(self, more: int) -> None:
        if self.words is None or self.count + more <= KEYS_A_WORD * len(self.words):
            return
        size = len(self.words)
        while self.count + more > KEYS_A_WORD * size:
            size *= 4
        self.words = np.zeros(size, dtype=np.uint64)
        for halves in self.runs.values():
            Probe(halves).add_to(self.words)

    @property
    def bytes(self) -> int:
        words = 0 if self.words is None else self.words.nbytes
        return words + sum(run.nbytes for run in self.runs.values())

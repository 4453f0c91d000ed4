"""Keys of 128 bits in sorted runs: which of many are there, at once. keys: shape (n, 2)."""

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MERGED_BELOW = 4  # a run has less than a fourth of the one before it


class SortedKeys:
    """A set of keys in memory, 16 bytes each. Runs are merged so that few have to be searched."""

    def __init__(self) -> None:
        self._runs: list[tuple[Int64s, Int64s]] = []  # both halves, in the order of the first

    def __len__(self) -> int:
        return sum(len(first) for first, _ in self._runs)

    def claim(self, keys: Int64s) -> Bools:
        """Which were there before, or earlier among these; from now on all of them are."""
        order = in_order(keys)
        ordered = keys.take(order, axis=0)  # a tenth of what keys[order] takes
        found = copies(ordered)
        for first, second in self._runs:
            found |= held(first, second, ordered)
        self._add(ordered.compress(~found, axis=0))
        known = np.empty_like(found)
        known[order] = found
        return known

    def _add(self, keys: Int64s) -> None:
        if not len(keys):
            return
        first, second = keys[:, 0].copy(), keys[:, 1].copy()
        while self._runs and len(self._runs[-1][0]) < MERGED_BELOW * len(first):
            before, second_before = self._runs.pop()
            first = np.concatenate((before, first))
            second = np.concatenate((second_before, second))
            order = np.argsort(first, kind="stable")  # what is in order for long is merged by it
            first, second = first[order], second[order]
        self._runs.append((first, second))


def in_order(keys: Int64s) -> npt.NDArray[np.intp]:
    """Sorts keys so that copies stand together, the first one first."""
    order = np.argsort(keys[:, 0])
    ordered = keys[order, 0]
    same = ordered[1:] == ordered[:-1]
    if same.any():  # few: to sort all of them by both halves costs five times as much
        alike = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        some = np.sort(order[alike])
        order[alike] = some[np.lexsort((keys[some, 1], keys[some, 0]))]
    return order


def copies(ordered: Int64s) -> Bools:
    """Which are the same as the one before."""
    first, second = ordered[:, 0], ordered[:, 1]
    found: Bools = np.zeros(len(ordered), dtype=np.bool_)
    found[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    return found


def held(first: Int64s, second: Int64s, keys: Int64s) -> Bools:
    """Which of the keys are among these, whose first halves ascend."""
    found: Bools = np.zeros(len(keys), dtype=np.bool_)
    if not len(first):
        return found
    at = np.searchsorted(first, keys[:, 0])
    alike = np.flatnonzero(first[np.minimum(at, len(first) - 1)] == keys[:, 0])
    at = at[alike]
    while len(alike):  # as often as there are keys that are half alike: once
        found[alike] |= second[at] == keys[alike, 1]
        at = at + 1
        more = at < len(first)
        at, alike = at[more], alike[more]
        same = first[at] == keys[alike, 0]
        at, alike = at[same], alike[same]
    return found

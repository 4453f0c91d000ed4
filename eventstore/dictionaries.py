"""The zstd dictionaries that packs are compressed with, by the ids that their frames name.

A dictionary never changes, and its id is made of what it holds: once found, it is kept.
"""

from collections.abc import Callable

import zstandard

from eventstore.errors import DictionaryMissing

KEPT = 64  # of these and no more: then they are asked for again

Dictionary = zstandard.ZstdCompressionDict


class Dictionaries:
    """find: what an id's dictionary holds, None when there is none; it may raise what the store
    that is asked raises."""

    def __init__(self, find: Callable[[int], bytes | None]) -> None:
        self._find = find
        self._known: dict[int, Dictionary] = {}

    def get(self, dictionary_id: int) -> Dictionary:
        """Raises DictionaryMissing."""
        known = self._known.get(dictionary_id)
        if known is None:
            data = self._find(dictionary_id)
            if data is None:
                raise DictionaryMissing(f"dictionary {dictionary_id} is not in the store")
            if len(self._known) >= KEPT:
                self._known.clear()
            known = self._known[dictionary_id] = Dictionary(data)
        return known


NO_DICTIONARIES = Dictionaries(lambda _: None)

"""Which dictionary a tenant's packs are compressed with: the one that the settings name, once it
was seen in the store, where all find it who will read these packs. Until then none; events are
taken all the same.
"""

import logging
import threading
from collections.abc import Callable, Mapping

from eventstore import packing
from eventstore.dictionaries import Dictionaries, Dictionary
from eventstore.errors import DictionaryMissing, EngineUnavailable, SettingsError
from eventstore.ports import EventStore

LOOK_S = 5.0

log = logging.getLogger("eventstore.collector")


class TenantDictionaries:
    """wanted: tenant → id. of() may be asked by any thread; everything else is the loop's."""

    def __init__(self, wanted: Mapping[str, int], open_store: Callable[[], EventStore]) -> None:
        self._wanted = dict(wanted)
        self._open_store = open_store
        self._store: EventStore | None = None
        self._seen: dict[str, Dictionary] = {}
        self._error = ""
        self._opening = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dictionaries", daemon=True)
        self.all = Dictionaries(self._find)

    def start(self) -> None:
        """Looks once, and goes on looking for what it hasn't found. Blocks for an engine's
        patience."""
        if self._wanted and not self._look():
            self._thread.start()

    def of(self, tenant: str) -> Dictionary | None:
        return self._seen.get(tenant)

    def notice(self) -> str:
        """What works, but not as it should; "" when all is well."""
        return self._error and f"packs are larger than need be: {self._error}"

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._store is not None:
            self._store.close()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            if self._look():
                return

    def _look(self) -> bool:
        """Whether all of them are there."""
        error = ""
        for tenant, dictionary_id in self._wanted.items():
            if tenant in self._seen:
                continue
            try:
                found = self.all.get(dictionary_id)
                found.precompute_compress(level=packing.ZSTD_LEVEL)
                self._seen[tenant] = found
            except (DictionaryMissing, SettingsError) as why:
                error = f"tenant {tenant}: {why}"
            except EngineUnavailable as why:
                error = str(why)
                break  # the others' would be waited for as long
        if error and error != self._error:
            log.error("packs are compressed without a dictionary: %s", error)
        self._error = error
        return not error

    def _find(self, dictionary_id: int) -> bytes | None:
        with self._opening:
            if self._store is None:
                self._store = self._open_store()
        return self._store.dictionary(dictionary_id)

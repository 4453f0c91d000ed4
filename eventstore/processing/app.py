"""The processor's role: one working thread beside the health paths."""

import time
from collections.abc import Mapping

from eventstore.ledger import ACCEPTED, FATES, MINUTE_MS, TAKEN, by_hop, lost
from eventstore.metrics import Counter
from eventstore.ports import EventStore, Queue
from eventstore.processing.processor import Processor
from eventstore.settings import Settings
from eventstore.worker import Worker

LEDGER_MINUTES = 60


class ProcessorRole(Worker):
    """Moves packs from the queue into the store."""

    def __init__(
        self, settings: Settings, queue: Queue, store: EventStore, *, node: str, release: str
    ) -> None:
        self._queue = queue
        self._store = store
        self._processor = Processor(queue, store, settings, node=node, release=release)
        super().__init__("processor", self._processor.run, self._processor.stop)

    def unready(self) -> str | None:
        return super().unready() or self._processor.engine_error or None

    def counters(self) -> list[Counter]:
        return self._processor.counters

    def gauges(self) -> Mapping[str, float]:
        return {**self._queue.depth().gauges(), **self._ledger()}

    def _ledger(self) -> dict[str, float]:
        """Of the packs accepted in the last hour, where the queue remembers them. The queue first:
        see ledger.lost."""
        since = time.time_ns() // 1_000_000 // MINUTE_MS - LEDGER_MINUTES
        remembered = self._queue.ledger(since)
        if remembered is None:
            return {}
        queue, store = remembered.entries, self._store.ledger(since).entries
        hops = {**dict.fromkeys((ACCEPTED, TAKEN, *FATES), 0), **by_hop(queue), **by_hop(store)}
        gauges: dict[str, float] = {f"ev_ledger_{hop}_events": n for hop, n in hops.items()}
        gauges["ev_ledger_in_flight_events"] = hops[ACCEPTED] - hops[TAKEN]
        gauges["ev_ledger_lost_events"] = lost(queue, store)
        return gauges

    def close_engines(self) -> None:
        self._processor.close()
        self._queue.close()
        self._store.close()

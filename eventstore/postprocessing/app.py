"""The post-processor's role: one working thread beside the health paths."""

from collections.abc import Mapping

from eventstore.metrics import Counter
from eventstore.ports import Aggregates, EventStore
from eventstore.postprocessing.postprocessor import Postprocessor
from eventstore.settings import Settings
from eventstore.worker import Worker


class PostprocessorRole(Worker):
    """Publishes windows from the store's partials."""

    def __init__(
        self,
        settings: Settings,
        store: EventStore,
        aggregates: Aggregates,
        *,
        node: str,
        release: str,
    ) -> None:
        self._store = store
        self._postprocessor = Postprocessor(store, aggregates, settings, node=node, release=release)
        super().__init__("postprocessor", self._postprocessor.run, self._postprocessor.stop)

    def unready(self) -> str | None:
        return super().unready() or self._postprocessor.engine_error or None

    def counters(self) -> list[Counter]:
        return self._postprocessor.counters

    def gauges(self) -> Mapping[str, float]:
        return {"ev_windows_changed": len(self._store.changed_windows(1000))}

    def close_engines(self) -> None:
        self._store.close()

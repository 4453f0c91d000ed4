"""The post-processor: every publish_s, fold each changed window and publish its next generation.

Late data changes a window again, and so makes a new generation of it. Several post-processors may
run at once: a generation number is published once, and the one that comes second looks again.
"""

import logging
import threading
import time

from eventstore.errors import EngineUnavailable
from eventstore.metrics import Counter
from eventstore.ports import Aggregates, EventStore, Generation
from eventstore.postprocessing import parquet
from eventstore.settings import Settings

log = logging.getLogger("eventstore.postprocessor")
WINDOWS_A_STEP = 1000
ENGINE_PAUSE_S = 0.5
WINDOWS_KEPT = 1000  # whose last generation is known, as this one published it
CONTESTS_MAX = 20  # lost races for one window before it is left for the next step
# Each generation of a window has a later version, and two are kept at least: before a window's
# fourth version its first generation is there still, or another is that has all of it.
FIRST_VERSIONS = 3


class Postprocessor:
    """step() publishes what has changed; run() does it until it is told to stop."""

    def __init__(
        self,
        store: EventStore,
        aggregates: Aggregates,
        settings: Settings,
        *,
        node: str = "",
        release: str = "",
    ) -> None:
        self._node = node
        self._release = release
        self._store = store
        self._aggregates = aggregates
        self._settings = settings
        self._stopping = threading.Event()
        self._last: dict[int, Generation] = {}
        self.engine_error = ""
        self.published = Counter("ev_generations_published_total", "Window generations published.")
        self.contested = Counter("ev_generations_contested_total", "Publications lost to another.")

    @property
    def counters(self) -> list[Counter]:
        return [self.published, self.contested]

    def stop(self) -> None:
        """From any thread: publish the window at hand and return from run()."""
        self._stopping.set()

    def run(self) -> None:
        """Until stop(); survives an engine that is unavailable for a while."""
        while not self._stopping.is_set():
            try:
                self.step()
                self.engine_error = ""
                pause_s = self._settings.publish_s
            except EngineUnavailable as error:
                log.error("cannot go on: %s", error)
                self.engine_error = str(error)
                pause_s = ENGINE_PAUSE_S
            self._stopping.wait(pause_s)

    def step(self) -> int:
        """Publishes every changed window; how many there were."""
        changed = self._store.changed_windows(WINDOWS_A_STEP)
        for window_start_s in changed:
            if self._stopping.is_set():
                break
            self._publish(window_start_s)
        return len(changed)

    def _publish(self, window_start_s: int) -> None:
        for contest in range(CONTESTS_MAX):
            partials = self._store.partials(window_start_s)
            latest = self._last.pop(window_start_s, None)
            # To ask costs as much as to publish, which tells too who is not the first or the last.
            if latest is None and (contest or partials.version > FIRST_VERSIONS):
                latest = self._aggregates.latest(window_start_s)
            if latest is None or latest.version < partials.version:
                generation = Generation(
                    window_start_s=window_start_s,
                    window_s=self._settings.window_s,
                    generation=latest.generation + 1 if latest else 1,
                    version=partials.version,
                    packs=partials.packs,
                    events=partials.counts.total(),
                    file="",
                    sha256="",
                    published_at_ms=time.time_ns() // 1_000_000,
                    node=self._node,
                    release=self._release,
                )
                table = parquet.encode(partials.counts, self._settings.window_s)
                if not self._aggregates.publish(generation, table):
                    self.contested.add()
                    continue
                self.published.add()
                self._keep(generation)
            self._store.mark_published(window_start_s, partials.version)
            return

    def _keep(self, generation: Generation) -> None:
        if len(self._last) >= WINDOWS_KEPT:
            self._last.clear()
        self._last[generation.window_start_s] = generation

"""What a collector answers to `GET /receipt/<id>`."""

import threading
import time
from contextlib import ExitStack
from typing import Any

from eventstore import engines
from eventstore.event import parse_id
from eventstore.query.trace import Tracer, refuse_impossible
from eventstore.settings import Settings


class Receipts:
    """The engines are opened at the first question: a collector takes events whether or not there
    is a store that it can ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tracer: Tracer | None = None
        self._opened = ExitStack()
        self._opening = threading.Lock()

    def __call__(self, text: str) -> dict[str, Any] | None:
        """None when nothing is known of it yet; raises ValueError when the text is no id,
        ImpossibleId, EngineUnavailable."""
        pack_id, index = parse_id(text)
        refuse_impossible(pack_id, time.time_ns() // 1_000_000)
        trace = self._open().trace(pack_id, index)
        return trace.public().to_json() if trace else None

    def close(self) -> None:
        """Lets go of the engines."""
        self._opened.close()

    def _open(self) -> Tracer:
        with self._opening:
            if self._tracer is None:
                with ExitStack() as opened:
                    queue = engines.open_queue(self._settings)
                    opened.callback(queue.close)
                    store = engines.open_store(self._settings)
                    opened.callback(store.close)
                    aggregates = engines.open_aggregates(self._settings)
                    self._tracer = Tracer(queue, store, aggregates)
                    self._opened = opened.pop_all()
            return self._tracer

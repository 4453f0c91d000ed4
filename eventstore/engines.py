"""Which engine a data URL means. Today: file:///folder, the embedded one.

queue.sqlite · store.sqlite · aggregates/
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from eventstore.backends.embedded.aggregates import EmbeddedAggregates
from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.backends.embedded.store import EmbeddedStore
from eventstore.errors import SettingsError
from eventstore.ports import Aggregates, EventStore, Queue
from eventstore.settings import Settings


def open_queue(settings: Settings) -> Queue:
    """Makes it when it is not there; raises EngineUnavailable."""
    return EmbeddedQueue(
        _folder(settings.data) / "queue.sqlite",
        packs_max=settings.queue_packs_max,
        bytes_max=settings.queue_bytes_max,
        busy_s=settings.commit_s,
    )


def open_store(settings: Settings) -> EventStore:
    """Makes it when it is not there; raises EngineUnavailable."""
    return EmbeddedStore(_folder(settings.data) / "store.sqlite", busy_s=settings.commit_s)


def open_aggregates(settings: Settings) -> Aggregates:
    """Makes it when it is not there; raises EngineUnavailable."""
    return EmbeddedAggregates(
        _folder(settings.data) / "aggregates", generations_kept=settings.generations_kept
    )


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(f"data: {url!r}: the engine here is file:///<folder>")
    return Path(unquote(parts.path))

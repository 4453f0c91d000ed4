"""Which engines the settings mean: the embedded ones of `data`, or others by URLs of their own.

file:///folder: queue.sqlite · store.sqlite · aggregates/
sqs://queue · dynamodb://table · s3://bucket/prefix
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from eventstore.backends.aws.consumed import METER
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.embedded.aggregates import EmbeddedAggregates
from eventstore.backends.embedded.objects import EmbeddedObjects
from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.backends.embedded.store import EmbeddedStore
from eventstore.errors import SettingsError
from eventstore.metrics import Counter
from eventstore.ports import Aggregates, EventStore, Objects, Queue
from eventstore.settings import ENGINES, Settings

if TYPE_CHECKING:
    from eventstore.backends.aws.groups import Groups
    from eventstore.backends.aws.segments import Segments
    from eventstore.backends.aws.sweep import Sweep

TTL_DAYS_MAX = 3660
CLAIMS_DAYS = 15  # SQS keeps their messages for 14
CREATE_S = 120  # AWS makes a table in some seconds
OPTIONS = {"store": ("ttl_days",)}  # of URLs, besides region and endpoint


def open_queue(settings: Settings) -> Queue:
    """Raises EngineUnavailable, SettingsError. The embedded one is made when it is not there."""
    if settings.queue:
        return _sqs(settings)
    return EmbeddedQueue(
        _folder(settings.data) / "queue.sqlite",
        packs_max=settings.queue_packs_max,
        bytes_max=settings.queue_bytes_max,
        busy_s=settings.commit_s,
    )


def open_store(settings: Settings) -> EventStore:
    """Raises EngineUnavailable, SettingsError. The embedded one is made when it is not there."""
    if settings.store:
        return _dynamodb(settings)
    return EmbeddedStore(_folder(settings.data) / "store.sqlite", busy_s=settings.commit_s)


def open_aggregates(settings: Settings) -> Aggregates:
    """Raises EngineUnavailable, SettingsError. The embedded one is made when it is not there."""
    if settings.aggregates:
        return _s3(settings)
    return EmbeddedAggregates(
        _folder(settings.data) / "aggregates", generations_kept=settings.generations_kept
    )


def open_terms(settings: Settings) -> Objects:
    """Where autoscalers write what they decide. Raises EngineUnavailable, SettingsError."""
    if settings.scaling_state.startswith("s3://"):
        with _needed_by("scaling_state", settings.scaling_state):
            from eventstore.backends.aws.bucket import Bucket
        return Bucket(Place.of(settings.scaling_state, "s3"), Retries(settings.commit_s))
    folder = _folder(settings.scaling_state or settings.data)
    return EmbeddedObjects(folder if settings.scaling_state else folder / "autoscaler")


def open_groups(settings: Settings) -> "Groups | None":
    """The Auto Scaling groups that the settings name, if they do. Raises SettingsError."""
    if not settings.scaling_groups:
        return None
    with _needed_by("scaling_groups", next(iter(settings.scaling_groups.values()))):
        from eventstore.backends.aws.groups import Groups
    from eventstore.backends.aws.retries import Retries

    return Groups(settings.scaling_groups, Retries(settings.commit_s))


def counters() -> list[Counter]:
    """What this process has consumed of engines that bill it."""
    return METER.counters()


def creations(
    settings: Settings, *, warm_writes: int = 0, warm_reads: int = 0
) -> dict[str, Callable[[], None]]:
    """URL → what makes the queue, table or bucket there, where it is missing. warm_writes,
    warm_reads: units a second that the table takes at once."""
    urls = {name: getattr(settings, name) for name in ENGINES if getattr(settings, name)}
    if not urls:
        return {}
    with _needed_by(*next(iter(urls.items()))):
        from eventstore.backends.aws import create
    makers: dict[str, Callable[[Place, Retries], None]] = {
        "queue": create.create_queue,
        "store": partial(create.create_table, warm_writes=warm_writes, warm_reads=warm_reads),
        "segments": partial(create.create_bucket, expires_days=_segments_days(settings)),
        "aggregates": create.create_bucket,
        "claims": partial(create.create_bucket, expires_days=CLAIMS_DAYS),
    }
    retries = Retries(CREATE_S)
    return {
        url: partial(makers[name], _place(settings, name), retries) for name, url in urls.items()
    }


def open_segments(settings: Settings) -> "Segments":
    """The store's own. Raises EngineUnavailable, SettingsError."""
    with _needed_by("segments", settings.segments):
        from eventstore.backends.aws.bucket import Bucket
        from eventstore.backends.aws.segments import Segments
    return Segments(Bucket(_place(settings, "segments"), Retries(settings.commit_s)))


def open_sweep(settings: Settings) -> "Sweep":
    """Of the store's segments. Raises EngineUnavailable, SettingsError."""
    if not settings.segments:
        raise SettingsError("segments: the settings name no bucket of segments to be swept")
    with _needed_by("segments", settings.segments):
        from eventstore.backends.aws.begun import Begun
        from eventstore.backends.aws.sweep import Sweep
        from eventstore.backends.aws.table import Table
    place = _place(settings, "store")
    table = Table(place, Retries(settings.commit_s))
    return Sweep(table, open_segments(settings), Begun(table))


# boto3 costs a release 15 MB and a process a second: only those carry it that need it.


def _sqs(settings: Settings) -> Queue:
    with _needed_by("queue", settings.queue):
        from eventstore.backends.aws.bucket import Bucket
        from eventstore.backends.aws.queue import SqsQueue
    place = _place(settings, "queue")
    retries = Retries(settings.commit_s)
    claims = Bucket(_place(settings, "claims"), retries) if settings.claims else None
    return SqsQueue(place, packs_max=settings.queue_packs_max, retries=retries, claims=claims)


def _dynamodb(settings: Settings) -> EventStore:
    with _needed_by("store", settings.store):
        from eventstore.backends.aws.store import DynamoStore
    place = _place(settings, "store")
    return DynamoStore(
        place,
        Retries(settings.commit_s),
        ttl_days=_ttl_days(place),
        segments=open_segments(settings) if settings.segments else None,
        placement=settings.placement,
    )


def _place(settings: Settings, name: str) -> Place:
    return Place.of(getattr(settings, name), ENGINES[name], OPTIONS.get(name, ()))


def _ttl_days(store: Place) -> int | None:
    text = store.options.get("ttl_days")
    if text is not None and not (text.isdecimal() and 0 < int(text) <= TTL_DAYS_MAX):
        raise SettingsError(f"store: ttl_days={text}: expected 1 to {TTL_DAYS_MAX}")
    return None if text is None else int(text)


def _segments_days(settings: Settings) -> int | None:
    """Longer than the items that refer to them: DynamoDB takes two days to delete what has
    expired."""
    ttl_days = _ttl_days(_place(settings, "store")) if settings.segments else None
    return None if ttl_days is None else ttl_days + 3


def _s3(settings: Settings) -> Aggregates:
    with _needed_by("aggregates", settings.aggregates):
        from eventstore.backends.aws.aggregates import S3Aggregates
    return S3Aggregates(
        _place(settings, "aggregates"),
        Retries(settings.commit_s),
        generations_kept=settings.generations_kept,
    )


@contextmanager
def _needed_by(name: str, url: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{name}: {url!r} needs {error.name}, which this release does not carry; say"
            " `requirements: requirements/eventstore-aws.lock` in evctl.yaml and release again"
        ) from error


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(f"data: {url!r}: the engine here is file:///<folder>")
    return Path(unquote(parts.path))

"""Whatever goes wrong before SQS, DynamoDB and S3: nothing that was acknowledged is lost, nothing
is visible or counted twice. The check itself is checked, with a mistake that is planted."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from eventstore.backends.aws import calls as calls_module
from eventstore.backends.aws import queue as queue_module
from eventstore.backends.aws.aggregates import S3Aggregates
from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.calls import Calls
from eventstore.backends.aws.create import create_bucket, create_queue, create_table
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.placing import Placement
from eventstore.backends.aws.queue import SqsQueue
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.segments import Segments
from eventstore.backends.aws.store import DynamoStore
from eventstore.errors import EngineUnavailable
from eventstore.event import new_pack_id
from eventstore.ports import Enriched, Lease, Packed
from eventstore.postprocessing import parquet
from eventstore.postprocessing.postprocessor import Postprocessor
from eventstore.settings import Settings
from tests.aws.conftest import REGION
from tests.aws.faults import KINDS, Faults
from tests.aws.proxy import proxied
from tests.contracts.test_event_store import A, enriched

WAIT_S = 200
LEASE_S = 2
PACKS = 24


def patient() -> Retries:
    return Retries(60, random=Random(1))


def hasty(seed: int) -> Retries:
    """Gives up after a few tries, however slow the machine is: its clock is its waits."""
    now_s = 0.0

    def sleep(wait_s: float) -> None:
        nonlocal now_s
        now_s += wait_s

    return Retries(0.2, random=Random(seed), clock=lambda: now_s, sleep=sleep)


@dataclass
class Engines:
    """The same three engines, with and without faults before them."""

    urls: Callable[[str], tuple[Place, Place, Place]]
    seed: int
    placement: Placement = "items"

    def queue(self) -> SqsQueue:
        return SqsQueue(
            self.urls("faulty")[0], packs_max=1000, retries=hasty(self.seed), long_poll_s=0
        )

    def store(self) -> DynamoStore:
        return self._store("faulty", hasty(self.seed + 1))

    def reader(self) -> DynamoStore:
        return self._store("direct", patient())

    def aggregates(self) -> S3Aggregates:
        return S3Aggregates(self.urls("faulty")[2], hasty(self.seed + 2))

    def _store(self, way: str, retries: Retries) -> DynamoStore:
        _, table, bucket = self.urls(way)
        segments = Segments(Bucket(replace(bucket, path="segments"), retries))
        return DynamoStore(table, retries, segments=segments, placement=self.placement)


@contextlib.contextmanager
def engines(
    endpoints: Sequence[str], names: Sequence[str], seed: int, faults: Sequence[Faults]
) -> Iterator[Engines]:
    with contextlib.ExitStack() as stack:
        proxies = [
            stack.enter_context(proxied(one, fault))
            for one, fault in zip(endpoints, faults, strict=True)
        ]

        def urls(way: str) -> tuple[Place, Place, Place]:
            ends = [one.endpoint for one in proxies] if way == "faulty" else list(endpoints)
            kinds = ("sqs", "dynamodb", "s3")
            found = [
                Place.of(f"{kind}://{name}?region={REGION}&endpoint={end}", kind)
                for kind, name, end in zip(kinds, names, ends, strict=True)
            ]
            return found[0], found[1], found[2]

        queue, table, bucket = urls("direct")
        create_queue(queue, patient())
        create_table(table, patient())
        create_bucket(bucket, patient())
        yield Engines(urls, seed)


def opened(make: Callable[[], Any]) -> Any:
    """At start too things go wrong; then a role is started again."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(EngineUnavailable):
            return make()
        assert time.monotonic() < deadline


def send(queue: SqsQueue) -> set[str]:
    """Clients that send again, under the same ids, until they are told that it is there."""
    acknowledged: set[str] = set()
    deadline = time.monotonic() + WAIT_S
    for number in range(PACKS):
        ids = [f"{number}-{one}" for one in range(3)]
        while not acknowledged.issuperset(ids):
            assert time.monotonic() < deadline
            with contextlib.suppress(EngineUnavailable):
                queue.put([Packed(new_pack_id(), json.dumps(ids).encode(), "/e", 3)])
                acknowledged.update(ids)
    return acknowledged


def process(queue: SqsQueue, store: DynamoStore, done: Callable[[], bool]) -> None:
    """As a processor does, and gives up as it does."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        with contextlib.suppress(EngineUnavailable):
            leases: list[Lease] = queue.claim(10, LEASE_S)
            store.put([_processed(lease) for lease in leases])
            queue.ack(leases)


def _processed(lease: Lease) -> Enriched:
    pack = enriched([A] * 3, json.loads(lease.body), pack_id=lease.pack_id)
    return replace(pack, body=lease.body)


def visible(store: DynamoStore) -> Counter[str]:
    """Client ids, as often as a reader sees them."""
    found: Counter[str] = Counter()
    for stored in store.packs():
        ids = json.loads(stored.body)
        found.update(one for index, one in enumerate(ids) if index not in stored.hidden)
    return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients wait for an answer for a second."""
    monkeypatch.setattr(calls_module, "READ_S", 1)


@pytest.mark.parametrize("placement", ["items", "segments"])
def test_nothing_is_lost_and_nothing_is_there_twice(
    placement: Placement,
    sqs: str,
    dynamodb: str,
    s3: str,
    new_name: Callable[[str], str],
):
    seed = 1
    faults = [Faults(seed, 0.4), Faults(seed, 0.15), Faults(seed, 0.2)]
    names = [new_name("packs"), new_name("events"), new_name("windows")]
    with engines((sqs, dynamodb, s3), names, seed, faults) as made:
        made.placement = placement
        queue_place, _, bucket_place = made.urls("direct")
        looking = SqsQueue(queue_place, packs_max=1000, retries=patient(), long_poll_s=0)
        queue, store = opened(made.queue), opened(made.store)
        acknowledged = send(queue)
        process(queue, store, lambda: looking.depth().packs == 0)
        aggregates = opened(made.aggregates)
        postprocessor = Postprocessor(store, aggregates, Settings())
        there = made.reader()
        deadline = time.monotonic() + WAIT_S
        while there.changed_windows(1):
            assert time.monotonic() < deadline
            with contextlib.suppress(EngineUnavailable):
                postprocessor.step()
        assert visible(there) == Counter(acknowledged)
        assert there.partials(600).counts == Counter({A: len(acknowledged)})
        published = S3Aggregates(bucket_place, patient())
        (latest,) = published.windows()
        assert parquet.decode(published.read(latest)) == Counter({A: len(acknowledged)})
        ledger = there.ledger(0, recount=True)
        assert ledger.entries == ledger.found
        for one in (queue, store, looking, there):
            one.close()
    happened = sum((one.happened for one in faults), Counter[str]())
    assert set(happened) == set(KINDS), "a fault that never happened proves nothing"


def test_a_queue_that_ignores_what_failed_is_caught(
    sqs: str,
    dynamodb: str,
    s3: str,
    new_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
):
    def careless(calls: Calls, operation: str, url: str, entries: Sequence[Any]) -> dict[str, str]:
        calls(operation, QueueUrl=url, Entries=list(entries))
        return {}

    monkeypatch.setattr(queue_module, "refused", careless)
    faults = [Faults(1, 0.3, ("partial",)), Faults(1, 0), Faults(1, 0)]
    names = [new_name("packs"), new_name("events"), new_name("windows")]
    with engines((sqs, dynamodb, s3), names, 1, faults) as made:
        queue, store = opened(made.queue), opened(made.store)
        acknowledged = send(queue)
        process(queue, store, lambda: queue.depth().packs == 0)
        assert acknowledged - visible(store).keys()
        queue.close()
        store.close()

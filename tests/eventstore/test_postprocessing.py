"""Windows: folded from the set of packs, published once a generation, readable by others."""

import dataclasses
import datetime
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from eventstore import engines, packing
from eventstore.event import CountKey, new_pack_id
from eventstore.ports import Generation, Packed
from eventstore.postprocessing import parquet
from eventstore.postprocessing.postprocessor import FIRST_VERSIONS, Postprocessor
from eventstore.processing.processor import Processor
from eventstore.query.read import Reader, open_reader
from eventstore.settings import Settings

NOON_MS = 1795530600_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=f"file://{tmp_path}")


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    reader = open_reader(settings.data)
    yield reader
    reader.close()


def store_events(settings: Settings, times_ms: list[int], name: str = "click") -> None:
    events = [json.dumps({"type": name, "at": at}).encode() for at in times_ms]
    pack_id = new_pack_id()
    sender = packing.Share(len(events), NOON_MS)
    tags = {"endpoint": "/v1/events", "source": "s"}
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    body = packing.pack(pack_id, tags, [sender], [b"\n".join(events)], None)
    queue.put([Packed(pack_id, body, tags["endpoint"], len(events))])
    assert Processor(queue, store, settings).step() == 1
    queue.close()
    store.close()


def postprocessor(settings: Settings) -> Postprocessor:
    return Postprocessor(engines.open_store(settings), engines.open_aggregates(settings), settings)


def test_parquet_round_trip_and_what_duckdb_reads(tmp_path: Path):
    counts = Counter(
        {CountKey(NOON_MS // 1000, "/a", "ü"): 7, CountKey(NOON_MS // 1000, "/a", ""): 2**40}
    )
    assert parquet.decode(parquet.encode(counts, 60)) == counts
    assert parquet.encode(counts, 60) == parquet.encode(counts, 60)
    assert parquet.decode(parquet.encode(Counter(), 60)) == Counter()
    (tmp_path / "t.parquet").write_bytes(parquet.encode(counts, 60))
    query = "SELECT epoch_ms(window_start), window_s, endpoint, name, events FROM read_parquet(?)"
    rows = duckdb.execute(query, [str(tmp_path / "t.parquet")]).fetchall()
    assert rows == [(NOON_MS, 60, "/a", "", 2**40), (NOON_MS, 60, "/a", "ü", 7)]


def test_late_data_makes_a_new_generation(settings: Settings, reader: Reader):
    store_events(settings, [NOON_MS, NOON_MS + 1, NOON_MS + 60_000])
    assert not reader.drained()
    assert postprocessor(settings).step() == 2
    assert reader.drained()
    assert [one.generation for one, _ in reader.windows()] == [1, 1]
    store_events(settings, [NOON_MS + 59_999])
    assert reader.unpublished_windows() == [NOON_MS // 1000]
    assert postprocessor(settings).step() == 1
    (first, counts), _ = reader.windows()
    assert (first.generation, first.packs, first.events) == (2, 2, 3)
    assert counts == {CountKey(NOON_MS // 1000, "/v1/events", "click"): 3}
    assert postprocessor(settings).step() == 0
    assert reader.mismatches() == {}


def test_where_the_first_is_pruned_and_nobody_asked_the_newest_stands(
    settings: Settings, reader: Reader, monkeypatch: pytest.MonkeyPatch
):
    settings = dataclasses.replace(settings, generations_kept=2)
    ours, other = postprocessor(settings), postprocessor(settings)
    with monkeypatch.context() as patched:
        patched.setattr(ours._store, "mark_published", lambda *_: None)
        for _ in range(FIRST_VERSIONS):
            store_events(settings, [NOON_MS])
            ours.step()
    monkeypatch.setattr(other._aggregates, "latest", lambda _: pytest.fail("it asked"))
    assert other.step() == 1
    assert [one.generation for one, _ in reader.windows()] == [FIRST_VERSIONS]
    assert reader.mismatches() == {}


def test_it_is_found_by_date_and_hour(settings: Settings, reader: Reader):
    store_events(settings, [NOON_MS])
    postprocessor(settings).step()
    ((generation, _),) = reader.windows()
    when = datetime.datetime.fromtimestamp(NOON_MS / 1000, datetime.UTC)
    assert generation.file.startswith(f"tables/date={when:%Y-%m-%d}/hour={when:%H}/")


def test_a_checker_that_compares_sees_a_difference(settings: Settings, reader: Reader):
    store_events(settings, [NOON_MS] * 3)
    postprocessor(settings).step()
    store_events(settings, [NOON_MS])
    key = CountKey(NOON_MS // 1000, "/v1/events", "click")
    assert reader.mismatches() == {key: (3, 4)}


def test_two_at_once_do_no_harm(settings: Settings, reader: Reader):
    workers = [postprocessor(settings) for _ in range(2)]
    errors: list[BaseException] = []
    done = threading.Event()

    def publish(worker: Postprocessor) -> None:
        try:
            while not done.is_set() or worker.step():
                worker.step()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=publish, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for n in range(30):
        store_events(settings, [NOON_MS + n * 1000] * 3, f"name-{n % 4}")
    done.set()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert reader.drained()
    assert reader.mismatches() == {}
    assert sum(reader.aggregated().values()) == 90


def test_a_lost_race_does_not_lose_the_newer_counts(settings: Settings, reader: Reader):
    """Another publishes this very generation, from older partials, in the middle of our step."""
    store_events(settings, [NOON_MS])
    ours, other = postprocessor(settings), postprocessor(settings)
    aggregates = engines.open_aggregates(settings)
    publish = aggregates.publish
    raced = []

    def publish_second(generation: Generation, table: bytes) -> bool:
        if not raced:
            raced.append(True)
            older = dataclasses.replace(generation, version=0, events=0)
            assert publish(older, parquet.encode(Counter(), 60))
        return publish(generation, table)

    aggregates.publish = publish_second  # type: ignore[method-assign]
    ours._aggregates = aggregates
    ours.step()
    assert ours.contested.value() == 1
    assert [one.generation for one, _ in reader.windows()] == [2]
    assert reader.mismatches() == {}
    assert other.step() == 0

"""Processing: pure, patient with poison, and exact when it is killed at any point."""

import json
import os
import pickle
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventstore import engines, packing
from eventstore.errors import EngineUnavailable
from eventstore.event import new_pack_id
from eventstore.ports import Depth, Enriched, EventStore, Packed, Queue
from eventstore.processing import processor as processor_module
from eventstore.processing import sidecar
from eventstore.processing.enrich import Rules, enrich, transformed
from eventstore.processing.identity import UNDATED, keys_of
from eventstore.processing.processor import Processor
from eventstore.query.ledger import read_ledger
from eventstore.query.read import Reader, open_reader
from eventstore.settings import Settings

NOW_MS = 1795530600_000
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/126.0.0.0 Safari/537.36"
)
TAGS = {"endpoint": "/v1/events", "source": "web"}


def make_pack(events: Sequence[bytes], agent: str = "curl/8.5.0") -> Packed:
    pack_id = new_pack_id()
    sender = packing.Share(len(events), NOW_MS, user_agent=agent)
    body = packing.pack(pack_id, TAGS, [sender], [b"\n".join(events)], None)
    return Packed(pack_id, body, TAGS["endpoint"], len(events))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=f"file://{tmp_path}", attempts_max=3)


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    reader = open_reader(settings.data)
    yield reader
    reader.close()


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_module, "RETRY_STEP_S", 0)


def test_enriching_is_a_pure_function_of_the_pack(settings: Settings):
    rules = Rules.of(settings)
    events = [
        json.dumps({"id": "a", "type": "click", "at": NOW_MS - 61_000}).encode(),
        json.dumps({"type": 7, "user_agent": CHROME}).encode(),
        b"not json",
        b"[]",
    ]
    pack = make_pack(events)
    enriched = enrich(pack.pack_id, pack.body, rules)
    assert pickle.dumps(enriched) == pickle.dumps(enrich(pack.pack_id, pack.body, rules))
    assert enriched.keys.any(axis=1).tolist() == [True, False, False, False]
    assert enriched.key_spans.tolist() == [(NOW_MS - 61_000) // 10_000, *[UNDATED] * 3]
    assert enriched.counts({1, 2, 3}) == {(NOW_MS // 1000 - 120, "/v1/events", "click"): 1}
    assert [letter.index for letter in enriched.dead] == [2, 3]
    assert [letter.body for letter in enriched.dead] == events[2:]
    columns = sidecar.decode(enriched.sidecar)
    assert columns["browser"][:2] == ["curl 8", "Chrome 126"]
    assert columns["name"] == ["click", "", "", ""]
    assert columns["time_ms"][:2] == [NOW_MS - 61_000, NOW_MS]


def test_client_keys_belong_to_their_source():
    web, ios = keys_of([b"x", b"", b"x" * 10_000], "web"), keys_of([b"x"], "ios")
    assert web.shape == (3, 2)
    assert web.any(axis=1).tolist() == [True, False, True]
    assert (web[0] != ios[0]).all()


def test_a_batch_goes_from_queue_to_store(
    queue: Queue, store: EventStore, settings: Settings, reader: Reader
):
    queue.put([make_pack([b'{"n":%d}' % n]) for n in range(3)])
    processor = Processor(queue, store, settings)
    assert processor.step() == 3
    assert processor.step() == 0
    assert [event.body for event in reader.events()] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    for event in reader.events():
        assert reader.event(event.id) == event
        assert reader.enrichment(event.id)["browser"] == "curl 8"
    assert reader.pending() == Depth(0, 0, 0, 0.0)
    assert not reader.drained()  # nobody has published the window


def test_poison_becomes_a_dead_letter_and_the_rest_flows_on(
    queue: Queue, store: EventStore, settings: Settings, reader: Reader
):
    whole, good = make_pack([b"{}"]), make_pack([b'{"ok":1}'])
    damaged = replace(whole, body=whole.body[:-1])
    queue.put([damaged, good, replace(good, pack_id=new_pack_id())])
    processor = Processor(queue, store, settings)
    for _ in range(settings.attempts_max):
        assert processor.step() > 0
    assert processor.step() == 0
    assert [event.body for event in reader.events()] == [b'{"ok":1}']
    letters = {letter.pack_id: letter for letter in reader.dead_letters()}
    assert len(letters) == 2
    assert letters[damaged.pack_id].body == damaged.body
    assert "checksum" in letters[damaged.pack_id].reason
    assert reader.pending().packs == 0


def test_a_pack_that_kills_its_processors_is_given_up_at_last(
    queue: Queue, store: EventStore, settings: Settings, reader: Reader
):
    queue.put([make_pack([b"{}"])])
    for _ in range(settings.attempts_max):
        assert queue.claim(1, 0)  # claimed, and never heard of again
    processor = Processor(queue, store, settings)
    processor.step()
    assert 'ev_pack_wait_seconds_bucket{le="+Inf"} 1' in processor.waits.lines()
    (letter,) = reader.dead_letters()
    assert letter.reason == "its processor died or stalled 3 times"


def test_an_unavailable_store_loses_nothing(
    queue: Queue, store: EventStore, settings: Settings, reader: Reader
):
    queue.put([make_pack([b"{}"])])
    real = store.put

    def fail(packs: Sequence[Enriched], ways: object) -> int:
        raise EngineUnavailable("planted")

    store.put = fail  # type: ignore[method-assign]
    quick = Settings(data=settings.data, lease_s=0.1)
    with pytest.raises(EngineUnavailable):
        Processor(queue, store, quick).step()
    store.put = real  # type: ignore[method-assign]
    assert reader.pending().packs == 1


def test_told_to_stop_it_hands_back_what_it_has_not_begun(
    queue: Queue, store: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    queue.put([make_pack([b"{}"]) for _ in range(5)])
    processor = Processor(queue, store, settings)

    def transform_and_stop(*arguments: Any) -> Enriched:
        processor.stop()
        return transformed(*arguments)

    monkeypatch.setattr(processor_module, "transformed", transform_and_stop)
    processor.run()
    assert (queue.depth().packs, queue.depth().leased) == (4, 0)
    assert {lease.attempts for lease in queue.claim(9, 60)} == {1}


def test_processors_killed_at_any_point_store_everything_once(
    new_node: Callable[..., Any], until: Any
):
    """Two processors and a post-processor; the processors get SIGKILL again and again."""
    node = new_node(lease_s=1, attempts_max=1000, claim_packs_max=4, poll_s=0.005, publish_s=0.05)
    options = Settings(data=node.data)
    queue = engines.open_queue(options)
    chance = random.Random(7)
    sent: list[bytes] = []

    def put(number: int) -> None:
        events = [
            json.dumps({"id": f"{number}-{k}", "type": f"t{k % 3}"}).encode() for k in range(20)
        ]
        sent.extend(events)
        again = chance.sample(sent, 3)  # a client's retries, in another pack
        queue.put([make_pack([*events, *again])])

    node.start("postprocessor")
    reader = open_reader(node.data)
    victims = [node.start("processor") for _ in range(2)]
    for kill in range(12):
        for number in range(40):
            put(kill * 40 + number)
        until(lambda: queue.depth().packs < 30)  # at work, nearly always with leases
        victim = victims.pop(0)
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        victims.append(node.start("processor", ready=False))
    until(reader.drained)
    assert Counter(event.body for event in reader.events()) == Counter(sent)
    assert list(reader.dead_letters()) == []
    assert reader.mismatches() == {}
    assert sum(reader.aggregated().values()) == len(sent)
    store = engines.open_store(options)
    lines = read_ledger(queue, store, 0)
    store.close()
    assert [line.faults for line in lines] == [()] * len(lines)
    assert sum(line.accepted for line in lines) == len(sent) + 3 * 12 * 40
    assert sum(line.stored for line in lines) == len(sent)
    assert sum(line.duplicate for line in lines) == 3 * 12 * 40
    reader.close()
    queue.close()


def test_a_collector_killed_under_load_keeps_what_it_acknowledged(
    new_node: Callable[..., Any], post: Any
):
    node = new_node()
    acked = set()
    for round_number in range(4):
        generation = node.start("collector")
        for n in range(30):
            body = b'{"id":"%d-%d"}' % (round_number, n)
            assert post(node.port("collector"), body)[0] == 200
            acked.add(body)
        os.kill(generation.pid, signal.SIGKILL)
        generation.wait()
    queue = engines.open_queue(Settings(data=node.data))
    waiting = [e for lease in queue.claim(999, 60) for e in packing.unpack(lease.body).events]
    assert sorted(waiting) == sorted(acked)
    queue.close()

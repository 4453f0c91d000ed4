"""Dictionaries: trained without anybody's data, kept before they are used, found by who reads."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventstore import engines, packing
from eventstore.collector import dictionaries as module
from eventstore.collector.dictionaries import TenantDictionaries
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import EngineUnavailable, EventStoreError
from eventstore.event import EventId, new_pack_id
from eventstore.packing import Share
from eventstore.ports import EventStore, Packed, Stored, Trained
from eventstore.processing.processor import Processor
from eventstore.processing.training import Traffic, bytes_an_event, traffic, trained
from eventstore.query.read import open_reader
from eventstore.settings import Settings, load
from eventstore.tools.dictionary import Outcome, lines_of
from eventstore.tools.dispatch import run_tool
from tests.eventstore.conftest import ROOT, Node

HERE = Path(__file__).parent
TAGS = {"endpoint": "/v1/events", "tenant": "default", "source": "/v1/events"}
NOW_MS = 1795530600_000


def event(chance: random.Random, user: int) -> bytes:
    return json.dumps(
        {
            "id": f"{chance.getrandbits(64):016x}",
            "type": chance.choice(["page_view", "click"]),
            "user": f"customer-{user}@example.com",
            "name": f"Quincy Lovelace {user}",
            "note": "private to one" if user == 7 else "said to all",
            "url": f"https://shop.example/p/{chance.randrange(50)}",
        }
    ).encode()


def stored_packs(packs: int, events: int, **more: Any) -> list[Stored]:
    chance = random.Random(3)
    found = []
    for number in range(packs):
        user = 7 if number % 2 else number
        pack_id = new_pack_id()
        share = Share(
            events, NOW_MS, None, "Mozilla/5.0 (X11; Linux)", f"198.51.100.10{number % 9}"
        )
        block = b"\n".join(event(chance, user) for _ in range(events))
        body = packing.pack(pack_id, {**TAGS, **more}, [share], [block], None)
        found.append(Stored(number, pack_id, body, b"", b"", frozenset()))
    return found


def learned(stored: list[Stored]) -> Traffic:
    return traffic(stored, "default", 100_000, NO_DICTIONARIES, random.Random(2))


def test_what_only_one_user_says_is_in_no_dictionary():
    """However often: every other pack is of user 7, at one of nine addresses."""
    found = learned(stored_packs(260, 10))
    made = trained(found, random.Random(1))
    data = made.as_bytes()
    for word in (b"customer-7@", b"Quincy Lovelace 7", b"private to one", b"198.51.100."):
        assert word not in data, word
    for word in (
        b'"type": "page_view"',
        b"https://shop.example/p/",
        b"said to all",
        b"Mozilla/5.0",
    ):
        assert word in data, word
    assert bytes_an_event(found.measured, made) < 0.6 * bytes_an_event(found.measured, None)


def test_people_are_told_what_to_set():
    kept = Outcome(7, "shop", 100, 1000, 136.04, 74.0, kept=True)
    assert lines_of(kept) == [
        "100 bytes, trained from 1000 events of tenant shop",
        "136.0 bytes an event without it, 74.0 with it, of packs that it hasn't seen",
        "kept; the collectors' settings name it: dictionaries: {shop: 7}",
    ]
    assert lines_of(replace(kept, kept=False))[-1] == "--yes trains one and keeps it in the store"


def test_too_little_traffic_is_not_trained_from():
    with pytest.raises(EventStoreError, match="80 events of 13 users or packs are too few"):
        trained(learned(stored_packs(10, 10)), random.Random(1))


def test_only_a_tenants_own_packs_that_can_be_read_are_looked_at():
    mine, others = stored_packs(5, 10), stored_packs(5, 10, tenant="other")
    broken = Stored(0, new_pack_id(), b"no pack", b"", b"", frozenset())
    assert learned([*others, broken, *mine]).events == 40
    found = traffic(mine, "default", 15, NO_DICTIONARIES, random.Random(2))
    assert (found.events, len(found.measured)) == (20, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = engines.open_store(Settings(data=f"file://{tmp_path}"))
    yield store
    store.close()


def kept(store: EventStore) -> packing.Dictionary:
    made = trained(learned(stored_packs(260, 10)), random.Random(1))
    store.put_dictionary(Trained(made.dict_id(), "default", 1, made.as_bytes()))
    return made


def test_a_tenant_has_a_dictionary_once_it_is_in_the_store(
    tmp_path: Path,
    store: EventStore,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[..., None],
):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    away = True

    def open_store() -> EventStore:
        if away:
            raise EngineUnavailable("the store is away")
        return engines.open_store(Settings(data=f"file://{tmp_path}"))

    made = trained(learned(stored_packs(260, 10)), random.Random(1))
    dictionaries = TenantDictionaries({"default": made.dict_id()}, open_store)
    dictionaries.start()
    assert dictionaries.of("default") is None
    assert dictionaries.notice() == "packs are larger than need be: the store is away"
    away = False
    until(lambda: "is not in the store" in dictionaries.notice())
    store.put_dictionary(Trained(made.dict_id(), "default", 1, made.as_bytes()))
    until(lambda: dictionaries.of("default") is not None)
    until(lambda: not dictionaries.notice())
    assert dictionaries.of("other") is None
    dictionaries.close()


def test_a_store_that_is_away_is_no_fault_of_a_pack(
    tmp_path: Path, store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    made = kept(store)
    settings = Settings(data=f"file://{tmp_path}", attempts_max=1)
    queue = engines.open_queue(settings)
    pack_id = new_pack_id()
    body = packing.pack(pack_id, TAGS, [Share(1, NOW_MS)], [b"{}"], None, dictionary=made)
    queue.put([Packed(pack_id, body, "/v1/events", 1)])
    find = store.dictionary

    def away(_: int) -> bytes:
        raise EngineUnavailable("the store is away")

    monkeypatch.setattr(store, "dictionary", away)
    processor = Processor(queue, store, settings)
    with pytest.raises(EngineUnavailable):
        processor.step()
    assert list(store.dead_letters()) == []
    monkeypatch.setattr(store, "dictionary", find)
    assert Processor(queue, store, settings).step() == 1
    assert store.get(pack_id) is not None
    queue.close()


def test_from_training_to_reading_and_erasing(
    new_node: Callable[..., Node],
    post: Callable[..., tuple[int, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """With a transform, whose process has to be given the dictionary too."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{HERE}")
    node = new_node()
    settings = Settings(data=node.data, transforms=("transforms_of_tests:stamp",))
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    for one in stored_packs(130, 10):
        queue.put([Packed(one.pack_id, one.body, "/v1/events", 10)])
    processor = Processor(queue, store, settings)
    while processor.step():
        pass

    def tool(*argv: str) -> Any:
        assert run_tool([*argv, "--data", node.data, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    plan = tool("dictionary", "train", "--sample", "1000")
    assert not plan["kept"]
    assert tool("dictionary", "ls") == []
    said = tool("dictionary", "train", "--sample", "1000", "--yes")
    assert said["bytes_an_event"]["with"] < said["bytes_an_event"]["without"]
    assert [one["dictionary"] for one in tool("dictionary", "ls")] == [said["dictionary"]]
    assert run_tool(["dictionary", "ls", "--data", node.data]) == 0
    assert capsys.readouterr().out.startswith(f"{said['dictionary']:>10}  20")

    node.settings["dictionaries"] = {"default": said["dictionary"]}
    node.start("collector")
    chance = random.Random(8)
    status, receipt = post(node.port("collector"), event(chance, 7))
    assert status == 200
    event_id = EventId.parse(f"{receipt['pack']}:{receipt['first']}")
    assert processor.step() == 1
    processor.close()
    stored = store.get(event_id.pack)
    assert stored is not None
    assert packing.dictionary_of(stored.body) == said["dictionary"]
    assert packing.unpack(stored.body, Dictionaries(store.dictionary)).count == 1
    reader = open_reader(node.data)
    found = reader.event(event_id)
    assert found is not None
    assert found.made
    assert found.value["user"] == "customer-7@example.com"
    assert tool("trace", str(event_id))["state"] == "stored"
    erased = (
        "--field",
        "user",
        "--value",
        "customer-7@example.com",
        "--request",
        "1",
        "--by",
        "me",
    )
    certificate = tool("erase", *erased, "--yes")
    assert str(event_id.pack) in {one["pack"] for one in certificate["packs"]}
    assert certificate["dictionaries"] == []
    assert tool("trace", str(event_id))["state"] == "erased"
    reader.close()
    queue.close()
    store.close()


def test_the_setting_names_tenants_and_ids(tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"dictionaries": {"shop": "12"}}))
    with pytest.raises(EventStoreError, match=r"expected \{TENANT: id\}"):
        load(file)

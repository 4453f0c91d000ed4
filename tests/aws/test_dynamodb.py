"""The event store on DynamoDB keeps the contract of every event store, on DynamoDB Local."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
import zstandard

from eventstore import packing
from eventstore.backends.aws.calls import session
from eventstore.backends.aws.create import create_table
from eventstore.backends.aws.key_log import SPANS_KEPT
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.store import DynamoStore
from eventstore.backends.aws.table import BLOB_BYTES_MAX, Item, Table
from eventstore.dictionaries import Dictionaries
from eventstore.errors import EngineUnavailable
from eventstore.event import new_pack_id
from eventstore.ports import ERASED, DeadLetter, Enriched, Rewritten, Trained
from eventstore.processing.enrich import Rules, enrich
from eventstore.settings import Settings
from eventstore.tools.dispatch import run_tool
from tests.aws.conftest import REGION
from tests.aws.cut_short import cut_short
from tests.contracts.test_event_store import A, EventStoreContract, OpenStore, enriched


def retries() -> Retries:
    return Retries(30, random=Random(1))


@pytest.fixture
def place(dynamodb: str, new_name: Callable[[str], str]) -> Place:
    place = Place.of(
        f"dynamodb://{new_name('events')}?region={REGION}&endpoint={dynamodb}", "dynamodb"
    )
    create_table(place, retries())
    create_table(place, retries())  # it is there already
    return place


@pytest.fixture
def opened(place: Place) -> Iterator[Callable[..., DynamoStore]]:
    stores: list[DynamoStore] = []

    def open_one(**more: Any) -> DynamoStore:
        stores.append(DynamoStore(place, retries(), **more))
        return stores[-1]

    yield open_one
    for one in stores:
        one.close()


class DynamoStoreContract(EventStoreContract):
    @staticmethod
    def in_order(packs: list[Enriched]) -> list[UUID]:
        return sorted(one.pack_id for one in packs)


class TestDynamoStore(DynamoStoreContract):
    @pytest.fixture
    def opened(self, opened: OpenStore) -> OpenStore:
        return opened


def everything(place: Place) -> list[Any]:
    client = session().client("dynamodb", endpoint_url=place.endpoint, region_name=REGION)
    pages = client.get_paginator("scan").paginate(TableName=place.name, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def test_what_is_too_large_for_an_item_is_divided(opened: Callable[..., DynamoStore], place: Place):
    pack = enriched([A])
    body = bytes(range(256)) * 5000
    letter = DeadLetter(pack.pack_id, 0, "format", "bad", body)
    opened().put([replace(pack, body=body, dead=(letter,))])
    stored = opened().get(pack.pack_id)
    assert stored is not None
    assert stored.body == body
    assert list(opened().dead_letters()) == [letter]
    parts = [item for item in everything(place) if item["pk"]["S"].startswith("part#")]
    assert len(parts) == 2 * (1 + len(body) // BLOB_BYTES_MAX)


def test_an_erasure_leaves_no_parts_and_is_ended_when_it_was_cut_short(
    opened: Callable[..., DynamoStore], place: Place
):
    """After each of its calls: what was, or what is left; then it is run again."""
    large = bytes(range(256)) * 2000
    pack = enriched([A])
    letter = DeadLetter(pack.pack_id, 0, "format", "bad", large)
    opened().put([replace(pack, body=large, dead=(letter,))])
    gone = DeadLetter(pack.pack_id, 0, ERASED, "erased: it", b"")
    for number in range(20):
        store = opened()
        with cut_short(store, number, ("write", "put_if")):
            was = store.get(pack.pack_id)
            assert was is not None
            assert was.body in (large, large[:-1])
            try:
                store.erase([Rewritten(pack.pack_id, [gone], was, large[:-1])])
            except EngineUnavailable:
                continue
        break
    else:
        pytest.fail("an erasure never ends")
    assert number == 4
    now = opened().get(pack.pack_id)
    assert now is not None
    assert now.body == large[:-1]
    assert list(opened().dead_letters()) == [gone]
    parts = [item for item in everything(place) if item["pk"]["S"].startswith("part#")]
    assert b"".join(item["blob"]["B"] for item in parts)[: len(large) - 1] == large[:-1]
    assert len({item["sk"]["S"][:64] for item in parts}) == 1


def test_what_is_replaced_while_it_is_read_is_read_anew(
    opened: Callable[..., DynamoStore], place: Place, monkeypatch: pytest.MonkeyPatch
):
    large = bytes(range(256)) * 2000
    pack = enriched([A])
    writer, reader = opened(), opened()
    writer.put([replace(pack, body=large)])
    was = writer.get(pack.pack_id)
    read = reader._table._read

    def late(keys: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(reader._table, "_read", read)
            writer.erase([Rewritten(pack.pack_id, [], was, b"left")])
        monkeypatch.setattr(reader._table, "_read", read)
        return read(keys)

    monkeypatch.setattr(reader._table, "_read", late)
    now = reader.get(pack.pack_id)
    assert now is not None
    assert now.body == b"left"


def test_a_subject_is_erased_by_the_tool(
    opened: Callable[..., DynamoStore],
    place: Place,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """With a dictionary, and a pack that is larger than an item."""
    samples = [b'{"user":"u-%d","type":"click"}' % number for number in range(2000)]
    dictionary = zstandard.train_dictionary(2048, samples)
    store = opened()
    store.put_dictionary(Trained(dictionary.dict_id(), "default", 1, dictionary.as_bytes()))
    chance = Random(4)
    theirs = b'{"user":"u-17","n":"%s"}' % chance.randbytes(BLOB_BYTES_MAX).hex().encode()
    others = b'{"user":"u-18","n":"%s"}' % chance.randbytes(BLOB_BYTES_MAX).hex().encode()
    pack_id = new_pack_id()
    body = packing.pack(
        pack_id,
        {"endpoint": "/e"},
        [packing.Share(2, pack_id.int >> 80)],
        [b"\n".join([others, theirs])],
        None,
        dictionary=dictionary,
    )
    rules, known = Rules.of(Settings()), Dictionaries(store.dictionary)
    store.put([enrich(pack_id, body, rules, None, known)])
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({"data": f"file://{tmp_path}/data", "store": place.url}))
    asked = ["--field", "user", "--value", "u-17", "--request", "R-1", "--by", "dpo"]
    assert run_tool(["erase", *asked, "--settings", str(settings), "--json", "--yes"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(one["pack"], one["events"]) for one in said["packs"]] == [(str(pack_id), [1])]
    stored = opened().get(pack_id)
    assert stored is not None
    assert packing.unpack(stored.body).events == [others, b""]
    parts = [item for item in everything(place) if item["pk"]["S"].startswith("part#")]
    assert {item["sk"]["S"][:64] for item in parts} == {hashlib.sha256(_blob(parts)).hexdigest()}


def _blob(parts: list[Any]) -> bytes:
    return b"".join(item["blob"]["B"] for item in parts)


def test_a_put_that_was_cut_short_is_ended_by_the_next(
    opened: Callable[..., DynamoStore], place: Place
):
    """After each of its calls, and by another processor."""
    pack = replace(enriched([A, A], ["x", "y"]), dead=(DeadLetter(UUID(int=0), 1, "s", "r", b""),))
    pack = replace(pack, dead=(replace(pack.dead[0], pack_id=pack.pack_id),))
    for number in range(20):
        store = opened()
        with cut_short(store, number):
            try:
                store.put([pack])
            except EngineUnavailable:
                assert store.get(pack.pack_id) is None
                continue
        break
    else:
        pytest.fail("a put never ends")
    assert number > 4
    store = opened()
    assert store.put([pack]) == 0
    assert [one.hidden for one in store.packs()] == [{1}]
    assert store.partials(600).counts == {A: 1}
    assert store.changed_windows(10) == [600]
    assert len(list(store.dead_letters())) == 1
    looked = store.ledger(0, recount=True)
    assert looked.entries == looked.found


def test_what_packs_add_to_a_window_is_one_item_a_put_and_the_later_counts(
    opened: Callable[..., DynamoStore], place: Place, monkeypatch: pytest.MonkeyPatch
):
    """The later: a put that was cut short is ended by a release that counts otherwise."""
    packs = [enriched([A, A]) for _ in range(30)]
    store = opened()
    with monkeypatch.context() as patched:
        patched.setattr(store._heads, "add", lambda _: None)
        store.put(packs)
    store.put([replace(pack, times_seen=[1, 0]) for pack in packs[:20]])
    partials = store.partials(600)
    assert (partials.counts, partials.packs) == ({A: 40}, 30)
    items = [item["sk"]["S"] for item in everything(place) if item["pk"]["S"] == "window#600"]
    assert len(items) == 3  # and the version


def test_a_redelivery_writes_nothing_else(opened: Callable[..., DynamoStore], place: Place):
    pack = enriched([A, A], ["x", "y"])
    opened().put([pack])
    before = everything(place)
    opened().put([pack])
    assert everything(place) == before


def test_of_two_processors_with_the_same_key_one_is_first(opened: Callable[..., DynamoStore]):
    """The second has read the log before the first has written to it."""
    one, other = opened(), opened()
    other.put([enriched([A], ["w"])])  # it knows the log up to here
    first, second = enriched([A], ["x"]), enriched([A], ["x"])
    assert one.put([first]) == 0
    assert other.put([second]) == 1
    assert one.put([second]) == 1
    assert other.put([first]) == 0


def test_events_of_many_spans_have_a_log_each(opened: Callable[..., DynamoStore]):
    """As when old events are sent again: more spans than are kept in memory."""
    spans = list(range(SPANS_KEPT + 10))
    ids: list[str | None] = [f"client-{span}" for span in spans]
    store = opened()
    assert store.put([enriched([A] * len(spans), ids, spans=spans)]) == 0
    again = enriched([A] * len(spans), ids, spans=spans)
    assert store.put([again]) == len(spans)
    assert opened().put([again]) == len(spans)


def test_items_expire_when_they_are_told_to(opened: Callable[..., DynamoStore], place: Place):
    pack_id = new_pack_id()
    letter = DeadLetter(pack_id, 0, "format", "bad", b"x" * (BLOB_BYTES_MAX + 1))
    opened(ttl_days=30).put([replace(enriched([A, A], ["x", "y"], pack_id), dead=(letter,))])
    then = (pack_id.int >> 80) // 1000 + 30 * 86_400
    kept = [item["pk"]["S"] for item in everything(place) if "expires_at" not in item]
    assert sorted(kept) == ["changed", "window#600"]  # small, and one a window
    assert {item["expires_at"]["N"] for item in everything(place) if "expires_at" in item} == {
        str(then)
    }


def test_what_dynamodb_leaves_unprocessed_is_written_in_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    """DynamoDB Local never leaves anything: it is left here, before it gets there."""
    table = Table(place, Retries(30, random=Random(3), step_s=0.001))
    calls = table._calls
    asked: list[int] = []

    def half(operation: str, **arguments: Any) -> Any:
        if operation != "batch_write_item":
            return calls(operation, **arguments)
        requests = arguments["RequestItems"][place.name]
        asked.append(len(requests))
        now, later = requests[: (len(requests) + 1) // 2], requests[(len(requests) + 1) // 2 :]
        calls(operation, RequestItems={place.name: now})
        return {"UnprocessedItems": {place.name: later} if later else {}}

    half.retries = calls.retries  # type: ignore[attr-defined]
    monkeypatch.setattr(table, "_calls", half)
    table.write(Item("a", str(number)) for number in range(30))
    assert asked == [25, 12, 6, 3, 1, 5, 2, 1]
    monkeypatch.undo()
    assert len(list(table.query("a"))) == 30
    table.close()


def test_a_table_with_another_key_is_refused(dynamodb: str, new_name: Callable[[str], str]):
    place = Place.of(
        f"dynamodb://{new_name('other')}?region={REGION}&endpoint={dynamodb}", "dynamodb"
    )
    session().client("dynamodb", endpoint_url=dynamodb, region_name=REGION).create_table(
        TableName=place.name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(EngineUnavailable, match=r"its key is id \(HASH, N\); expected pk"):
        DynamoStore(place, retries())


def test_one_at_a_time_has_the_turn(opened: Callable[..., DynamoStore]):
    ours, other = opened(), opened()
    assert ours.take_turn("a", 1000, 45)
    assert not other.take_turn("b", 1044, 45)
    assert ours.take_turn("a", 1020, 45)
    assert not other.take_turn("b", 1064, 45)
    assert other.take_turn("b", 1065, 45)
    ours.end_turn("a")
    assert not ours.take_turn("a", 1066, 45)
    other.end_turn("b")
    assert ours.take_turn("a", 1067, 45)
    assert other.take_turn("b", 1000, 45), "no turn is as long as a's: its clock is another"


def test_of_two_that_take_it_at_once_one_has_the_turn(
    opened: Callable[..., DynamoStore], monkeypatch: pytest.MonkeyPatch
):
    ours, other = opened(), opened()
    get = ours._turns._table.get

    def get_late(key: tuple[str, str]) -> Any:
        found = get(key)
        assert other.take_turn("b", 1000, 45)
        return found

    monkeypatch.setattr(ours._turns._table, "get", get_late)
    assert not ours.take_turn("a", 1000, 45)

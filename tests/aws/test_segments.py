"""Packs in segments: readers see no difference, and nobody refers to what may be gone."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from eventstore.backends.aws import placing
from eventstore.backends.aws import segments as segments_module
from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.create import create_bucket, create_table
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.segments import Extent, Segments, merged
from eventstore.backends.aws.store import DynamoStore
from eventstore.backends.aws.sweep import Sweep
from eventstore.backends.aws.table import Table
from eventstore.errors import EngineUnavailable
from eventstore.event import new_pack_id
from eventstore.ports import DeadLetter, Enriched, Rewritten, Stage, Tidied, Way
from eventstore.tools.dispatch import run_tool
from tests.aws.conftest import REGION
from tests.aws.cut_short import cut_short
from tests.aws.test_dynamodb import DynamoStoreContract, everything
from tests.contracts.test_event_store import A, B, enriched

OpenSegments = Callable[..., DynamoStore]


def retries() -> Retries:
    return Retries(30, random=Random(1))


@pytest.fixture
def place(dynamodb: str, new_name: Callable[[str], str]) -> Place:
    place = Place.of(
        f"dynamodb://{new_name('events')}?region={REGION}&endpoint={dynamodb}", "dynamodb"
    )
    create_table(place, retries())
    return place


@pytest.fixture
def bucket_place(s3: str, new_name: Callable[[str], str]) -> Place:
    place = Place.of(f"s3://{new_name('segments')}/shop?region={REGION}&endpoint={s3}", "s3")
    create_bucket(place, retries())
    return place


@pytest.fixture
def bucket(bucket_place: Place) -> Bucket:
    return Bucket(bucket_place, retries())


@pytest.fixture
def opened(place: Place, bucket_place: Place) -> Iterator[OpenSegments]:
    stores: list[DynamoStore] = []

    def open_one(**more: Any) -> DynamoStore:
        segments = Segments(Bucket(bucket_place, retries()))
        options = {"segments": segments, "placement": "segments"} | more
        stores.append(DynamoStore(place, retries(), **options))
        return stores[-1]

    yield open_one
    for one in stores:
        one.close()


class TestSegments(DynamoStoreContract):
    @pytest.fixture
    def opened(self, opened: OpenSegments) -> OpenSegments:
        return opened


class TestAuto(DynamoStoreContract):
    """At prices by which three packs or more are cheaper in a segment."""

    @pytest.fixture
    def opened(self, opened: OpenSegments, monkeypatch: pytest.MonkeyPatch) -> OpenSegments:
        monkeypatch.setattr(placing, "PUT_UNITS", 1)
        monkeypatch.setattr(placing, "BESIDE_BYTES", 1500)
        return lambda: opened(placement="auto")


@pytest.mark.parametrize(
    ("packs_bytes", "keys_bytes", "cheaper"),
    [
        ([], [], False),
        ([400], [], False),
        ([900] * 16, [], False),  # two units each, or one and sixteen for the objects
        ([900] * 17, [], True),
        ([16 << 10], [], False),
        ([18 << 10], [], True),
        ([400] * 1000, [200], False),  # one unit, wherever they are
        ([400] * 10, [20 << 10], True),  # for the keys alone
    ],
)
def test_what_is_cheaper(packs_bytes: list[int], keys_bytes: list[int], cheaper: bool):
    assert placing.cheaper_in_segments(packs_bytes, keys_bytes) == cheaper


def test_auto_places_by_price(opened: OpenSegments, bucket: Bucket):
    small, large = [enriched([A]) for _ in range(10)], enriched([A])
    store = opened(placement="auto")
    store.put(small)
    assert bucket.keys("") == []
    store.put([replace(large, body=b"x" * (40 << 10))])
    assert len(bucket.keys("")) == 2
    assert {one.pack_id for one in opened().packs()} == {one.pack_id for one in [*small, large]}


def large_packs(number: int, client: str = "") -> list[Enriched]:
    packs = [enriched([A, B], [f"{client}{one}", None]) for one in range(number)]
    return [
        replace(pack, body=pack.pack_id.bytes * 1000, sidecar=pack.pack_id.bytes, view=b"seen")
        for pack in packs
    ]


def test_an_item_that_says_where_its_pack_is_costs_one_unit(opened: OpenSegments, place: Place):
    """Also when nearly all of a large pack's events were sent before."""
    ids: list[str | None] = [f"{one}" for one in range(2000)]
    first, again = enriched([A] * 2000, ids), enriched([A] * 2000, ids)
    stages = [Stage(name, 1795530600000, "processor-01.eu-central-1a", "1.0.0-0123456789ab")
              for name in ("queued", "leased", "stored")]  # fmt: skip
    ways = {one.pack_id: Way("/v1/events", 2000, tuple(stages)) for one in (first, again)}
    assert opened(ttl_days=30).put([first, again], ways) == 2000
    heads = [item for item in everything(place) if item["pk"]["S"].startswith("pack#")]
    assert len(heads) == 2
    assert all(size_of(item) <= 1024 for item in heads)


def size_of(item: dict[str, dict[str, Any]]) -> int:
    """As DynamoDB counts it, or some bytes more."""
    return sum(len(name) + len(one) for name, raw in item.items() for one in raw.values())


def test_readers_ask_for_what_they_want(opened: OpenSegments, monkeypatch: pytest.MonkeyPatch):
    packs = large_packs(130)
    opened().put(packs)
    ranges: list[int] = []
    get_range = Bucket.get_range

    def noted(bucket: Bucket, key: str, at: int, length: int) -> bytes | None:
        ranges.append(length)
        return get_range(bucket, key, at, length)

    monkeypatch.setattr(Bucket, "get_range", noted)
    store = opened()
    one = store.get(packs[123].pack_id)
    assert one is not None
    assert (one.body, one.sidecar, one.view) == (packs[123].body, packs[123].sidecar, b"seen")
    assert sorted(ranges) == [20, 16_000]
    ranges.clear()
    in_order = sorted(packs, key=lambda pack: pack.pack_id)
    assert [one.body for one in store.packs()] == [one.body for one in in_order]
    assert len(ranges) < 25
    ranges.clear()
    assert next(store.newest()).pack_id == in_order[-1].pack_id
    assert sum(ranges) == 16_020


def test_neighbours_are_read_together_and_in_bounds():
    near = [Extent("a", at * 1000, (500, 500)) for at in range(3)]
    far = Extent("a", 3000 + segments_module.GAP_BYTES_MAX + 1, (1,))
    other = Extent("b", 0, (segments_module.RANGE_BYTES_MAX + 1,))
    rest = Extent("b", other.end, (1,))
    assert merged([far, near[2], rest, near[0], other, near[1]]) == [near, [far], [other], [rest]]


def test_of_two_that_put_a_pack_the_first_stays_in_force(
    opened: OpenSegments, place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    """The second has looked before the first had written its item."""
    (pack,) = large_packs(1)
    first, second = opened(), opened()
    monkeypatch.setattr(second._heads, "there", lambda _: {})
    first.put([pack])
    files = bucket.keys("")
    before = list(first.packs())
    assert second.put([pack]) == 0
    assert list(first.packs()) == before
    assert first.partials(600).counts == {A: 1, B: 1}
    later = [one for one in bucket.keys("") if one not in files]
    assert found_by_sweep(place, bucket, in_hours=2) == later


def test_what_a_crash_has_left_is_never_visible_and_is_swept(
    opened: OpenSegments, place: Place, bucket: Bucket
):
    """After each of a put's writes."""
    whole = large_packs(3)
    opened().put(whole)
    kept = set(bucket.keys(""))
    packs = large_packs(3, "c")
    store = opened()
    for number in range(20):
        with cut_short(store, number), contextlib.suppress(EngineUnavailable):
            store.put(packs)
            break
        there = {one.pack_id for one in store.packs()}
        assert there.issuperset(one.pack_id for one in whole)
    assert number > 6
    before = list(opened().packs())
    assert len(before) == 6
    assert found_by_sweep(place, bucket) == []  # all are young
    swept = found_by_sweep(place, bucket, in_hours=2, take=True)
    assert len(swept) > number
    assert not kept.intersection(swept)
    assert found_by_sweep(place, bucket, in_hours=2) == []
    left = b"".join(bucket.get(key) or b"" for key in bucket.keys(""))
    assert [left.count(one.pack_id.bytes * 1000) for one in [*whole, *packs]] == [1] * 6
    store = opened()  # its keys are read anew
    assert list(store.packs()) == before
    assert store.put(packs) == 0
    assert store.put([enriched([A, A], ["c0", "c2"])]) == 2
    assert store.partials(600).counts == {A: 6, B: 6}
    looked = store.ledger(0, recount=True)
    assert looked.entries == looked.found


def test_who_was_asleep_for_too_long_refers_to_nothing(
    opened: OpenSegments, bucket_place: Place, monkeypatch: pytest.MonkeyPatch
):
    """The sweep may have been there meanwhile."""
    late = Segments(
        Bucket(bucket_place, retries()), now_s=lambda: time.time() + segments_module.REFER_S_MAX + 1
    )
    (pack,) = large_packs(1)
    with pytest.raises(EngineUnavailable, match="nobody refers to it yet"):
        opened(segments=late).put([pack])
    assert opened().get(pack.pack_id) is None
    assert opened().put([pack]) == 0


def test_a_segment_that_is_lost_is_noticed(opened: OpenSegments, bucket: Bucket):
    packs = large_packs(2)
    opened().put(packs[:1])
    opened().put(packs[1:])
    bucket.delete(bucket.keys("")[0])
    store = opened()
    with pytest.raises(EngineUnavailable, match="is not there, and items refer to it"):
        list(store.packs())
    looked = store.ledger(0, recount=True)
    assert sum(one.events for one in looked.entries.values()) == 4
    assert sum(one.events for one in looked.found.values()) == 2
    assert store.get(packs[1].pack_id) is not None


def test_what_has_expired_with_its_segment_is_not_there(opened: OpenSegments, bucket: Bucket):
    """DynamoDB takes up to two days to delete an item that has expired."""
    old = UUID(int=new_pack_id().int - (40 * 86_400_000 << 80))
    opened(ttl_days=30).put([enriched([A], ["x"], pack_id=old)])
    for key in bucket.keys(""):
        bucket.delete(key)
    opened(ttl_days=30).put(new := large_packs(1))
    store = opened(ttl_days=30)
    assert store.get(old) is None
    assert store.get(new[0].pack_id) is not None


def test_without_the_bucket_nothing_pretends_to_be_empty(opened: OpenSegments):
    opened().put(large_packs(1))
    with pytest.raises(EngineUnavailable, match="say segments: s3://"):
        list(opened(segments=None).packs())


def test_what_writers_have_left_goes_by_itself_in_turns(
    opened: OpenSegments, place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    """All that walking through all segments would find, and nothing that is young."""
    packs = large_packs(3)
    store = opened()
    for number in range(20):
        with cut_short(store, number), contextlib.suppress(EngineUnavailable):
            store.put(packs)
            break
    second = opened()
    monkeypatch.setattr(second._heads, "there", lambda _: {})
    second.put([*packs[:1], *large_packs(1, "c")])
    before = list(opened().packs())
    left = found_by_sweep(place, bucket, in_hours=2)
    assert len(left) > number
    hour_s, now_s = 3600, time.time()
    assert opened().tidy(now_s + 1.5 * hour_s).looked_at == 0  # all are young
    now_s += 3 * hour_s
    assert opened().tidy(now_s).looked_at == 8
    assert opened().tidy(now_s) == Tidied()  # it was somebody's turn
    done = [opened().tidy(now_s + 700 * turn) for turn in (1, 2, 3)]
    assert 0 < sum(one.looked_at for one in done) <= number
    assert sum(one.overwritten for one in done) >= 2  # what the second has of the first's
    assert done[-1] == Tidied()
    assert found_by_sweep(place, bucket, in_hours=4) == []
    assert list(opened().packs()) == before


def test_of_what_was_stored_whole_nothing_is_looked_at(opened: OpenSegments):
    store = opened()
    store.put(large_packs(3))
    store.put(large_packs(3, "c"))
    assert store.tidy(time.time() + 10_000) == Tidied()


def test_the_tool_says_what_it_would_delete(
    opened: OpenSegments,
    place: Place,
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    opened().put(large_packs(1))
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({"store": place.url, "segments": bucket.place.url}))
    sweep = ["sweep", "--settings", str(settings), "--hours", "1"]
    assert run_tool([*sweep, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": False, "objects": []}
    name = f"{UUID(int=new_pack_id().int - (7_200_000 << 80)).hex}.bodies"
    bucket.put(name, b"x" * 10)
    bucket.put("somebody-elses", b"x")
    assert run_tool(sweep) == 0
    assert capsys.readouterr().out == f"{name}  10 bytes  would be deleted (--yes)\n"
    assert run_tool([*sweep, "--yes"]) == 0
    assert capsys.readouterr().out == f"{name}  10 bytes  deleted\n"
    assert run_tool(sweep) == 0
    assert capsys.readouterr().out == "every segment of this time is referred to\n"
    assert len(bucket.keys("")) == 3
    assert run_tool([*sweep[:-1], "0"]) == 2
    assert run_tool(["sweep"]) == 2


def test_what_is_erased_goes_from_its_segment_too(
    opened: OpenSegments, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    """Also when it was cut short before, and others change the same object meanwhile."""
    packs = large_packs(4)
    opened().put(packs)
    store, other = opened(), opened()
    was = {one.pack_id: one for one in store.packs()}
    rewritten = [
        Rewritten(one.pack_id, [], was[one.pack_id], b"left of it", b"s") for one in packs[:2]
    ]
    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "change", lambda *_: fails())
        with pytest.raises(EngineUnavailable, match="planted"):
            store.erase(rewritten)
    now = {one.pack_id: store.get(one.pack_id) for one in packs}
    again = [replace(one, was=now[one.pack_id]) for one in rewritten]
    put, left = Bucket._put, 2

    def meanwhile(self: Bucket, key: str, body: bytes, condition: dict[str, str]) -> None:
        nonlocal left
        left -= 1
        if left == 1:
            third = Rewritten(packs[2].pack_id, [], was[packs[2].pack_id], b"left of it", b"s")
            assert other.erase([third]) == frozenset()
        put(self, key, body, condition)

    monkeypatch.setattr(Bucket, "_put", meanwhile)
    assert store.erase(again) == frozenset()
    kept = b"".join(bucket.get(key) or b"" for key in bucket.keys(""))
    assert [one.pack_id.bytes * 1000 in kept for one in packs] == [False, False, False, True]
    bodies = {one.pack_id: one.body for one in opened().packs()}
    assert [bodies[one.pack_id] for one in packs] == [b"left of it"] * 3 + [packs[3].body]


def test_what_was_enriched_before_a_replay_is_erased_too(opened: OpenSegments, bucket: Bucket):
    packs = large_packs(4)
    mark = b"of the subject"
    letter = DeadLetter(packs[0].pack_id, 0, "transform", "no", b"{}")
    store = opened()
    store.put([replace(packs[0], sidecar=mark, dead=[letter]), *packs[1:]])
    was = store.get(packs[0].pack_id)
    assert was is not None
    assert store.revive(replace(packs[0], sidecar=b"newer"), {0}, was)
    was = store.get(packs[0].pack_id)
    assert store.erase([Rewritten(packs[0].pack_id, [], was, b"left", b"s")]) == frozenset()
    kept = b"".join(bucket.get(key) or b"" for key in bucket.keys(""))
    assert mark not in kept
    assert packs[0].pack_id.bytes * 1000 not in kept
    assert packs[1].pack_id.bytes * 1000 in kept


def fails() -> None:
    raise EngineUnavailable("planted")


def found_by_sweep(
    place: Place, bucket: Bucket, *, in_hours: int = 0, take: bool = False
) -> list[str]:
    """Of what is older than an hour then."""
    table = Table(place, retries())
    sweep = Sweep(table, Segments(bucket), Begun(table))
    then_s = time.time() + in_hours * 3600
    found = list(sweep.orphans(now_s=then_s, older_than_s=3600, since_s=86_400))
    for one in found if take else ():
        sweep.take(one)
    return [one.file for one in found]

"""Packs wait under their leases for others to be stored with, for so long, and so many."""

from dataclasses import replace
from pathlib import Path

import pytest

from eventstore.errors import EngineUnavailable, SettingsError
from eventstore.event import new_pack_id
from eventstore.ports import EventStore, Lease, Queue, Way
from eventstore.processing.gathered import BYTES_MAX, ENOUGH_BYTES, Gathered
from eventstore.processing.processor import Processor
from eventstore.settings import Settings, from_dict
from tests.contracts.test_event_store import A, enriched
from tests.eventstore.test_processing import make_pack

LINGER_S = 60


def test_they_are_due_after_a_while_or_when_there_are_enough():
    now_s = 100.0
    gathered = Gathered(2, lambda: now_s)
    small = enriched([A])
    large = replace(small, body=b"x" * ENOUGH_BYTES)
    assert not gathered.is_due()
    assert (gathered.left_s(), gathered.pause_s()) == (None, 0)
    gathered.add(lease(), small)
    assert (gathered.left_s(), gathered.pause_s()) == (2, 0.5)
    now_s = 101.5
    gathered.add(lease(), small)
    assert (gathered.is_due(), gathered.left_s(), gathered.pause_s()) == (False, 0.5, 0.5)
    now_s = 102.5
    assert (gathered.is_due(), gathered.left_s(), gathered.pause_s()) == (True, 0, 0)
    assert len(gathered.take()) == 2
    assert not gathered.is_due()
    gathered.add(lease(), large)
    assert gathered.is_due()
    assert gathered.fits(replace(small, body=b"x" * (BYTES_MAX - ENOUGH_BYTES - 14)))
    assert not gathered.fits(replace(small, body=b"x" * (BYTES_MAX - ENOUGH_BYTES - 13)))
    gathered.take()
    assert gathered.fits(replace(small, body=b"x" * (BYTES_MAX + 1)))


def test_what_is_no_longer_held_is_forgotten():
    gathered = Gathered(LINGER_S, lambda: 0)
    leases = [lease(), lease()]
    for one in leases:
        gathered.add(one, replace(enriched([A]), body=b"x" * (ENOUGH_BYTES // 2)))
    assert gathered.is_due()
    gathered.keep({leases[1].pack_id})
    assert not gathered.is_due()
    assert gathered.leases == leases[1:]


def lease() -> Lease:
    return Lease(new_pack_id(), b"", 1, "", "", Way("/e", 1))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """As of a store with segments; the engines are the embedded ones."""
    return Settings(
        data=f"file://{tmp_path}",
        segments="s3://bucket/segments",
        segment_linger_s=LINGER_S,
        claim_packs_max=2,
    )


def test_several_claims_are_stored_at_once_and_acknowledged_after_that(
    queue: Queue, store: EventStore, settings: Settings
):
    packs = [make_pack([b'{"n":%d}' % n]) for n in range(5)]
    queue.put(packs)
    processor = Processor(queue, store, settings)
    assert [processor.step() for _ in range(4)] == [2, 2, 1, 0]
    assert list(store.packs()) == []
    assert queue.depth().leased == 5
    processor.stop()
    processor.run()  # it drains
    assert {one.pack_id for one in store.packs()} == {one.pack_id for one in packs}
    assert queue.depth().packs == 0


def test_leases_are_extended_while_packs_wait_and_what_was_lost_is_not_stored(
    queue: Queue, store: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    packs = [make_pack([b"{}"]) for _ in range(3)]
    queue.put(packs)
    processor = Processor(queue, store, settings)
    assert processor.step() == 2
    extended: list[int] = []
    extend = queue.extend

    def some_are_lost(leases: list[Lease], lease_s: float) -> list[Lease]:
        extended.append(len(leases))
        return [one for one in extend(leases, lease_s) if one.pack_id != packs[0].pack_id]

    monkeypatch.setattr(queue, "extend", some_are_lost)
    processor._extend_at_s = 0
    assert processor.step() == 1
    assert extended == [3]
    processor.stop()
    processor.run()
    assert {one.pack_id for one in store.packs()} == {one.pack_id for one in packs[1:]}


def test_when_the_store_fails_all_of_them_come_again(
    queue: Queue, store: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    queue.put([make_pack([b"{}"]) for _ in range(2)])
    processor = Processor(queue, store, replace(settings, segment_linger_s=0))

    def fails(*_: object) -> int:
        raise EngineUnavailable("planted")

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", fails)
        with pytest.raises(EngineUnavailable):
            processor.step()
    assert processor.step() == 0  # they are leased still, and nothing is left in hand
    assert list(store.packs()) == []
    assert queue.depth().leased == 2


@pytest.mark.parametrize(
    ("document", "linger_s"),
    [
        ({}, 0),
        ({"store": "dynamodb://t", "segments": "s3://b/s"}, 2),
        ({"store": "dynamodb://t", "segments": "s3://b/s", "placement": "items"}, 0),
        ({"store": "dynamodb://t", "segments": "s3://b/s", "segment_linger_s": 0.5}, 0.5),
    ],
)
def test_only_who_merges_packs_waits_for_others(document: dict[str, object], linger_s: float):
    assert from_dict(document).linger_s == linger_s


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"placement": "segments", "store": "dynamodb://t"}, "placement: segments: name their"),
        ({"placement": "s3"}, "placement: 's3': one of auto, items, segments"),
        ({"segments": "s3://b/s"}, "segments: only a store of dynamodb"),
        ({"segments": "b/s", "store": "dynamodb://t"}, "segments: 'b/s': expected s3://"),
    ],
)
def test_what_settings_of_segments_are_refused(document: dict[str, object], says: str):
    with pytest.raises(SettingsError, match=says):
        from_dict(document)

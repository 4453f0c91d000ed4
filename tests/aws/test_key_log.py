"""Client keys in logs, on DynamoDB Local: each key has one first event, however a span is divided
and whoever adds to it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import pytest

from eventstore.backends.aws import key_log
from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.create import create_table
from eventstore.backends.aws.key_log import KEYS_A_LOG, LOGS_MAX, KeyLog, logs_for
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.placing import Placing
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.table import Table
from eventstore.errors import EngineUnavailable
from eventstore.ports import Enriched
from tests.aws.conftest import REGION
from tests.contracts.test_event_store import A, enriched

NAMES = [f"client-{number}" for number in range(60)]
Opened = Callable[[], KeyLog]


@pytest.mark.parametrize(
    ("keys", "logs"),
    [(0, 1), (KEYS_A_LOG, 1), (KEYS_A_LOG + 1, 2), (2_000_000, 14), (10**9, LOGS_MAX)],
)
def test_heavy_traffic_has_more_logs(keys: int, logs: int):
    assert logs_for(keys) == logs


@pytest.fixture
def table(dynamodb: str, new_name: Callable[[str], str]) -> Iterator[Table]:
    url = f"dynamodb://{new_name('keys')}?region={REGION}&endpoint={dynamodb}"
    place = Place.of(url, "dynamodb")
    create_table(place, Retries(30, random=Random(1)))
    made = Table(place, Retries(30, random=Random(1)))
    yield made
    made.close()


@pytest.fixture
def opened(table: Table, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A processor's view of the logs; a span that follows one of eight keys is divided."""
    monkeypatch.setattr(key_log, "KEYS_A_LOG", 1)
    numbers = itertools.count(1)
    placing = Placing(None, "items", Begun(table), lambda _: False)
    return lambda: KeyLog(table, Retries(60, random=Random(next(numbers))), placing)


def claim(log: KeyLog, packs: Sequence[Enriched]) -> dict[UUID, set[int]]:
    return log.claim(log.parts(packs, None), {}, None)


def pack(names: Sequence[str], span: int) -> Enriched:
    return enriched([A] * len(names), list(names), spans=[span] * len(names))


def first_seen(packs: Sequence[Enriched], again: dict[UUID, set[int]]) -> Counter[str]:
    """How often each key's event is not hidden."""
    return Counter(
        one.keys[index].tobytes().hex()
        for one in packs
        for index in range(len(one.keys))
        if index not in again[one.pack_id]
    )


def logs_of(table: Table, span: int) -> int:
    opening = table.get((f"keys#{span}", "0000000000"))
    assert opening is not None
    return int(opening.values["logs"])


def test_a_span_is_divided_by_the_traffic_before_it_and_all_agree(table: Table, opened: Opened):
    log = opened()
    claim(log, [pack(NAMES[:8], 0)])
    assert claim(log, [one := pack(NAMES, 1)]) == {one.pack_id: set()}
    assert (logs_of(table, 0), logs_of(table, 1)) == (1, 8)
    used = [number for number in range(8) if list(table.query(_pk(1, number)))]
    assert used == list(range(8))
    other = opened()  # it has seen no traffic at all
    assert claim(other, [again := pack(NAMES, 1)]) == {again.pack_id: set(range(60))}
    assert claim(other, [one]) == {one.pack_id: set()}


def test_a_log_from_before_spans_were_divided_is_read_on(table: Table, opened: Opened):
    log = opened()
    first = pack(NAMES[:5], 1)
    claim(log, [first])
    (_, entry) = table.query("keys#1")
    table.write([key_log.Item("keys#1", "0000000000", {}, entry.blob)], [entry.key])
    later = opened()
    claim(later, [pack(NAMES[:8], 0)])
    assert claim(later, [again := pack(NAMES, 1)]) == {again.pack_id: set(range(5))}
    assert claim(later, [first]) == {first.pack_id: set()}
    assert not list(table.query(_pk(1, 1)))


def test_a_claim_that_is_cut_short_between_logs_is_ended_by_the_next(
    table: Table, opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    """After each of its writes; meanwhile another comes with the same keys."""
    put_if = table.put_if
    for cut, span in enumerate(range(1, 10)):
        seen = opened()
        claim(seen, [pack(NAMES[:8], 0)])
        left = itertools.count(cut + 1, -1)  # the span's opening too

        def cut_short(*arguments: Any, left: Iterator[int] = left) -> None:
            if next(left) <= 0:
                raise EngineUnavailable("cut short")
            put_if(*arguments)

        one, other = pack(NAMES, span), pack(list(reversed(NAMES)), span)
        monkeypatch.setattr(table, "put_if", cut_short)
        with suppress(EngineUnavailable):
            claim(seen, [one])
        monkeypatch.undo()
        monkeypatch.setattr(key_log, "KEYS_A_LOG", 1)
        between = claim(opened(), [other])
        after = claim(opened(), [one]) | between
        seen_once = first_seen([one, other], after)
        assert set(seen_once.values()) == {1}
        assert len(seen_once) == len(NAMES)
        # Whoever comes again finds the same.
        assert claim(opened(), [one, other]) == after


def test_of_many_processors_with_the_same_keys_one_is_first_with_each(opened: Opened):
    claim(opened(), [pack(NAMES[:8], 0)])
    random = Random(7)
    packs = [pack(random.sample(NAMES, len(NAMES)), 1) for _ in range(12)]

    def processor(some: Sequence[Enriched]) -> dict[UUID, set[int]]:
        log = opened()
        claim(log, [pack(NAMES[:8], 0)])
        found: dict[UUID, set[int]] = {}
        for one in some:
            found |= claim(log, [one])
        return found

    with ThreadPoolExecutor(4) as processors:
        each = list(processors.map(processor, (packs[start::4] for start in range(4))))
    again = {pack_id: hidden for one in each for pack_id, hidden in one.items()}
    seen_once = first_seen(packs, again)
    assert set(seen_once.values()) == {1}
    assert len(seen_once) == len(NAMES)


def test_what_is_kept_in_memory_is_bounded_by_keys_too(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(key_log, "KEYS_KEPT", 100)
    log = opened()
    packs = [pack(NAMES, span) for span in range(4)]
    for one in packs:
        assert claim(log, [one]) == {one.pack_id: set()}
        assert len(log._spans) == 1
    assert claim(log, packs) == {one.pack_id: set() for one in packs}
    again = pack(NAMES, 0)
    assert claim(log, [again]) == {again.pack_id: set(range(len(NAMES)))}


def _pk(span: int, log: int) -> str:
    return key_log._pk(span, log)

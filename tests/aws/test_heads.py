"""Which packs are there: the same answer, however they are looked for; and what that costs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.create import create_table
from eventstore.backends.aws.expiry import Expiry
from eventstore.backends.aws.heads import Heads
from eventstore.backends.aws.items import Head
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.placing import Placing
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.table import Table
from tests.aws.conftest import REGION
from tests.aws.test_consumed import counted

MINUTE_MS = 29_925_000 * 60_000


@pytest.fixture
def heads(dynamodb: str, new_name: Callable[[str], str]) -> Iterator[Heads]:
    retries = Retries(30, random=random.Random(1))
    url = f"dynamodb://{new_name('events')}?region={REGION}&endpoint={dynamodb}"
    place = Place.of(url, "dynamodb")
    create_table(place, retries)
    table, expiry = Table(place, retries), Expiry(None)
    yield Heads(table, Placing(None, "items", Begun(table), expiry.is_over), expiry)
    table.close()


def packs(every_ms: int, count: int) -> list[UUID]:
    """Their ids, from one minute into the next."""
    chance = random.Random(every_ms)
    start_ms = MINUTE_MS + 60_000 - every_ms * count // 2
    return [
        UUID(int=(start_ms + every_ms * number) << 80 | chance.getrandbits(80))
        for number in range(count)
    ]


def units_of_looking(heads: Heads, ids: list[UUID]) -> float:
    with counted() as grown:
        found = heads.there(ids)
    assert found.keys() == {one for number, one in enumerate(ids) if number % 3 == 0}
    return sum(grown.values())


def stored(heads: Heads, ids: list[UUID]) -> None:
    for one in ids:
        assert heads.add(Head(one, stored=True, way=None))


@pytest.mark.parametrize("every_ms", [1, 200], ids=["dense", "thin"])
def test_packs_are_found_and_missed_however_they_come(heads: Heads, every_ms: int):
    ids = packs(every_ms, 150)
    stored(heads, ids[::3])
    units = units_of_looking(heads, ids)
    assert units == 150 if every_ms == 1 else units <= 40
    assert heads.there([]) == {}
    assert not heads.add(Head(ids[0], stored=True, way=None))


def test_where_many_others_are_between_them_it_costs_little_more(heads: Heads):
    ids = packs(200, 60)
    others = [UUID(int=one.int + (10 << 80) + number * 16) for one in ids for number in range(5)]
    stored(heads, [*ids[::3], *others])
    assert units_of_looking(heads, ids) <= 60 + 32

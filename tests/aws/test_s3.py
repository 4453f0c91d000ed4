"""Aggregates in S3 keep the contract of all aggregates."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from eventstore.backends.aws.aggregates import S3Aggregates
from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.create import create_bucket
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable
from tests.aws.conftest import REGION
from tests.contracts.test_aggregates import FIRST, AggregatesContract, OpenAggregates, nth


def retries() -> Retries:
    return Retries(30, random=Random(1))


@pytest.fixture
def place(s3: str, new_name: Callable[[str], str]) -> Place:
    place = Place.of(f"s3://{new_name('windows')}/shop/web?region={REGION}&endpoint={s3}", "s3")
    create_bucket(place, retries())
    create_bucket(place, retries())
    return place


class TestS3Aggregates(AggregatesContract):
    @pytest.fixture
    def opened(self, place: Place) -> OpenAggregates:
        return lambda: S3Aggregates(place, retries(), generations_kept=3)

    def test_a_damaged_table_is_noticed(self, place: Place, opened: OpenAggregates):
        opened().publish(FIRST, b"table")
        (latest,) = opened().windows()
        Bucket(place, retries()).put(latest.file, b"tampered")
        with pytest.raises(EngineUnavailable, match="differs"):
            opened().read(latest)

    def test_old_generations_and_losers_leave_nothing_behind(
        self, place: Place, opened: OpenAggregates
    ):
        for number in range(1, 8):
            opened().publish(nth(number), f"table {number}".encode())
            opened().publish(nth(number), b"too late")
        assert len(Bucket(place, retries()).keys("")) == 6

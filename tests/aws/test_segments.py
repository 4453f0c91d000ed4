"""Packs in segments: readers see no difference, and nobody refers to what may be gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.create import create_bucket, create_table
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.segments import Segments
from eventstore.backends.aws.store import DynamoStore
from tests.aws.conftest import REGION
from tests.aws.test_dynamodb import DynamoStoreContract


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
def opened(place: Place, bucket_place: Place) -> Iterator[Callable[..., DynamoStore]]:
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
    def opened(self, opened: Callable[..., DynamoStore]) -> Callable[..., DynamoStore]:
        return opened

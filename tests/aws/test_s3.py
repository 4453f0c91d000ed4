"""Aggregates in S3 keep the contract of all aggregates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import boto3
import pytest
from botocore.config import Config

from cli.lab.engines import servers
from eventstore.backends.aws import calls
from eventstore.backends.aws.aggregates import S3Aggregates
from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.calls import Calls, session
from eventstore.backends.aws.create import create_bucket
from eventstore.backends.aws.multipart import PART_BYTES
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable, SettingsError
from tests.aws.conftest import REGION
from tests.aws.proxy import proxied
from tests.contracts.test_aggregates import FIRST, AggregatesContract, OpenAggregates, nth
from tests.serving import serving


def retries() -> Retries:
    return Retries(30, random=Random(1))


def client(place: Place) -> Any:
    options = Config(s3={"addressing_style": "path"})
    return session().client("s3", endpoint_url=place.endpoint, region_name=REGION, config=options)


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


@pytest.fixture(scope="module")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "test")
        server = partial(servers.versitygw, region=REGION)
        with serving(server, tmp_path_factory.mktemp("versitygw")) as endpoint:
            yield endpoint


class TestOnVersitygw(TestS3Aggregates):
    @pytest.fixture
    def place(self, versitygw: str, new_name: Callable[[str], str]) -> Place:
        url = f"s3://{new_name('windows')}/shop?region={REGION}&endpoint={versitygw}"
        place = Place.of(url, "s3")
        where = {"LocationConstraint": REGION}  # create_bucket sets a lifecycle: it has none
        client(place).create_bucket(Bucket=place.name, CreateBucketConfiguration=where)
        return place

    def test_a_wrong_secret_is_refused(self, place: Place, monkeypatch: pytest.MonkeyPatch):
        """The other S3 server never looks at it."""
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        monkeypatch.setattr(calls, "session", boto3.session.Session)
        with pytest.raises(EngineUnavailable, match="SignatureDoesNotMatch"):
            Bucket(place, retries())


LARGE = Random(1).randbytes(2 * PART_BYTES + 100)


def uploads(place: Place) -> list[Any]:
    found: list[Any] = client(place).list_multipart_uploads(Bucket=place.name).get("Uploads") or []
    return found


def test_a_large_object_goes_in_parts_with_checksums(place: Place, monkeypatch: pytest.MonkeyPatch):
    asked: list[dict[str, Any]] = []
    call = Calls.__call__

    def noted(calls: Calls, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation in ("put_object", "upload_part"):
            asked.append(arguments)
        return call(calls, operation, **arguments)

    bucket = Bucket(place, retries())
    monkeypatch.setattr(Calls, "__call__", noted)
    bucket.put("small", LARGE[:PART_BYTES])
    assert bucket.put_once("large", LARGE)
    assert [one.get("PartNumber") for one in asked] == [None, 1, 2, 3]
    # S3 refuses smaller ones, but for the last, and more than 10,000; the server here does not.
    assert all(5 << 20 <= len(one["Body"]) <= 5 << 30 for one in asked[:-1])
    assert bucket.get("large") == LARGE
    assert bucket.get_range("large", PART_BYTES - 5, 10) == LARGE[PART_BYTES - 5 : PART_BYTES + 5]
    assert not bucket.put_once("large", LARGE[::-1])
    assert bucket.get("large") == LARGE
    bucket.put("large", LARGE[::-1])
    assert bucket.get("large") == LARGE[::-1]
    assert uploads(place) == []


def test_parts_of_an_upload_that_fails_are_taken_away(
    s3: str, place: Place, monkeypatch: pytest.MonkeyPatch
):
    """A part is damaged on its way: its checksum is that of another."""
    call = Calls.__call__

    def damaged(calls: Calls, operation: str, **arguments: Any) -> dict[str, Any]:
        if arguments.get("PartNumber") == 2:
            arguments["ChecksumCRC32"] = "AAAAAA=="
        return call(calls, operation, **arguments)

    with proxied(s3) as proxy:
        through = Place.of(place.url.replace(s3, proxy.endpoint), "s3")
        bucket = Bucket(through, retries())
        monkeypatch.setattr(Calls, "__call__", damaged)
        with pytest.raises(EngineUnavailable, match="cannot upload_part: BadDigest"):
            bucket.put("large", LARGE)
    assert proxy.actions == {"s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"}
    assert uploads(place) == []
    assert Bucket(place, retries()).keys("") == []


def test_rules_of_others_stay_in_a_buckets_lifecycle(place: Place):
    theirs = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 1},
    }
    s3 = client(place)
    s3.put_bucket_lifecycle_configuration(
        Bucket=place.name, LifecycleConfiguration={"Rules": [theirs]}
    )
    create_bucket(place, retries())
    create_bucket(place, retries(), expires_days=33)
    create_bucket(place, retries(), expires_days=33)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=place.name)["Rules"]
    assert rules == [
        theirs,
        {
            "ID": "evctl shop/web/",
            "Status": "Enabled",
            "Filter": {"Prefix": "shop/web/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
            "Expiration": {"Days": 33},
        },
    ]
    whole = Place.of(place.url.replace("/shop/web", ""), "s3")
    with pytest.raises(SettingsError, match="add a path of its own"):
        create_bucket(whole, retries(), expires_days=33)

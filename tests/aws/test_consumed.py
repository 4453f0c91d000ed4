"""What calls have consumed, as AWS bills it: counted by the client, and as DynamoDB says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.consumed import METER, Meter, item_bytes, with_units
from eventstore.backends.aws.create import create_bucket, create_queue, create_table
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.queue import SqsQueue
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.table import Item, Table
from tests.aws.conftest import REGION
from tests.contracts.test_queue import pack_of

Amounts = dict[tuple[str, str], float]


def read(meter: Meter) -> Amounts:
    """(counter, label) → amount."""
    found = {}
    for line in (line for one in meter.counters() for line in one.lines() if line[0] != "#"):
        series, _, value = line.rpartition(" ")
        name, _, label = series.partition("{")
        found[name.removeprefix("ev_aws_"), label.split('"')[1]] = float(value)
    return found


@contextmanager
def counted() -> Iterator[Amounts]:
    """What this process has consumed meanwhile, without its bytes."""
    before = read(METER)
    grown: Amounts = {}
    yield grown
    for key, value in read(METER).items():
        if value > before.get(key, 0) and "_bytes_" not in key[0]:
            grown[key] = value - before.get(key, 0)


def retries() -> Retries:
    return Retries(30, random=Random(1))


def test_nothing_is_told_by_who_has_called_nobody():
    assert Meter().counters() == []


@pytest.mark.parametrize(
    ("carried", "requests"), [(0, 1), (1, 1), (65_536, 1), (65_537, 2), (1_048_576, 16)]
)
def test_a_request_to_sqs_counts_once_for_every_64_kb(carried: int, requests: int):
    meter = Meter()
    half = carried // 2
    attribute = {"DataType": "Binary", "BinaryValue": b"x" * max(0, carried - half - 10)}
    entry: dict[str, Any] = {"MessageBody": "x" * half}
    if carried > 10:
        entry["MessageAttributes"] = {"pack": attribute}  # 4 and 6 bytes are names
    meter.note("sqs", "send_message_batch", {"Entries": [entry]}, {})
    assert read(meter)["sqs_requests_total", "send_message_batch"] == requests


def test_an_item_has_the_bytes_of_its_names_and_values():
    assert item_bytes({"pk": {"S": "ü"}, "n": {"N": "1234"}, "b": {"B": b"123"}}) == 4 + 4 + 4


def test_dynamodb_is_asked_for_its_units_where_it_has_some():
    assert with_units("put_item", {}) == {"ReturnConsumedCapacity": "TOTAL"}
    assert with_units("describe_table", {}) == {}
    assert with_units("send_message_batch", {}) == {}


def test_units_of_dynamodb_and_of_a_condition_that_was_not_met(
    dynamodb: str, new_name: Callable[[str], str]
):
    url = f"dynamodb://{new_name('events')}?region={REGION}&endpoint={dynamodb}"
    place = Place.of(url, "dynamodb")
    create_table(place, retries())
    table = Table(place, retries())
    item = Item("a", "b", blob=b"x" * 2500)
    with counted() as grown:
        table.put_if(item, "attribute_not_exists(pk)")
        with pytest.raises(Unmet):
            table.put_if(item, "attribute_not_exists(pk)")
        table.write([Item("a", str(number), blob=b"x" * 1500) for number in range(30)])
        table.get(item.key)
        assert len(list(table.query("a"))) == 31
    table.close()
    assert grown == {
        ("dynamodb_write_units_total", "put_item"): 6,  # the engine says nothing of the second
        ("dynamodb_write_units_total", "batch_write_item"): 60,
        ("dynamodb_read_units_total", "get_item"): 1,
        ("dynamodb_read_units_total", "query"): 12,
    }


def test_requests_of_sqs_and_receives_that_brought_nothing(
    sqs: str, new_name: Callable[[str], str]
):
    place = Place.of(f"sqs://{new_name('packs')}?region={REGION}&endpoint={sqs}", "sqs")
    create_queue(place, retries())
    queue = SqsQueue(place, packs_max=10, retries=retries(), long_poll_s=0)
    with counted() as grown:
        queue.put([pack_of(b"x" * 100_000), pack_of(b"y" * 90_000)])
        queue.ack(queue.claim(10, 60))
        assert queue.claim(10, 60) == []
    queue.close()
    sent, received = "send_message_batch", "receive_message"
    assert grown.pop(("sqs_requests_total", "get_queue_attributes")) >= 1
    assert grown == {
        ("sqs_requests_total", sent): 3,
        ("sqs_requests_total", received): 3 + 1,
        ("sqs_requests_total", "delete_message_batch"): 1,
        ("sqs_empty_receives_total", received): 1,
    }


def test_requests_of_s3_also_those_that_found_nothing(s3: str, new_name: Callable[[str], str]):
    place = Place.of(f"s3://{new_name('windows')}/shop?region={REGION}&endpoint={s3}", "s3")
    create_bucket(place, retries())
    bucket = Bucket(place, retries())
    before = read(METER)
    with counted() as grown:
        bucket.put("a", b"x" * 10_000)
        assert not bucket.put_once("a", b"2")
        assert bucket.get("a") == b"x" * 10_000
        assert bucket.get("b") is None
        assert bucket.keys("") == ["a"]
        bucket.delete("a")
    bucket.close()
    assert grown == {
        ("s3_puts_total", "put_object"): 2,
        ("s3_puts_total", "list_objects_v2"): 1,
        ("s3_gets_total", "get_object"): 2,
    }
    after = read(METER)
    for way in ("sent_bytes_total", "received_bytes_total"):
        assert after[way, "s3"] - before.get((way, "s3"), 0) >= 10_000


def test_what_threads_add_at_the_same_time_is_all_there():
    meter = Meter()

    def add(_: int) -> None:
        for _ in range(2000):
            meter.sent("sqs", 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert read(meter)["sent_bytes_total", "sqs"] == 16_000

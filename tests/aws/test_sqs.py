"""The queue on SQS keeps the contract of every queue, on ElasticMQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from eventstore.backends.aws import queue as queue_module
from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.calls import session
from eventstore.backends.aws.create import create_bucket, create_queue
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.queue import SqsQueue
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable, QueueFull
from eventstore.event import new_pack_id
from eventstore.ports import Depth, Packed
from tests.aws.conftest import REGION
from tests.contracts.test_queue import OpenQueue, QueueContract, pack_of

OpenSqs = Callable[..., SqsQueue]


def retries() -> Retries:
    return Retries(30, random=Random(1))


@pytest.fixture
def place(sqs: str, new_name: Callable[[str], str]) -> Place:
    place = Place.of(f"sqs://{new_name('packs')}?region={REGION}&endpoint={sqs}", "sqs")
    create_queue(place, retries())
    return place


@pytest.fixture
def opened(place: Place) -> Iterator[OpenSqs]:
    queues: list[SqsQueue] = []

    def open_one(packs_max: int = 10, claims: Bucket | None = None) -> SqsQueue:
        queues.append(
            SqsQueue(place, packs_max=packs_max, retries=retries(), claims=claims, long_poll_s=0)
        )
        return queues[-1]

    yield open_one
    for one in queues:
        one.close()


class TestSqsQueue(QueueContract):
    @pytest.fixture
    def opened(self, opened: OpenSqs) -> OpenQueue:
        return opened


def test_more_than_a_batch_goes_through_both_ways(opened: OpenSqs):
    queue = opened(packs_max=100)
    put = [pack_of(bytes([number]) * 200_000) for number in range(23)]  # 5 of these fill a batch
    queue.put(put)
    leases = queue.claim(100, 60)
    assert {(one.pack_id, one.body) for one in leases} == {(one.pack_id, one.body) for one in put}
    queue.ack(leases)
    assert queue.depth().packs == 0


def test_it_remembers_nothing_and_says_so(opened: OpenSqs):
    queue = opened()
    pack = pack_of(b"body")
    queue.put([pack])
    assert queue.ledger(0) is None
    assert queue.find(pack.pack_id) is None


def test_a_reason_of_any_text_comes_back(opened: OpenSqs):
    queue = opened()
    queue.put([pack_of(b"\x00\xff")])
    queue.release(queue.claim(1, 60), reason="\x00 ü 🙂\n" + "x" * 2000)
    (lease,) = queue.claim(1, 60)
    assert lease.reason.startswith("\x00 ü 🙂\nx")
    assert len(lease.reason) == 1000


def test_a_pack_that_fits_no_message_is_claimed_from_the_bucket(
    opened: OpenSqs, s3: str, new_name: Callable[[str], str]
):
    place = Place.of(f"s3://{new_name('claims')}/packs?region={REGION}&endpoint={s3}", "s3")
    create_bucket(place, retries())
    large = Packed(new_pack_id(), b"x" * (1 << 20), "/e", 1)
    with pytest.raises(EngineUnavailable, match="set claims"):
        opened().put([large])
    bucket = Bucket(place, retries())
    queue = opened(claims=bucket)
    queue.put([large, pack_of(b"small")])
    leases = {one.pack_id: one for one in queue.claim(10, 60)}
    assert leases[large.pack_id].body == large.body
    queue.ack(list(leases.values()))
    assert queue.depth().packs == 0
    assert bucket.keys("") == [f"{large.pack_id}.pack"]  # its lifecycle takes it, never we


def test_nothing_is_claimed_near_the_cap_of_what_may_be_leased_and_that_is_said(
    opened: OpenSqs, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue_module, "IN_FLIGHT_MAX", 3)
    now_s = 0.0
    queue = SqsQueue(place, packs_max=10, retries=retries(), long_poll_s=0, clock=lambda: now_s)
    queue.put([pack_of(b"body")] * 6)
    leases = queue.claim(4, 60)
    assert len(queue.claim(1, 60)) == 1  # the count is not old yet
    now_s = queue_module.IN_FLIGHT_S + 1
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="5 packs are leased, and SQS gives no more"):
            queue.claim(1, 60)
    assert queue.depth().gauges()["ev_queue_leased"] == 5
    queue.ack(leases)
    now_s *= 2.5
    assert len(queue.claim(10, 60)) == 1
    queue.close()


def test_how_much_waits_is_counted_seldom_where_there_is_room_and_always_before_a_refusal(
    opened: OpenSqs, place: Place, monkeypatch: pytest.MonkeyPatch
):
    counted: list[float] = []
    depth, now_s = SqsQueue.depth, 0.0

    def noted(queue: SqsQueue) -> Depth:
        counted.append(now_s)
        return depth(queue)

    monkeypatch.setattr(SqsQueue, "depth", noted)
    queue = SqsQueue(place, packs_max=1000, retries=retries(), clock=lambda: now_s)
    for at_s in (0.0, 2.0, 9.0, 11.0):  # a pack each: little of the room
        now_s = at_s
        queue.put([pack_of(b"body")])
    assert counted == [0.0, 11.0]
    queue.put([pack_of(b"body")] * 20)  # a hundredth of the room is taken
    now_s = 13.0
    queue.put([pack_of(b"body")])
    assert counted == [0.0, 11.0, 13.0]
    with pytest.raises(QueueFull):
        queue.put([pack_of(b"body")] * 980)
    assert counted == [0.0, 11.0, 13.0, 13.0]
    queue.close()


def test_what_is_no_pack_goes_to_the_dead_letter_queue(opened: OpenSqs, place: Place):
    queue = opened()
    client = session().client("sqs", endpoint_url=place.endpoint, region_name=REGION)
    url = client.get_queue_url(QueueName=place.name)["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="hello")
    queue.put([pack_of(b"body")])
    dead = client.get_queue_url(QueueName=f"{place.name}-dead")["QueueUrl"]
    found: list[Any] = []
    for _ in range(200):
        queue.release(queue.claim(10, 0))
        found = client.receive_message(QueueUrl=dead).get("Messages", [])
        if found:
            break
    assert [one["Body"] for one in found] == ["hello"]
    assert [one.body for one in queue.claim(10, 60)] == [b"body"]


def test_a_queue_without_a_dead_letter_queue_is_refused(sqs: str, new_name: Callable[[str], str]):
    place = Place.of(f"sqs://{new_name('plain')}?region={REGION}&endpoint={sqs}", "sqs")
    client = session().client("sqs", endpoint_url=sqs, region_name=REGION)
    client.create_queue(QueueName=place.name)
    with pytest.raises(EngineUnavailable, match="no dead-letter queue; give it a RedrivePolicy"):
        SqsQueue(place, packs_max=1, retries=retries())

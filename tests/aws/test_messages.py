"""Batches of messages, what SQS answers to them, and when to try again: without any engine."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.backends.aws.entries import refused
from eventstore.backends.aws.message import (
    BATCH_BYTES_MAX,
    BATCH_MAX,
    MESSAGE_BYTES_MAX,
    Header,
    Message,
    batches,
    read,
)
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable, SettingsError

PACK_ID = "01a21437-266c-762b-9d9c-26d18e0a5f96"


def message(body: bytes) -> Message:
    return Message(Header(PACK_ID, "/e", 1, 0), body)


@given(st.lists(st.integers(1, MESSAGE_BYTES_MAX - 300), max_size=40))
def test_no_batch_is_above_either_limit(lengths: list[int]):
    whole = bytes(MESSAGE_BYTES_MAX)
    sent = [message(whole[:length]) for length in lengths]
    made = list(batches(sent))
    assert [one for batch in made for one in batch] == sent
    assert all(0 < len(batch) <= BATCH_MAX for batch in made)
    assert all(sum(one.size_bytes() for one in batch) <= BATCH_BYTES_MAX for batch in made)
    if sum(one.size_bytes() for one in sent) <= BATCH_BYTES_MAX and len(sent) <= BATCH_MAX:
        assert len(made) == bool(sent)


@pytest.mark.parametrize("body", ["hello", "[]", "{}", '{"schema": 1}', '{"schema": 2}'])
def test_what_is_no_message_of_ours_is_told(body: str):
    with pytest.raises(ValueError, match=r"not a pack|Expecting"):
        read({"Body": body})


def test_a_message_without_its_pack_is_told():
    with pytest.raises(ValueError, match="without its pack"):
        read({"Body": message(b"x").text()})


class FakeCalls:
    """Answers batches as told: for each call, Id → how it fails; all others succeed."""

    def __init__(self, *answers: dict[str, dict[str, Any]]) -> None:
        self.place = Place.of("sqs://packs", "sqs")
        self.waited: list[float] = []
        self.now_s = 0.0
        self.retries = Retries(10, random=Random(7), clock=lambda: self.now_s, sleep=self._sleep)
        self.sent: list[list[str]] = []
        self._answers = list(answers)

    def __call__(self, operation: str, *, Entries: Sequence[Any], **_: Any) -> dict[str, Any]:  # noqa: N803 -- AWS's own
        ids = [entry["Id"] for entry in Entries]
        self.sent.append(ids)
        failing = self._answers.pop(0) if self._answers else {}
        return {
            "Successful": [{"Id": one} for one in ids if one not in failing],
            "Failed": [{"Id": one, **failing[one]} for one in ids if failing.get(one)],
        }

    def _sleep(self, wait_s: float) -> None:
        self.waited.append(wait_s)
        self.now_s += wait_s


FAULT = {"Code": "InternalError", "SenderFault": False}
WRONG = {"Code": "InvalidMessageContents", "SenderFault": True, "Message": "no"}
BUSY = {"Code": "RequestThrottled", "SenderFault": True}


def entries(count: int) -> list[dict[str, str]]:
    return [{"Id": str(number)} for number in range(count)]


def test_what_failed_is_tried_again_alone_and_only_that():
    calls = FakeCalls({"1": FAULT, "3": BUSY}, {"1": FAULT}, {}, {})
    assert refused(calls, "send", "url", entries(4)) == {}  # type: ignore[arg-type]
    assert calls.sent == [["0", "1", "2", "3"], ["1"], ["1"], ["3"]]
    assert len(calls.waited) == 1


def test_what_is_wrong_is_told_and_not_tried_again():
    calls = FakeCalls({"0": WRONG})
    wrong = refused(calls, "send", "url", entries(2))  # type: ignore[arg-type]
    assert wrong == {"0": "InvalidMessageContents: no"}
    assert len(calls.sent) == 1


def test_an_entry_that_is_not_answered_has_not_succeeded():
    calls = FakeCalls({"0": {}}, {})
    assert refused(calls, "send", "url", entries(2)) == {}  # type: ignore[arg-type]
    assert calls.sent == [["0", "1"], ["0"]]


def test_a_fault_that_stays_is_an_error_in_bounded_time():
    calls = FakeCalls(*[{"0": FAULT}] * 1000)
    with pytest.raises(EngineUnavailable, match="InternalError"):
        refused(calls, "send", "url", entries(1))  # type: ignore[arg-type]
    assert calls.now_s <= 10
    assert all(0 <= wait_s <= 2 for wait_s in calls.waited)
    assert len(set(calls.waited)) == len(calls.waited)  # each is another: callers spread


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqs:packs", "expected sqs://<name>"),
        ("s3://packs", "expected sqs://<name>"),
        ("sqs://packs?regoin=eu", "regoin=eu"),
        ("sqs://packs?region=", "region="),
        ("sqs://packs?endpoint=localhost", "expected http://"),
    ],
)
def test_a_url_that_is_wrong_says_where(url: str, says: str):
    with pytest.raises(SettingsError) as told:
        Place.of(url, "sqs")
    assert says in str(told.value)

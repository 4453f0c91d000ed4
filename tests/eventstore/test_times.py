"""What events state of their time, and what is believed."""

import random
from datetime import UTC, datetime

import numpy as np
import pytest

from eventstore.times import MANY, UNSTATED, event_times, stated_ms, stated_times

NOW_MS = 1795530600_000


def believed(stated: int, sent: int = UNSTATED) -> int:
    columns = (np.array([one]) for one in (stated, NOW_MS, sent))
    return int(event_times(*columns, None, late_max_s=86400, early_max_s=60)[0])


def one_by_one(value: object) -> int:
    stated = stated_ms(value)
    return UNSTATED if stated is None else stated


def time_of(value: object) -> int:
    together = stated_times([value] * MANY).tolist()  # fewer would be read one by one
    assert together == [one_by_one(value)] * MANY
    return believed(together[0])


@pytest.mark.parametrize(
    "value",
    [
        NOW_MS - 5000,
        NOW_MS / 1000 - 5,
        int(NOW_MS / 1000) - 5,
        "2026-11-24T14:29:55Z",
        "2026-11-24T15:29:55+01:00",
        "2026-11-24T14:29:55",
        "2026-11-24T14:29:55.000Z",
        "2026-11-24T14:29:55.000000+00:00",
    ],
)
def test_stated_times_are_believed(value: object):
    assert time_of(value) == NOW_MS - 5000


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        "",
        "yesterday",
        "9" * 50,
        -1,
        0,
        1e300,
        NOW_MS + 61_000,
        NOW_MS - 86401_000,
        "0001-01-01T00:00:00+23:00",
        10**30,
        "2026-11-24T14:29:55.0x0Z",
        "2026-11-24 14:29:61.000Z",
    ],
)
def test_times_beyond_belief_become_the_time_of_receipt(value: object):
    assert time_of(value) == NOW_MS


def test_a_wrong_clock_is_put_right_by_when_the_sender_says_it_sent():
    hour_ms = 3_600_000
    assert believed(NOW_MS - hour_ms - 5000, NOW_MS - hour_ms) == NOW_MS - 5000


def test_times_read_together_are_those_read_one_by_one():
    chance = random.Random(5)
    usual = "0123456789-T:.Z"
    texts = ["2024-02-29T23:59:59.999Z", "1900-02-29T00:00:00.000Z", "0000-01-01T00:00:00.000Z"]
    for _ in range(2000):
        moment = datetime.fromtimestamp(chance.randrange(-(2**35), 2**36), UTC)
        text = f"{moment:%Y-%m-%dT%H:%M:%S}.{chance.randrange(1000):03}Z".rjust(24, "0")
        place = chance.randrange(24)
        texts += [text, text[:place] + chance.choice(usual) + text[place + 1 :]]
    alone = [one_by_one(text) for text in texts]
    assert stated_times(texts).tolist() == alone
    assert UNSTATED in alone
    mixed = [*texts[:MANY], 7, None, "ü"]
    assert stated_times(mixed).tolist() == [one_by_one(value) for value in mixed]


@pytest.mark.parametrize("minute", ["2026-11-24T14:29", "2026-11-24 14:29", "2026-11-24T24:29"])
def test_times_of_few_minutes_are_those_read_one_by_one(minute: str):
    chance = random.Random(7)
    texts = []
    for _ in range(2000):
        text = f"{minute}:{chance.randrange(65):02}.{chance.randrange(1000):03}Z"
        place = chance.randrange(len(minute), len(text))
        odd = text[:place] + chr(chance.randrange(128)) + text[place + 1 :]
        texts += [text, odd, f"2026-11-24T14:3{chance.randrange(3)}:00.000Z"]
    assert stated_times(texts).tolist() == [one_by_one(text) for text in texts]

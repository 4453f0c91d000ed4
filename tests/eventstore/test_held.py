"""What a request holds of the memory that all share is given back whatever becomes of it, and it
is answered, once: also when its head was known, and no task waits for it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from eventstore.collector.body import Held
from eventstore.collector.committer import Told
from eventstore.collector.fairness import Shares
from eventstore.collector.handlers import EventsHandler, Head
from eventstore.collector.reply import Reply
from eventstore.errors import Refused
from eventstore.formats import FORMATS, Receipt
from eventstore.settings import Settings

TOTAL = 1 << 20
LATER = Refused(429, "overloaded", "too much", "later", retry_after_s=1)
GOOD = Receipt("01999999-0000-7000-8000-000000000000", 0, 1)


def test_who_finds_no_room_has_nothing_to_give_back():
    shares = Shares(10)
    with pytest.raises(Refused), Held(shares, "new") as held:
        held.more(11)
    assert shares.free == 10


class Commits:
    """In the place of a committer: keeps whom to tell, or fails."""

    def __init__(self, error: Exception | None) -> None:
        self.told: list[Told] = []
        self._error = error

    def put(self, _kind: Any, _events: Any, _shares: Any, told: Told) -> None:
        if self._error:
            raise self._error
        self.told.append(told)


def asked(
    body: bytes, outcome: Receipt | Refused, error: Exception | None = None
) -> tuple[list[Reply], int, int]:
    """The answers to a request of a known head; how much it held until then, and after."""
    settings, receiving, commits = Settings(), Shares(TOTAL), Commits(error)
    committer: Any = commits
    handler = EventsHandler(settings.endpoints[0], settings, committer, receiving, asyncio.Lock())
    spoken = FORMATS["json"]
    headers = CIMultiDictProxy(CIMultiDict[str]())
    head = Head("POST", "", "", headers, spoken, handler._kind(spoken), "", "", "", True)
    answers: list[Reply] = []
    answer: Callable[[Reply], None] = answers.append
    handler._again(head, 100, body, "192.0.2.1", answer)
    held = TOTAL - receiving.free
    for told in commits.told:
        assert not answers
        told(outcome)
    return answers, held, TOTAL - receiving.free


@pytest.mark.parametrize(
    ("body", "outcome", "error", "status", "waits"),
    [
        (b'{"a":1}', GOOD, None, 200, True),
        (b'{"a":1}', LATER, None, 429, True),
        (b'{"a":1', GOOD, None, 400, False),
        (b'{"a":"%s"}' % (b"x" * (1 << 20)), GOOD, None, 429, False),
        (b'{"a":1}', GOOD, LATER, 429, False),
        (b'{"a":1}', GOOD, RuntimeError("planted"), 500, False),
    ],
)
def test_all_is_given_back_and_there_is_one_answer(
    body: bytes, outcome: Receipt | Refused, error: Exception | None, status: int, waits: bool
):
    answers, held, after = asked(body, outcome, error)
    assert [answer.status for answer in answers] == [status]
    assert (held > len(body), after) == (waits, 0)

"""Group commit: nothing is acknowledged before its commit; what waits shares the next one."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from eventstore import packing
from eventstore.collector.committer import Committer, Kind
from eventstore.collector.fairness import ITEM_BYTES, TURN_BYTES
from eventstore.errors import EngineUnavailable, QueueFull, Refused
from eventstore.formats import Events, Receipt
from eventstore.ports import Packed

TAGS = {
    "/a": {"endpoint": "/a", "tenant": "a"},
    "/b": {"endpoint": "/b", "tenant": "b"},
}


class HeldQueue:
    """A queue whose commits wait until they are let go, and may then fail."""

    def __init__(self) -> None:
        self.puts: list[Sequence[Packed]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.error: Exception | None = None

    def put(self, packs: Sequence[Packed]) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=30)
        if self.error is not None:
            raise self.error
        self.puts.append(packs)


def committer_over(queue: Any, **bounds: int) -> Committer:
    defaults = {"requests_max": 100, "bytes_max": 10_000, "pack_bytes_max": 1000, "late_s": 60}
    committer = Committer(queue, TAGS, lambda _: None, **{**defaults, **bounds})
    committer.start()
    return committer


def submit(committer: Committer, block: bytes, path: str = "/a") -> "asyncio.Future[Receipt]":
    lengths = [len(block)] if b"\n " in block else None
    events = Events(block, 1 if lengths else block.count(b"\n") + 1, lengths)
    shares = (packing.Share(events.count, 1, user_agent="ua"),)
    return committer.submit(Kind(path, "json"), events, shares)


async def begun(queue: HeldQueue) -> None:
    assert await asyncio.to_thread(queue.begun.acquire, timeout=30)


async def close(queue: HeldQueue, committer: Committer) -> None:
    for _ in range(10):
        queue.go.release()
    await committer.close()


def test_no_receipt_before_the_commit_and_one_pack_for_all_that_waited():
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue)
        first = submit(committer, b'{"n":0}')
        await begun(queue)
        waited = [submit(committer, f'{{"n":{n}}}\n{{}}'.encode()) for n in range(1, 4)]
        pretty = submit(committer, b'{\n "n":4}')
        other = submit(committer, b'{"n":5}', "/b")
        assert not first.done()
        queue.go.release()
        receipt = await asyncio.wait_for(first, 30)
        assert (receipt.first, receipt.accepted) == (0, 1)
        assert not any(one.done() for one in (*waited, pretty, other))
        queue.go.release()
        receipts = await asyncio.wait_for(asyncio.gather(*waited), 30)
        assert [(one.first, one.accepted) for one in receipts] == [(0, 2), (2, 2), (4, 2)]
        assert len({one.pack_id for one in receipts}) == 1
        packs = [packing.unpack(pack.body) for pack in queue.puts[1]]
        assert [pack.tags["endpoint"] for pack in packs] == ["/a", "/a", "/b"]
        assert packs[0].events == [b'{"n":1}', b"{}", b'{"n":2}', b"{}", b'{"n":3}', b"{}"]
        assert packs[1].events == [b'{\n "n":4}']
        assert committer.acked.value() == 9
        await close(queue, committer)

    asyncio.run(scenario())


def test_who_is_answered_and_comes_again_at_once_shares_the_next_commit():
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue)
        first = submit(committer, b'{"n":0}')
        await begun(queue)
        waited = submit(committer, b'{"n":1}')
        queue.go.release()
        await first
        again = submit(committer, b'{"n":2}')
        queue.go.release()
        receipts = await asyncio.wait_for(asyncio.gather(waited, again), 30)
        assert [one.first for one in receipts] == [0, 1]
        assert len(queue.puts) == 2
        await close(queue, committer)

    asyncio.run(scenario())


def test_what_waits_at_the_end_is_committed_however_many_commits_that_takes():
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue, pack_bytes_max=1, bytes_max=1 << 20)
        first = submit(committer, b"{}")
        await begun(queue)
        a_turn = b"x" * (TURN_BYTES - ITEM_BYTES)
        waiting = [submit(committer, a_turn) for _ in range(4)]
        await close(queue, committer)
        await asyncio.wait_for(asyncio.gather(first, *waiting), 30)
        assert len(queue.puts) == 5

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "status"),
    [(QueueFull("full"), 429), (EngineUnavailable("disk full"), 503), (KeyError("bug"), 503)],
)
def test_a_commit_that_fails_acknowledges_nothing(error: Exception, status: int):
    async def scenario() -> None:
        queue = HeldQueue()
        queue.error = error
        queue.go.release()
        committer = committer_over(queue)
        with pytest.raises(Refused) as caught:
            await asyncio.wait_for(submit(committer, b"{}"), 30)
        assert caught.value.status == status
        assert caught.value.retry_after_s == 1
        assert committer.acked.value() == 0
        assert (committer.unready() is None) == (status == 429)
        queue.error = None
        queue.go.release()
        await asyncio.wait_for(submit(committer, b"{}"), 30)
        assert committer.unready() is None
        await close(queue, committer)
        assert committer.unready() is not None

    asyncio.run(scenario())


def test_who_has_waited_too_long_is_refused_whether_its_commit_has_begun_or_not():
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue, late_s=0)
        first = submit(committer, b"{}")
        await begun(queue)
        for one in (first, submit(committer, b"{}")):
            with pytest.raises(Refused) as caught:
                await asyncio.wait_for(one, 30)
            assert caught.value.status == 503
        await close(queue, committer)
        assert len(queue.puts) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("bounds", [{"requests_max": 3}, {"bytes_max": 8}])
def test_what_waits_is_bounded(bounds: dict[str, int]):
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue, **bounds)
        first = submit(committer, b"{}")
        await begun(queue)
        waiting = []
        with pytest.raises(Refused) as caught:
            for _ in range(10):
                waiting.append(submit(committer, b"{}"))
        assert caught.value.status == 429
        assert len(waiting) in (2, 3)
        await close(queue, committer)
        await asyncio.wait_for(asyncio.gather(first, *waiting), 30)

    asyncio.run(scenario())


@pytest.mark.parametrize("bounds", [{"requests_max": 18}, {"bytes_max": 36}])
def test_a_tenant_that_floods_leaves_room_for_another_and_its_turn_comes_next(
    bounds: dict[str, int],
):
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue, pack_bytes_max=1 << 20, **bounds)
        first = submit(committer, b"{}", "/a")
        await begun(queue)
        flood = []
        with pytest.raises(Refused):
            for _ in range(40):
                flood.append(submit(committer, b"{}", "/a"))
        with pytest.raises(Refused):
            committer.refuse_overload("a", 2)
        committer.refuse_overload("b", 2)
        other = submit(committer, b"{}", "/b")
        queue.go.release()
        queue.go.release()
        await asyncio.wait_for(asyncio.gather(first, other), 30)
        assert len(queue.puts) == 2
        committer.refuse_overload("a", 2)  # it has recovered
        await close(queue, committer)

    asyncio.run(scenario())


def test_packs_are_bounded_in_bytes_and_large_requests_get_their_own():
    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue, pack_bytes_max=100)
        first = submit(committer, b"{}")
        await begun(queue)
        waiting = [submit(committer, b'{"x":"' + b"x" * n + b'"}') for n in (40, 30, 40, 300, 5)]
        for _ in range(3):
            queue.go.release()
        receipts = await asyncio.wait_for(asyncio.gather(*waiting), 30)
        assert [one.first for one in receipts] == [0, 1, 0, 0, 0]
        await asyncio.wait_for(first, 30)
        await close(queue, committer)

    asyncio.run(scenario())


def test_what_events_share_counts_for_every_bound():
    """A header of a megabyte over a row of one byte."""

    def of_csv(committer: Committer, header: bytes) -> "asyncio.Future[Receipt]":
        events = Events(b"1", 1, contexts=((1, header),))
        shares = (packing.Share(1, 1, context=header),)
        return committer.submit(Kind("/a", "csv"), events, shares)

    async def scenario() -> None:
        queue = HeldQueue()
        committer = committer_over(queue, pack_bytes_max=100, bytes_max=300)
        first = submit(committer, b"{}")
        await begun(queue)
        waiting = [of_csv(committer, bytes([n]) * 60) for n in range(4)]
        with pytest.raises(Refused, match="overloaded"):
            of_csv(committer, b"x" * 60)
        await close(queue, committer)
        receipts = await asyncio.wait_for(asyncio.gather(*waiting), 30)
        assert len({one.pack_id for one in receipts}) == 4
        await asyncio.wait_for(first, 30)

    asyncio.run(scenario())

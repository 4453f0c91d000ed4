"""Group commit: what waits while a commit runs goes into the next one.

The event loop hands over decoded requests; one thread compresses and commits them (both release the
interpreter's lock) and then has the loop answer all of them at once. A receipt exists only after
the commit. Tenants share what may wait, and take turns in the batches.

There is no linger: what comes while nothing is committed goes at once. After a commit the loop
answers, looks once at what has come meanwhile, and only then hands over the next batch. So clients
that wait for an answer before they send more share one commit, where they would alternate in two.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from queue import SimpleQueue

import msgspec

from eventstore import packing
from eventstore.collector import refusals
from eventstore.collector.fairness import Shares, Turns
from eventstore.collector.outlet import Outlet
from eventstore.dictionaries import Dictionary
from eventstore.errors import EngineUnavailable, QueueFull, Refused
from eventstore.event import new_pack_id
from eventstore.formats import Events, Receipt
from eventstore.metrics import Counter
from eventstore.ports import Packed

ERROR_RECENT_S = 5.0
LOOK_S = 0.5
PACKS_A_COMMIT = 4  # full ones: bounds how long what comes next has to wait

log = logging.getLogger("eventstore.collector")


class Kind(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """What the events of a pack have in common: the key of its tags, their format and names."""

    endpoint: str
    format: str
    names: tuple[tuple[str, str], ...] = ()


Outcome = Receipt | Refused
Told = Callable[[Outcome], None]


class Waiting(msgspec.Struct, gc=False):
    """One request that waits for its commit. told: called on the loop, once; None: it was."""

    kind: Kind
    tenant: str
    events: Events
    size_bytes: int
    shares: Sequence[packing.Share]
    since_s: float
    told: Told | None

    def tell(self, outcome: Outcome) -> None:
        """Unless it was told already."""
        told, self.told = self.told, None
        if told is not None:
            told(outcome)


class Committer:
    """Puts packs, in a thread of its own; everything else is on the loop. late_s: who has waited
    for longer is refused, though its events may still be kept."""

    def __init__(
        self,
        outlet: Outlet,
        tags: dict[str, dict[str, str]],
        dictionary_of: Callable[[str], Dictionary | None],
        *,
        requests_max: int,
        bytes_max: int,
        pack_bytes_max: int,
        late_s: float,
    ) -> None:
        self._outlet = outlet
        self._tags = tags
        self._dictionary_of = dictionary_of
        self._pack_bytes_max = pack_bytes_max
        self._late_s = late_s
        self._loop = asyncio.get_running_loop()
        self._waiting: Turns[Waiting] = Turns()
        self._requests = Shares(requests_max)
        self._bytes = Shares(bytes_max)
        self._batches: SimpleQueue[list[Waiting]] = SimpleQueue()
        self._given: list[Waiting] = []  # the batch that the thread has
        self._busy = False  # it has one, or will be given one by this turn of the loop
        self._error = ""
        self._error_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self.acked = Counter("ev_events_acked_total", "Events acknowledged after their commit.")
        self.packs = Counter("ev_packs_committed_total", "Packs committed to the queue.")
        self.commits = Counter("ev_commits_total", "Commits of one or more packs.")
        self.commit_s = Counter("ev_commit_seconds_total", "Time spent in commits.")

    @property
    def counters(self) -> list[Counter]:
        return [self.acked, self.packs, self.commits, self.commit_s]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()
        self._loop.call_later(LOOK_S, self._refuse_late)

    def unready(self) -> str | None:
        """Why commits do not work now, or None. Without traffic an old failure says nothing."""
        if not self._thread.is_alive():
            return "the committer has ended"
        recent = time.monotonic() - self._error_at_s < ERROR_RECENT_S
        return self._error if self._error and recent else None

    def submit(
        self, kind: Kind, events: Events, shares: Sequence[packing.Share]
    ) -> asyncio.Future[Receipt]:
        """Resolves after the commit; with Refused when the queue cannot take it."""
        done: asyncio.Future[Receipt] = self._loop.create_future()
        self.put(kind, events, shares, partial(_resolve, done))
        return done

    def put(self, kind: Kind, events: Events, shares: Sequence[packing.Share], told: Told) -> None:
        """Tells of the commit, or why there was none; raises Refused when there is no room."""
        tenant, size = self._tags[kind.endpoint]["tenant"], events.size_bytes
        waiting = Waiting(kind, tenant, events, size, shares, self._loop.time(), told)
        if not self._requests.take(tenant, 1):
            raise refusals.no_room()
        if not self._bytes.take(tenant, size):
            self._requests.give_back(tenant, 1)
            raise refusals.no_room()
        self._waiting.add(tenant, waiting, size)
        if not self._busy:  # what else this turn of the loop brings goes with it
            self._busy = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Hands over what is next, if anything waits."""
        self._given = self._next_batch()
        self._busy = bool(self._given)
        if self._busy:
            self._batches.put(self._given)

    def _answer(self, answers: Sequence[tuple[Waiting, Outcome]]) -> None:
        for waiting, outcome in answers:
            try:
                waiting.tell(outcome)
            except Exception:  # the others are to be told
                log.exception("an answer failed: a fault of ours")
        self._loop.call_soon(self._begin)

    def _refuse_late(self) -> None:
        """One look at all, now and then, is cheaper than a timer for each."""
        late = self._loop.time() - self._late_s
        for waiting in (*self._given, *self._waiting):
            if waiting.since_s < late:
                waiting.tell(refusals.late())
        if self._thread.is_alive():
            self._loop.call_later(LOOK_S, self._refuse_late)

    def refuse_overload(self, tenant: str, size: int) -> None:
        """Raises what submit() would, before any work is spent on a body of this size."""
        if not (self._requests.fits(tenant, 1) and self._bytes.fits(tenant, size)):
            raise refusals.no_room()

    async def close(self) -> None:
        """Commits what waits and ends the thread; takes as long as its engine is patient."""
        while batch := self._next_batch():
            self._batches.put(batch)
        self._batches.put([])
        await asyncio.to_thread(self._thread.join)

    def _next_batch(self) -> list[Waiting]:
        batch = self._waiting.take(PACKS_A_COMMIT * self._pack_bytes_max)
        for tenant, some in groupby(batch, key=attrgetter("tenant")):
            sizes = [waiting.size_bytes for waiting in some]
            self._requests.give_back(tenant, len(sizes))
            self._bytes.give_back(tenant, sum(sizes))
        return batch

    def _run(self) -> None:
        while batch := self._batches.get():
            self._loop.call_soon_threadsafe(self._answer, self._outcomes(batch))

    def _outcomes(self, batch: list[Waiting]) -> Sequence[tuple[Waiting, Outcome]]:
        refused: Refused
        try:
            answers = self._commit(batch)
            self._error = ""
            return answers
        except QueueFull as error:
            # Full is not broken: the collector is ready as soon as the queue has drained.
            refused = refusals.overloaded(str(error))
        except EngineUnavailable as error:
            log.error("commit failed: %s", error)
            self._failed(str(error))
            refused = refusals.unavailable()
        except Exception:
            log.exception("commit failed: a fault of ours")
            self._failed("commit failed: a fault of ours")
            refused = refusals.unavailable()
        return [(waiting, refused) for waiting in batch]

    def _commit(self, batch: list[Waiting]) -> list[tuple[Waiting, Receipt]]:
        """Whom to answer what."""
        started = time.monotonic()
        packs = []
        answers: list[tuple[Waiting, Receipt]] = []
        for group in _groups(batch, self._pack_bytes_max):
            pack_id = new_pack_id()
            pack_text = str(pack_id)
            first = 0
            shares: list[packing.Share] = []
            lengths: list[int] = []
            refused: dict[int, str] = {}
            for waiting in group:
                events = waiting.events
                answers.append((waiting, Receipt(pack_text, first, events.count)))
                shares += waiting.shares
                if events.lengths:
                    lengths += events.lengths
                if events.refused:
                    refused |= {first + index: why for index, why in events.refused.items()}
                first += events.count
            kind = group[0].kind
            tags = self._tags[kind.endpoint]
            body = packing.pack(
                pack_id,
                tags,
                shares,
                [waiting.events.block for waiting in group],
                None if group[0].events.lengths is None else lengths,
                format_name=kind.format,
                names=dict(kind.names),
                refused=refused,
                dictionary=self._dictionary_of(tags["tenant"]),
            )
            packs.append(Packed(pack_id, body, tags["endpoint"], first))
        self._outlet.put(packs)
        self.acked.add(sum(pack.events for pack in packs))
        self.packs.add(len(packs))
        self.commits.add()
        self.commit_s.add(time.monotonic() - started)
        return answers

    def _failed(self, error: str) -> None:
        self._error = error
        self._error_at_s = time.monotonic()


def _groups(batch: list[Waiting], bytes_max: int) -> list[list[Waiting]]:
    """Requests that share a pack: the same kind, the same framing, within the bound of bytes."""
    open_groups: dict[tuple[Kind, bool], tuple[list[Waiting], int]] = {}
    groups = []
    for waiting in batch:
        key = (waiting.kind, waiting.events.lengths is None)
        group, size = open_groups.get(key, ([], bytes_max))
        size += waiting.size_bytes
        if size > bytes_max:
            group, size = [], waiting.size_bytes
            groups.append(group)
        group.append(waiting)
        open_groups[key] = (group, size)
    return groups


def _resolve(done: asyncio.Future[Receipt], outcome: Outcome) -> None:
    if done.done():  # nobody waits any more
        return
    if isinstance(outcome, Refused):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)

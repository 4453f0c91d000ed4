"""The processor: claim → enrich → gather → store → acknowledge, in one thread of its own.

Where packs are merged into segments they are gathered over several claims, for linger_s at most and
some megabytes, of thin traffic by one processor at a time (turn.py); elsewhere each claim is stored
at once. Their leases are extended meanwhile.

Between claim and acknowledgement it may die at any point: the lease runs out, another processor
does the same again, and the store sees the same keys and bytes. A pack that fails is tried again
until attempts_max and then becomes a dead letter; the others flow on.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from eventstore.dictionaries import Dictionaries
from eventstore.errors import EngineUnavailable, PackCorrupt
from eventstore.metrics import Counter, Histogram
from eventstore.ports import DeadLetter, Enriched, EventStore, Lease, Queue, Stage, Way
from eventstore.processing.ahead import Ahead
from eventstore.processing.enrich import Rules, transformed
from eventstore.processing.gathered import Gathered, Ready
from eventstore.processing.standing import follow
from eventstore.processing.transformer import transformer_of
from eventstore.processing.turn import Turn
from eventstore.settings import Settings

log = logging.getLogger("eventstore.processor")
RETRY_STEP_S = 0.2  # the n-th failure of a pack waits n times this
ENGINE_PAUSE_S = 0.5
TIDY_S = 60.0  # the store knows whose turn it is


class Processor:
    """step() does one batch; run() does them until it is told to stop."""

    def __init__(
        self,
        queue: Queue,
        store: EventStore,
        settings: Settings,
        *,
        node: str = "",
        release: str = "",
    ) -> None:
        self._queue = queue
        self._store = store
        self._settings = settings
        self._node = node
        self._release = release
        self._dictionaries = Dictionaries(store.dictionary)
        self._ahead = Ahead(Rules.of(settings), self._dictionaries)
        self._transformer = transformer_of(settings)
        self._stopping = threading.Event()
        self._gathered = Gathered(settings.linger_s, time.monotonic)
        self._turn = Turn(store, settings.linger_s, time.time)
        self._extend_at_s = 0.0
        self._tidy_at_s = 0.0
        self.engine_error = ""
        self.packs = Counter("ev_packs_stored_total", "Packs stored and acknowledged.")
        self.events = Counter("ev_events_stored_total", "Events in stored packs, retries too.")
        self.retries = Counter("ev_events_hidden_total", "Events hidden as a client's retry.")
        self.dead = Counter("ev_dead_letters_total", "Dead letters, packs and events.")
        self.dropped = Counter("ev_events_dropped_total", "Events that a transform has hidden.")
        self.failures = Counter("ev_pack_failures_total", "Attempts at a pack that failed.")
        self.tidied = Counter(
            "ev_left_segments_total", "Segments that writers left: looked at, or of these", "became"
        )
        self.tidied_bytes = Counter("ev_left_bytes_total", "Bytes deleted or overwritten of them.")
        self.erased = Counter(
            "ev_packs_erased_late_total", "Packs that came after an erasure that stands for them."
        )
        self.waits = Histogram("ev_pack_wait_seconds", "How long packs had waited in the queue.")

    @property
    def counters(self) -> list[Counter]:
        return [
            *(self.packs, self.events, self.retries, self.dead, self.dropped, self.failures),
            *(self.tidied, self.tidied_bytes, self.erased),
            self.waits,
        ]

    def stop(self) -> None:
        """From any thread: finish the pack at hand, hand back the others, return from run()."""
        self._stopping.set()

    def close(self) -> None:
        """After run(): lets go of what it has started."""
        if self._transformer is not None:
            self._transformer.close()

    def run(self) -> None:
        """Until stop(); survives an engine that is unavailable for a while."""
        while not self._stopping.is_set():
            try:
                self._tidy()
                done = self.step() if self._turn.is_mine() or self._gathered.leases else 0
                self.engine_error = ""
            except EngineUnavailable as error:
                log.error("cannot go on: %s", error)
                self.engine_error = str(error)
                self._stopping.wait(ENGINE_PAUSE_S)
                continue
            if done < self._settings.claim_packs_max:
                # What comes meanwhile shares the next transactions: nobody waits for these.
                self._stopping.wait(max(self._settings.poll_s, self._pause_s()))
        with suppress(EngineUnavailable):  # their leases run out, and its turn
            self._put(self._gathered.take())
            self._turn.end()

    def _pause_s(self) -> float:
        return self._gathered.pause_s() if self._gathered.leases else self._turn.pause_s()

    def _tidy(self) -> None:
        """Between packs: none waits for it that is held already."""
        if self._gathered.leases or time.monotonic() < self._tidy_at_s:
            return
        self._tidy_at_s = time.monotonic() + TIDY_S
        done = self._store.tidy(time.time())
        self.tidied.add(done.looked_at, "looked_at")
        self.tidied.add(done.deleted, "deleted")
        self.tidied.add(done.overwritten, "overwritten")
        self.tidied_bytes.add(done.bytes)

    def step(self) -> int:
        """One claim, and a put when enough is gathered: how many packs were claimed. Raises
        EngineUnavailable; leases then run out."""
        try:
            leases = self._claim()
            self._gather(leases)
            self._turn.note_claim(is_all=len(leases) < self._settings.claim_packs_max)
            if self._gathered.is_due() or self._stopping.is_set():
                has_enough = self._gathered.has_enough()
                self._put(self._gathered.take())
                self._turn.note_put(has_enough=has_enough)
        except EngineUnavailable:
            self._gathered.take()
            raise
        return len(leases)

    def _claim(self) -> list[Lease]:
        leases = self._queue.claim(
            self._settings.claim_packs_max,
            self._settings.lease_s,
            wait_s=self._gathered.left_s(),
            node=self._node,
            release=self._release,
        )
        for lease in leases:
            if lease.way.stages:
                waited_ms = time.time() * 1000 - lease.way.stages[0].at_ms
                self.waits.observe(max(0.0, waited_ms / 1000))
        if not self._gathered.leases:
            self._extend_at_s = time.monotonic() + self._settings.lease_s / 3
        return leases

    def _gather(self, leases: Sequence[Lease]) -> None:
        left = self._held(leases)
        while left:  # ends: one less each time
            if self._stopping.is_set():
                self._queue.release(left)
                break
            lease = left[0]
            enriched = self._enriched(lease, left[1:])
            if enriched is not None:
                if not self._gathered.fits(enriched):
                    self._put(self._gathered.take())
                self._gathered.add(lease, enriched)
            left = self._held(left[1:])

    def _held(self, coming: Sequence[Lease]) -> Sequence[Lease]:
        """Of those that are still to be dealt with; all leases are extended once a third of their
        time is over."""
        if time.monotonic() <= self._extend_at_s:
            return coming
        in_hand = [*self._gathered.leases, *coming]
        held = {one.pack_id for one in self._queue.extend(in_hand, self._settings.lease_s)}
        self._gathered.keep(held)
        self._extend_at_s = time.monotonic() + self._settings.lease_s / 3
        return [one for one in coming if one.pack_id in held]

    def _enriched(self, lease: Lease, following: Sequence[Lease]) -> Enriched | None:
        """None when the pack is dealt with: tried again later, or a dead letter."""
        limit = self._settings.attempts_max
        if lease.attempts > limit:
            self._bury(lease, lease.reason or f"its processor died or stalled {limit} times")
            return None
        try:
            found = self._ahead.enriched(lease, following)
            return transformed(found, self._transformer, self._dictionaries)
        except EngineUnavailable:  # it was asked for a dictionary: no fault of the pack
            self._queue.release([lease])
            raise
        except PackCorrupt as error:
            reason = f"pack_corrupt: {error}"
        except Exception as error:
            log.exception("pack %s failed", lease.pack_id)
            reason = f"{type(error).__name__}: {error}"
        self.failures.add()
        if lease.attempts >= limit:
            self._bury(lease, reason)
        else:
            delay_s = lease.attempts * RETRY_STEP_S
            self._queue.release([lease], delay_s=delay_s, reason=reason)
        return None

    def _bury(self, lease: Lease, reason: str) -> None:
        log.error("pack %s is a dead letter: %s", lease.pack_id, reason)
        letter = DeadLetter(lease.pack_id, None, "pack", reason, lease.body)
        self._store.put_dead([letter], {lease.pack_id: self._way(lease, "dead", reason)})
        self._follow_orders([], [letter])
        self._queue.ack([lease])
        self.dead.add()

    def _put(self, ready: Sequence[Ready]) -> None:
        if not ready:
            return
        ways = {lease.pack_id: self._way(lease, "stored") for lease, _ in ready}
        retries = self._store.put([enriched for _, enriched in ready], ways)
        self._follow_orders([lease.pack_id for lease, _ in ready], [])
        self._queue.ack([lease for lease, _ in ready])
        self.packs.add(len(ready))
        self.events.add(sum(len(enriched.windows) for _, enriched in ready))
        self.retries.add(retries)
        self.dead.add(sum(len(enriched.dead) for _, enriched in ready))
        self.dropped.add(sum((enriched.times_seen or []).count(0) for _, enriched in ready))

    def _follow_orders(self, packs: Sequence[UUID], letters: Sequence[DeadLetter]) -> None:
        """Erases what has come after its subject was."""
        now_ms = time.time_ns() // 1_000_000
        changed = follow(self._store, packs, letters, self._dictionaries, now_ms)
        self.erased.add(changed)

    def _way(self, lease: Lease, fate: str, note: str = "") -> Way:
        stage = Stage(fate, time.time_ns() // 1_000_000, self._node, self._release, note)
        return replace(lease.way, stages=(*lease.way.stages, stage))

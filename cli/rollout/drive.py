"""Carries a rollout out: asks the nodes, writes down what they answered, renews the locks.

Nothing is decided here: `decide` says what comes next, and the document is saved before every
command and after every answer, so that whoever reads it knows where the rollout is, and whoever
takes it on when this driver has died goes on right there. Others may pause or abort it meanwhile:
their writes are merged, and looked at before every command.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from artifacts.errors import EvctlError
from cli.rollout.ask import Clock, ask
from cli.rollout.decide import Answer, Command, Turn, begin, decide, observe, turn, wanted
from cli.rollout.document import FINAL, Document
from cli.rollout.documents import Documents, Kept
from cli.rollout.errors import DocumentChanged, NodesLocked
from cli.rollout.probe import Nodes

LOCK_S = 60.0
RENEW_S = 15.0
STEPS_MAX = 100_000

Progress = Callable[[Document, str, dict[str, Any]], None]


class _Overtaken(Exception):
    """Someone has told it something since the command was decided: decide anew."""


def start(
    documents: Documents, make: Callable[[str], Document], now: Callable[[], float]
) -> Document:
    """Keep a new rollout, and take its nodes for it; a driver is still to come. NodesHeld.
    NodesLocked: then it has ended before it began."""
    documents.refuse_held_by_hand(make("").nodes)
    kept = documents.create(lambda rollout_id: make(rollout_id).logged(now(), "planned"))
    rollout = kept.document
    try:
        documents.lock(rollout.nodes, rollout.id, now(), lease_s=0)
    except EvctlError as error:
        ended = replace(rollout, state="failed", note=error.what, ended_at=round(now(), 3))
        ended = ended.logged(now(), "failed", error=error.to_json())
        documents.change(kept, lambda _: ended)
        raise
    return rollout


def drive(
    documents: Documents,
    nodes: Nodes,
    rollout_id: str,
    progress: Progress,
    now: Callable[[], float] = time.time,
    *,
    clock: Clock = time,
) -> Document:
    """Take a rollout on and carry it out until it ends or pauses. NodesLocked, DocumentChanged, and
    what Salt's client raises; then its nodes stay its own, for another driver to go on with."""
    me = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    kept = documents.load(rollout_id)
    documents.lock(kept.document.nodes, rollout_id, now(), LOCK_S, me)
    driver = _Driver(documents, nodes, kept=kept, progress=progress, now=now, clock=clock, me=me)
    with _renewed(documents, driver, now):
        driver.take_on()
        try:
            for _ in range(STEPS_MAX):
                if driver.step():
                    return driver.document
        except DocumentChanged:
            raise  # another driver has it: nothing more may be written
        except BaseException as error:  # Ctrl-C too: nobody drives it any more, and it says so
            with suppress(EvctlError):
                driver.say("driver_stopped", error=_told_of(error))
            raise
    raise AssertionError(f"{rollout_id} did not end: a fault in decide")


def _told_of(error: BaseException) -> dict[str, str]:
    if isinstance(error, EvctlError):
        return error.to_json()
    return {
        "what": "the rollout's driver stopped",
        "why": f"{type(error).__name__} {error}".strip(),
    }


class _Driver:
    def __init__(
        self,
        documents: Documents,
        nodes: Nodes,
        *,
        kept: Kept,
        progress: Progress,
        now: Callable[[], float],
        clock: Clock,
        me: str,
    ) -> None:
        self._documents = documents
        self._nodes = nodes
        self._kept = kept
        self._progress = progress
        self._now = now
        self._clock = clock
        self.me = me

    @property
    def document(self) -> Document:
        return self._kept.document

    def take_on(self) -> None:
        """From here on a driver that was taken for dead, and isn't, writes nothing more."""
        self._kept = self._documents.change(
            self._kept, lambda document: replace(document, driver=self.me)
        )
        self._progress(self.document, "taken_on", {})

    def step(self) -> bool:
        """Carry out what comes next. True when there is nothing more to do."""
        to_do = decide(self.document, self._now())
        try:
            if isinstance(to_do, Command):
                self._carry_out(to_do)
            elif to_do.state != self.document.state:
                self._go_over(to_do)
        except _Overtaken:
            self._kept = self._documents.load(self.document.id)
            return False
        ended = self.document.state in FINAL
        if ended and self.document.kind == "rollout" and self.document.state == "converged":
            self._prune()
        return ended or self.document.state == "paused"

    def say(self, event: str, **facts: Any) -> None:
        self._save(lambda document: document, event, **facts)

    def _carry_out(self, command: Command) -> None:
        asked = list(command.releases)
        # Anew for each command: whoever has lost a lock changes nothing more.
        self._documents.lock(self.document.nodes, self.document.id, self._now(), LOCK_S, self.me)
        self._save(
            lambda document: begin(document, command), command.action, anew=True, nodes=asked
        )
        if command.action in ("swap", "revert"):
            # Before the nodes are asked: a node that polls just now must not undo it.
            self._want()
        answers = self._ask(command)
        self._save(
            lambda document: observe(document, command, answers),
            f"{command.action}_done",
            nodes=asked,
        )
        if command.action == "swap":
            self._want()

    def _go_over(self, to: Turn) -> None:
        def go(document: Document) -> Document:
            ended_at = round(self._now(), 3) if to.state in FINAL else None
            return replace(turn(document, to), ended_at=ended_at)

        facts = {"note": to.note} if to.note else {}
        self._save(go, to.state, anew=True, **facts)
        self._want()

    def _want(self) -> None:
        self._documents.want(wanted(self.document))

    def _prune(self) -> None:
        """Its nodes remove the releases that nothing needs any more, and aren't waited for. When
        they can't, nothing is lost: the next rollout asks again."""
        with suppress(EvctlError):
            pinned = self._documents.spoken_for()
            for record in self.document.nodes.values():
                pinned |= record.releases()  # so that it can be taken back
            asked = {"pinned": sorted(pinned)}
            for _ in self._nodes.call(self.document.nodes, "evrelease.prune", asked, 0.0):
                pass

    def _ask(self, command: Command) -> dict[str, Answer]:
        """By node; each is told as it comes."""
        answers: dict[str, Answer] = {}
        asked = ask(self._nodes, command, self.document, self._is_overtaken, self._clock)
        for node, answer in asked:
            answers[node] = answer
            facts = {
                "node": node,
                "action": command.action,
                "ok": answer.ok,
                "silent": answer.silent,
                "held": answer.held,
                "error": answer.error,
                "result": answer.result,
            }
            kept = {key: fact for key, fact in facts.items() if fact or isinstance(fact, bool)}
            self._progress(self.document, "answer", kept)
        return answers

    def _is_overtaken(self) -> bool:
        return self._documents.load(self.document.id).document.state != self.document.state

    def _save(
        self,
        change: Callable[[Document], Document],
        event: str,
        *,
        anew: bool = False,
        **facts: Any,
    ) -> None:
        """anew: only when nobody has told the rollout anything since this was decided."""
        decided_on = self.document

        def mine(document: Document) -> Document:
            if document.driver != self.me:
                raise DocumentChanged(
                    f"{document.id} was changed by someone else",
                    why=f"{document.driver or 'nobody'} drives it now",
                    next_step=f"evctl rollouts {document.id}",
                )
            if anew and document is not decided_on:
                raise _Overtaken
            return change(document).logged(self._now(), event, **facts)

        self._kept = self._documents.change(self._kept, mine)
        self._progress(self.document, event, facts)


@contextmanager
def _renewed(documents: Documents, driver: _Driver, now: Callable[[], float]) -> Iterator[None]:
    """As long as this lasts, the locks that the driver has taken are renewed."""
    rollout = driver.document
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_S):
            try:
                documents.lock(rollout.nodes, rollout.id, now(), LOCK_S, driver.me)
            except NodesLocked:
                return  # a lock that is lost stays lost: the next command says so
            except EvctlError:
                continue  # the store didn't answer just now; the lock lasts for more attempts

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(EvctlError):  # what can't be given back ends by itself, with its lease
            if driver.document.state in FINAL:
                documents.unlock(rollout.id)
            else:
                documents.leave(rollout.id, driver.me)

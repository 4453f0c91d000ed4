"""Carries a rollout out: asks the nodes, writes down what they answered, renews the locks.

Nothing is decided here: `decide` says what comes next, and the document is saved before every
command and after every answer, so that whoever reads it knows where the rollout is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

from artifacts.errors import EvctlError
from cli.rollout.decide import Answer, Command, decide, observe
from cli.rollout.document import Document, State
from cli.rollout.documents import Documents, Kept
from cli.rollout.errors import DocumentChanged, NodesLocked
from cli.salt_client import Return

LOCK_S = 60.0
RENEW_S = 15.0
CHECK_EVERY_S = 0.5
PRUNE_S = 30.0
COMMANDS_MAX = 10_000

Progress = Callable[[Document, str, dict[str, Any]], None]


class Nodes(Protocol):
    """Who can be asked: salt_client.SaltClient."""

    def call(
        self,
        nodes: Collection[str],
        function: str,
        kwargs: Mapping[str, Any],
        timeout_s: float,
    ) -> Iterator[Return]: ...


def drive(
    documents: Documents,
    nodes: Nodes,
    make: Callable[[str], Document],
    progress: Progress,
    now: Callable[[], float] = time.time,
) -> Document:
    """Keep a new rollout and carry it out to its end. NodesLocked, DocumentChanged, and what
    Salt's client raises; then the locks are released and the document says where it stopped."""
    kept = documents.create(lambda rollout_id: make(rollout_id).logged(now(), "planned"))
    rollout = kept.document
    progress(rollout, "planned", {})
    driver = _Driver(documents, nodes, kept, progress, now)
    with _unlocked_at_the_end(documents, rollout, now):
        ended = _to_its_end(driver)
        if ended.kind == "rollout" and ended.state == "converged":
            driver.prune()
    return ended


def _to_its_end(driver: _Driver) -> Document:
    try:
        for _ in range(COMMANDS_MAX):
            step = decide(driver.document)
            if not isinstance(step, Command):
                return driver.finish(step)
            driver.carry_out(step)
    except DocumentChanged:
        raise  # another driver has it: nothing more may be written
    except BaseException as error:  # Ctrl-C too: nobody drives it any more, and it says so
        driver.finish("failed", error=_told_of(error))
        raise
    raise AssertionError(f"{driver.document.id} did not end: a fault in decide")


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
        kept: Kept,
        progress: Progress,
        now: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._nodes = nodes
        self._kept = kept
        self._progress = progress
        self._now = now
        self._asked_to_swap: set[str] = set()

    @property
    def document(self) -> Document:
        return self._kept.document

    def carry_out(self, command: Command) -> None:
        asked = list(command.releases)
        # Anew for each command: whoever has lost a lock changes nothing more.
        self._documents.lock(self.document.nodes, self.document.id, self._now(), LOCK_S)
        self._save(self.document, command.action, nodes=asked)
        if command.action in ("swap", "revert"):
            # Before the nodes are asked: a node that polls just now must not undo it.
            self._documents.want(command.releases)
        if command.action == "swap":
            self._asked_to_swap.update(asked)
        answers = self._check(command) if command.action == "check" else self._ask(command)
        document = observe(self.document, command, answers)
        if command.action == "swap":
            self._forget_failed(document, asked)
        self._save(document, f"{command.action}_done", nodes=asked)

    def finish(self, state: State, **facts: Any) -> Document:
        if self.document.kind == "rollout" and state != "converged":
            self._want_back()
        document = replace(self.document, state=state, ended_at=round(self._now(), 3))
        self._save(document, state, **facts)
        return self.document

    def prune(self) -> None:
        """Its nodes remove the releases that nothing needs any more. When they can't, nothing is
        lost: the next rollout asks again."""
        with suppress(EvctlError):
            pinned = self._documents.spoken_for()
            for record in self.document.nodes.values():
                pinned |= record.releases()  # so that it can be taken back
            asked = {"pinned": sorted(pinned)}
            for _ in self._nodes.call(self.document.nodes, "evrelease.prune", asked, PRUNE_S):
                pass

    def _forget_failed(self, document: Document, asked: list[str]) -> None:
        """A node that refused to swap serves what it served: that is what it should do."""
        back = {
            node: document.nodes[node].before
            for node in asked
            if document.nodes[node].state == "failed"
        }
        if back:
            self._documents.want(back)

    def _want_back(self) -> None:
        """What didn't prove itself is wanted nowhere. A node that served nothing before has
        nothing to go back to: from now on its role or the channel says what it should run."""
        unproven = {
            node: record.before
            for node in self._asked_to_swap
            if (record := self.document.nodes[node]).state != "healthy" or record.before is None
        }
        if unproven:
            self._documents.want(unproven)

    def _ask(self, command: Command) -> dict[str, Answer]:
        limits = self.document.limits
        function, limit_s = {
            "prefetch": ("evrelease.prefetch", limits.prefetch_s),
            "swap": ("evrelease.converge", limits.swap_s),
            "revert": ("evrelease.activate", limits.swap_s),
        }[command.action]
        answers: dict[str, Answer] = {}
        for release in sorted(set(command.releases.values())):
            nodes = [node for node, wanted in command.releases.items() if wanted == release]
            for returned in self._nodes.call(nodes, function, {"release": release}, limit_s):
                answers[returned.node] = self._told(command, returned.node, answer_of(returned))
        return answers

    def _check(self, command: Command) -> dict[str, Answer]:
        """The gate: every node of the wave serves the release, again and again for `bake_s`."""
        limits = self.document.limits
        answers: dict[str, Answer] = {}
        until = time.monotonic() + limits.bake_s
        waiting = dict(command.releases)
        while waiting:
            last_round = time.monotonic() >= until
            for returned in self._nodes.call(
                list(waiting), "evrelease.status", {}, limits.status_s
            ):
                answer = healthy(returned, command.releases[returned.node])
                if last_round or not answer.ok:
                    del waiting[returned.node]
                    answers[returned.node] = self._told(command, returned.node, answer)
            if waiting:
                time.sleep(CHECK_EVERY_S)
        return answers

    def _told(self, command: Command, node: str, answer: Answer) -> Answer:
        facts = {"node": node, "action": command.action, "ok": answer.ok, "silent": answer.silent}
        if answer.error:
            facts["error"] = answer.error
        if answer.result:
            facts["result"] = answer.result
        self._progress(self.document, "answer", facts)
        return answer

    def _save(self, document: Document, event: str, **facts: Any) -> None:
        logged = document.logged(self._now(), event, **facts)
        self._kept = self._documents.save(self._kept, logged)
        self._progress(logged, event, facts)


def answer_of(returned: Return) -> Answer:
    """What a return of `evrelease` means."""
    if returned.silent:
        return Answer(ok=False, silent=True, error={"what": "no answer"})
    if returned.error is not None or not isinstance(returned.data, dict):
        return Answer(ok=False, error={"what": returned.error or "an answer of no known form"})
    if returned.data.get("ok"):
        return Answer(ok=True, result=returned.data.get("result"))
    return Answer(ok=False, error=returned.data.get("error"))


def healthy(returned: Return, release: str) -> Answer:
    """Whether a status shows that the node serves this release, and nothing else."""
    answer = answer_of(returned)
    if not answer.ok:
        return answer
    status = answer.result or {}
    running = [found["release"] for found in status.get("generations", [])]
    if status.get("release") == release and running == [release]:
        return Answer(ok=True)
    said = status.get("release") or "nothing"
    why = f"it serves {said}; running: {', '.join(running) or 'nothing'}"
    return Answer(ok=False, error={"what": f"does not serve {release} after its swap", "why": why})


@contextmanager
def _unlocked_at_the_end(
    documents: Documents, rollout: Document, now: Callable[[], float]
) -> Iterator[None]:
    """As long as this lasts, the locks that the rollout has taken are renewed."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_S):
            try:
                documents.lock(rollout.nodes, rollout.id, now(), LOCK_S)
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
        documents.unlock(rollout.id)

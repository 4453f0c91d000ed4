"""Asks nodes for what a command says, and what their returns mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Protocol

from cli.rollout.comparison import Comparison
from cli.rollout.decide import Answer, Command
from cli.rollout.document import Document
from cli.rollout.probe import Nodes
from cli.salt_client import Return

CHECK_EVERY_S = 0.5
# A machine that stalls in a bake's first second is no release's fault.
DOUBT_S = 5.0
# A busy machine may answer late once, and an engine may be away for a moment.
UNREADY_S = 5.0


class Clock(Protocol):
    """What goes by while a wave bakes: the module `time`, or simulated time."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


def ask(
    nodes: Nodes,
    command: Command,
    document: Document,
    overtaken: Callable[[], bool],
    clock: Clock = time,
) -> Iterator[tuple[str, Answer]]:
    """Each node's answer, as it comes. A check that is overtaken ends early, without the answers
    of those that were still to prove themselves."""
    limits = document.limits
    if command.action == "check":
        yield from _check(nodes, command, document, overtaken, clock)
        return
    function, limit_s = {
        "prefetch": ("evrelease.prefetch", limits.prefetch_s),
        "swap": ("evrelease.converge", limits.swap_s),
        "revert": ("evrelease.activate", limits.swap_s),
    }[command.action]
    for release in sorted(set(command.releases.values())):
        asked = [node for node, wanted in command.releases.items() if wanted == release]
        for returned in nodes.call(asked, function, {"release": release}, limit_s):
            answer = answer_of(returned)
            if command.action == "swap" and not document.bakes():
                answer = replace(answer, proven=answer.ok and _proves(returned, release))
            yield returned.node, answer


def _check(
    nodes: Nodes,
    command: Command,
    document: Document,
    overtaken: Callable[[], bool],
    clock: Clock,
) -> Iterator[tuple[str, Answer]]:
    """The gate: every node of the wave serves the release, again and again for `bake_s`, and is
    ready, but for moments; then what its role's gates compare must be right, and as long as too
    little came for that it goes on. What isn't right is looked at again for `DOUBT_S`, over all
    that came by then."""
    limits = document.limits
    comparison = Comparison(nodes, command, document)
    began = clock.monotonic()
    baked_at = began + limits.bake_s
    waiting = dict(command.releases)
    unready_since: dict[str, float] = {}
    while waiting:
        is_baked = clock.monotonic() >= baked_at
        for returned in nodes.call(list(waiting), "evrelease.status", {}, limits.status_s):
            node, release = returned.node, command.releases[returned.node]
            answer = healthy(returned, release)
            if answer.ok and not _ready(returned):
                now = clock.monotonic()
                if now - unready_since.setdefault(node, now) < UNREADY_S:
                    continue
                why = f"for {UNREADY_S:g} s /readyz of its own socket has not answered 200"
                error = {"what": f"serves {release}, and is not ready", "why": why}
                answer = Answer(ok=False, error=error)
            unready_since.pop(node, None)
            if not answer.ok:
                del waiting[node]
                yield node, answer
        if waiting:
            comparison.probe()  # within the bake, so that it takes no time of its own
        if is_baked and waiting and not unready_since:
            judged = comparison.judge(list(waiting))
            if clock.monotonic() >= baked_at + _patience_s(judged.values(), limits.hold_s):
                yield from judged.items()
                return
        if waiting:
            if overtaken():
                return
            clock.sleep(_until_next_look(clock.monotonic(), began, baked_at))


def _patience_s(judged: Collection[Answer], hold_s: float) -> float:
    """How long after the bake a judgement like this isn't the last one yet."""
    if any(not answer.ok and not answer.held for answer in judged):
        return min(DOUBT_S, hold_s)
    return hold_s if any(answer.held for answer in judged) else 0.0


def _until_next_look(now: float, began: float, baked_at: float) -> float:
    """Looks are `CHECK_EVERY_S` apart, however long they take, and one is when the bake ends."""
    next_look = began + ((now - began) // CHECK_EVERY_S + 1) * CHECK_EVERY_S
    return max(0.0, (min(next_look, baked_at) if now < baked_at else next_look) - now)


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


def _proves(returned: Return, release: str) -> bool:
    """The node's status, which comes with every answer, as a check would judge it. What doesn't
    prove it yet is left to a check."""
    said = Return(returned.node, data={"ok": True, "result": returned.data.get("status")})
    return healthy(said, release).ok and _ready(said)


def _ready(returned: Return) -> bool:
    return all(found["ready"] for found in returned.data["result"]["generations"])

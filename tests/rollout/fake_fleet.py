"""A fake fleet: nodes that answer `call` as SaltClient does, and do what a test tells them to.

It stands at the edge: what is tested with it, documents, locks and decisions, is real.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.salt_client import SILENT, Return
from tests.rollout.documents_of import OLD

DIED = {"code": "E1101", "what": "the new generation died at start", "why": "exit code 1"}


@dataclass
class FakeFleet:
    """serving: node → what it serves. fails: (node, function) → an error, or SILENT.

    before_each: called before a node does what it was asked; it may raise.
    unready: node → how many more times it says of what it serves that it isn't ready.
    pages: (node, release that it serves) → what its generations answer at /metrics.
    tool: node, arguments → what a tool that is run there answers.
    wanted: what nodes find out that they should serve, when they are told no release.
    proves: with its answer to a swap comes what it serves now.
    pruned: nodes that were asked to prune, and what they were told to keep.
    """

    serving: dict[str, str]
    fails: dict[tuple[str, str], Any] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    unready: dict[str, int] = field(default_factory=dict)
    before_each: Callable[[str, str, str | None], None] = lambda *_: None
    proves: bool = False
    tool: Callable[[str, list[str]], dict[str, Any]] = lambda *_: {"exit": 0, "out": "", "err": ""}
    wanted: dict[str, str] = field(default_factory=dict)
    pages: Callable[[str, str], dict[str, str]] = lambda *_: {}
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    pruned: list[tuple[str, list[str]]] = field(default_factory=list)

    @classmethod
    def of(cls, nodes: Collection[str], **more: Any) -> FakeFleet:
        return cls(serving=dict.fromkeys(nodes, OLD), **more)

    def call(
        self,
        nodes: Collection[str],
        function: str,
        kwargs: Mapping[str, Any],
        timeout_s: float,
        spare: int = 0,
    ) -> Iterator[Return]:
        for node in nodes:
            release = kwargs.get("release")
            self.asked.append((node, function, release))
            self.before_each(node, function, release)
            if function == "evrelease.prune":
                self.pruned.append((node, kwargs["pinned"]))
            if function == "evrelease.tool" and not self.fails.get((node, function)):
                said = self.tool(node, kwargs["arguments"])
                yield Return(node, data={"ok": True, "result": said})
                continue
            yield self._answer(node, function, release)

    def swapped(self) -> list[str]:
        """Nodes that were asked to swap, in that order."""
        return [node for node, function, _ in self.asked if function == "evrelease.converge"]

    def _answer(self, node: str, function: str, release: str | None) -> Return:
        wrong = self.fails.get((node, function))
        if wrong == SILENT:
            return Return(node, error=SILENT)
        if wrong:
            return Return(node, data={"ok": False, "error": wrong, "status": {}})
        if function == "evrelease.status":
            return Return(node, data={"ok": True, "result": self._status(node)})
        if function == "evrelease.metrics":
            return Return(node, data={"ok": True, "result": self.pages(node, self.serving[node])})
        if function == "evrelease.drift":
            serves = self.serving[node]
            said = {"release": serves, "current": serves, "files": [], "more": [], "states": []}
            return Return(node, data={"ok": True, "result": said})
        before = self.serving[node]
        if function in ("evrelease.converge", "evrelease.activate", "evrelease.mend"):
            self.serving[node] = release or self.wanted.get(node, before)
        swap = {"from": before, "to": release, "started_at": 1000.0, "total_s": 0.5}
        status = self._status(node) if self.proves else None
        return Return(node, data={"ok": True, "result": swap, "status": status})

    def _status(self, node: str) -> dict[str, Any]:
        if node in self.sick:
            return {"release": None, "generations": []}
        serves = self.serving[node]
        left = self.unready.get(node, 0)
        self.unready[node] = max(0, left - 1)
        generation = {"release": serves, "state": "serving", "ready": left == 0}
        return {"release": serves, "generations": [generation]}

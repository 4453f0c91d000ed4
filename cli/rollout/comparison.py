"""Where a wave's new generations are put beside the old ones: what nodes measured, what the app's
probe says, and what a command of the user's own says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping

from cli.rollout.decide import Answer, Command
from cli.rollout.document import Document
from cli.rollout.gates import Verdict, judge, spans_of
from cli.rollout.probe import Nodes, ask_probe, verdict_of

COMMAND_S = 600.0


class Comparison:
    """Looks at the nodes when it is made, and again for every judgement."""

    def __init__(self, nodes: Nodes, command: Command, document: Document) -> None:
        self._nodes = nodes
        self._command = command
        self._document = document
        roles = {document.nodes[node].role for node in command.releases} & set(document.gates)
        self._old = {
            node: record.before
            for node, record in document.nodes.items()
            if record.role in roles and record.before and record.state in ("planned", "prefetched")
        }
        self._beside = [n for n, role in document.beside.items() if role in roles]
        self._gated = [n for n in command.releases if document.nodes[n].role in roles]
        self._probed: Verdict | None = None
        self._start = self._pages()
        for node in self._beside:
            if len(serves := list(self._start.get(node, {}))) == 1:
                self._old[node] = serves[0]

    def probe(self) -> None:
        """Ask the app's own probe: once, and again as long as it is held."""
        if self._probed is None or self._probed.state == "held":
            self._probed = ask_probe(self._nodes, self._document.probe)

    def judge(self, nodes: list[str]) -> dict[str, Answer]:
        """By node: it passed, it failed, or it is held. One that did not answer at the start is
        compared from its first answer on."""
        end = self._pages()
        for node, pages in end.items():
            self._start[node] = {**pages, **self._start.get(node, {})}
        by_role = {
            role: list(self._compared(role, nodes, end))
            for role in sorted({self._document.nodes[node].role for node in nodes})
        }
        told = [*([self._probed] if self._probed else []), *self._told_by_command(nodes)]
        return {node: _answer([*by_role[self._document.nodes[node].role], *told]) for node in nodes}

    def _compared(
        self, role: str, nodes: list[str], end: Mapping[str, Mapping[str, str]]
    ) -> Iterator[Verdict]:
        def of_role(releases: Mapping[str, str], among: Collection[str]) -> dict[str, str]:
            return {n: releases[n] for n in among if self._role(n) == role}

        asked = of_role(self._command.releases, nodes)
        unheard = [node for node, release in asked.items() if release not in end.get(node, {})]
        new = spans_of(self._start, end, asked)
        old = spans_of(self._start, end, of_role(self._old, self._old))
        for gate in self._document.gates.get(role, ()):
            if unheard:  # the others say nothing of it
                nothing = f"{gate.name}: {', '.join(unheard)} tells nothing of itself"
                yield Verdict("held", nothing)
            else:
                yield judge(gate, new, old)

    def _role(self, node: str) -> str:
        record = self._document.nodes.get(node)
        return record.role if record else self._document.beside[node]

    def _pages(self) -> dict[str, dict[str, str]]:
        """Node → release → its page of metrics."""
        asked = dict.fromkeys((*self._gated, *self._old, *self._beside))
        limit_s = self._document.limits.status_s
        return {
            returned.node: returned.data.get("result") or {}
            for returned in self._nodes.call(asked, "evrelease.metrics", {}, limit_s)
            if isinstance(returned.data, dict)
        }

    def _told_by_command(self, nodes: list[str]) -> list[Verdict]:
        words = self._document.gate_command
        if not words:
            return []
        env = {"EV_ROLLOUT": self._document.id, "EV_NODES": ",".join(nodes)}
        try:
            ended = subprocess.run(
                words,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [Verdict("failed", f"{words[0]}: {error}")]
        return [verdict_of(words[0], ended.returncode, ended.stdout, ended.stderr)]


def _answer(verdicts: list[Verdict]) -> Answer:
    """The worst one counts."""
    for verdict in verdicts:
        if verdict.state == "failed":
            return Answer(ok=False, error={"what": "did not pass its gate", "why": verdict.says})
    for verdict in verdicts:
        if verdict.state == "held":
            return Answer(ok=False, held=verdict.says)
    said = [verdict.says for verdict in verdicts]
    return Answer(ok=True, result={"gates": said} if said else None)

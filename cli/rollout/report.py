"""A rollout in words: its plan, its progress node by node, its end, its figures."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from artifacts.gates import Gate
from artifacts.windows import closed_now
from cli.numbers import figures, number_of
from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, echo
from cli.ranges import counted, fold
from cli.rollout.document import Document, NodeRecord, Probe
from cli.rollout.errors import Aborted, NotRolledBack, Partial, Paused, RolledBack
from cli.rollout.table import Table


def show_range(output: Output, nodes: Collection[str]) -> None:
    """Before anything else: which nodes this is about."""
    if not output.quiet:
        echo(f"Range {counted(nodes)}", err=True)


def show_plan(output: Output, fleet: str, plan: Document, named: int) -> None:
    """plan: a draft. named: how many nodes the range names."""
    if output.quiet:
        return
    unchanged = named - len(plan.nodes)
    if not plan.nodes:
        there = number_of(unchanged, "node")
        echo(f"Plan  {fleet}: nothing to do, {there} there already", err=True)
        return
    for line in _plan_lines(fleet, plan, unchanged):
        echo(line, err=True)


def _plan_lines(fleet: str, plan: Document, unchanged: int) -> Iterator[str]:
    yield f"Plan {plan.plan}  {fleet}"
    for (role, before, to), count in _moves(plan.nodes).items():
        yield f"  {role:16} {before or 'nothing'} → {to}   {number_of(count, 'node')}"
    sizes = " / ".join(str(len(wave)) for wave in plan.waves)
    yield f"  ~ {number_of(len(plan.nodes), 'node')}, waves {sizes}      = {unchanged} unchanged"
    for number, wave in enumerate(plan.waves, 1):
        yield f"  wave {number}/{len(plan.waves)}  {counted(wave)}"
    if away := [node for node, record in plan.nodes.items() if record.away]:
        yield f"  silent now: {', '.join(away)}; comes along by itself when it returns"
    for role, capacity in plan.capacity.items():
        yield f"  {role:16} never fewer than {capacity.floor} of {capacity.serving} serving"
    closed = closed_now(plan.closed, plan.created_at)
    for window in plan.closed:
        yield f"  closed           {window}{', which is now' if window == closed else ''}"
    for check in plan.checks:
        yield f"  schemas          {check}"
    for role, gates in plan.gates.items():
        yield f"  {role:16} gates: {', '.join(map(gate_says, gates))}"
    if plan.probe:
        yield f"  probe            {probe_says(plan.probe)}"
    if plan.gate_command:
        yield f"  Gate: {' '.join(plan.gate_command)}"
    limits = plan.limits
    if plan.kind == "rollout":
        yield (
            f"  Gate: each node says itself that it serves it, for {limits.bake_s:g} s; when more "
            f"than {limits.max_fail} fail or {limits.max_unreachable} fall silent, all go back"
        )
    yield f"  about {estimate_s(plan):.0f} s"


# Measured in a lab of five nodes: what a wave takes beside its bake, a probe within the bake, and a
# release that is new.
WAVE_S = 2.0
PROBE_S = 2.5
PREFETCH_S = 10.0


def estimate_s(plan: Document) -> float:
    """How long it takes, about, when nothing goes wrong."""
    probe_s = PROBE_S if plan.probe and not plan.probe.missing else 0.0
    waves_s = len(plan.waves) * (WAVE_S + max(plan.limits.bake_s, probe_s))
    fetches = plan.kind == "rollout" and plan.in_state("planned")
    return PREFETCH_S + waves_s if fetches else waves_s


def gate_says(gate: Gate) -> str:
    bounds = [f"at most {figures(gate.at_most)}"] if gate.at_most is not None else []
    bounds += [f"worse by {figures(gate.worse_by)} at most"] if gate.worse_by is not None else []
    return f"{gate.name} ({', '.join(bounds)})"


def probe_says(probe: Probe) -> str:
    if probe.missing:
        return f"{probe.tool}: not run: {probe.missing}"
    return " ".join((probe.tool, *probe.arguments))


def _moves(nodes: Mapping[str, NodeRecord]) -> dict[tuple[str, str | None, str], int]:
    moves: dict[tuple[str, str | None, str], int] = {}
    for record in nodes.values():
        move = (record.role, record.before, record.to)
        moves[move] = moves.get(move, 0) + 1
    return moves


def plan_json(named: Collection[str], plan: Document) -> dict[str, Any]:
    """named: the nodes that the range names; plan: a draft, of those of them that would change."""
    moves = {n: {"role": r.role, "from": r.before, "to": r.to} for n, r in plan.nodes.items()}
    return {
        "silent": [node for node, record in plan.nodes.items() if record.away],
        "state": "planned" if moves else "unchanged",
        "plan": plan.plan,
        "folded": fold(named),
        "count": len(named),
        "nodes": moves,
        "waves": plan.waves,
        "limits": asdict(plan.limits),
        "capacity": {role: asdict(capacity) for role, capacity in plan.capacity.items()},
        "closed": plan.closed,
        "checks": plan.checks,
        "gates": {role: [asdict(gate) for gate in gates] for role, gates in plan.gates.items()},
        "gate_command": plan.gate_command,
        "probe": asdict(plan.probe) if plan.probe else None,
        "estimate_s": estimate_s(plan) if moves else 0.0,
        "swaps": len(moves),
    }


class Watch:
    """What happens, as it happens: a table on a terminal, else a line a change, or a JSON object a
    line."""

    def __init__(self, output: Output, *, as_json: bool) -> None:
        self._output = output
        self._as_json = as_json
        live = not as_json and not output.quiet and sys.stderr.isatty()
        self._table = Table() if live else None

    def event(
        self, document: Document, event: str, facts: dict[str, Any], at: float | None = None
    ) -> None:
        """at: when it was, unless it is just now. Unix seconds."""
        if self._table:
            self._table.event(document, event, facts)
            return
        if self._as_json:
            line = {
                "at": round(at or time.time(), 3),
                "rollout": document.id,
                "event": event,
                **facts,
            }
            echo(json.dumps(line))
        for glyph, text in _lines(document, event, facts):
            self._output.say(glyph, text, at)


def _lines(document: Document, event: str, facts: dict[str, Any]) -> list[tuple[str, str]]:
    if event == "planned":
        return [(NOTE, f"{document.kind} {document.id}")]
    if event in ("prefetch", "swap", "check", "revert"):
        nodes = facts["nodes"]
        wave = f"wave {document.wave_of(nodes[0])}/{len(document.waves)}: "
        said = {
            "prefetch": "prefetching on",
            "swap": f"{wave}swapping",
            "check": f"{wave}waiting for the gate of",
            "revert": "going back on",
        }[event]
        return [(NOTE, f"{said} {', '.join(nodes)}")]
    if event == "answer":
        return [_answer(facts)]
    if event in ("pause", "paused", "rolling_back", "aborting"):
        state = "paused" if event == "pause" else event
        # Whoever watches afterwards has the document as it is now.
        now = document.note if document.state == state else ""
        why = facts.get("note") or now or facts.get("reason")
        return [(UNKNOWN, f"{state}: {why}" if why else state)]
    return []


def _answer(facts: dict[str, Any]) -> tuple[str, str]:
    node, action = facts["node"], facts["action"]
    if facts["silent"]:
        return UNKNOWN, f"{node}: no answer to {action}"
    if facts.get("held"):
        return UNKNOWN, f"{node}: held: {facts['held']}"
    if not facts["ok"]:
        return BAD, f"{node}: {action} failed\n{evidence(facts.get('error') or {}, '           ')}"
    result = facts.get("result") or {}
    if action == "prefetch":
        return GOOD, f"{node}: has it" + (
            f" ({result['seconds']:.1f} s)" if "seconds" in result else ""
        )
    if action == "check":
        return GOOD, " · ".join([f"{node}: healthy", *result.get("gates", [])])
    took = f" in {result['total_s']:.1f} s" if "total_s" in result else ""
    short = "" if result.get("drained", True) else ", drain cut short"
    return GOOD, f"{node}: serves {result.get('to') or result.get('release')}{took}{short}"


def evidence(error: Mapping[str, Any], indent: str) -> str:
    """An error as a node told it, in lines."""
    lines = [f"{error.get('code', '')} {error.get('what', 'failed')}".strip()]
    lines += [
        f"{label}: {error[key]}"
        for label, key in (("why", "why"), ("next", "next"))
        if error.get(key)
    ]
    return "\n".join(f"{indent}{line}" for text in lines for line in text.splitlines())


def show_end(output: Output, document: Document) -> None:
    figures = summary(document)
    glyphs = {"converged": GOOD, "paused": UNKNOWN, "partial": UNKNOWN}
    glyph = output.mark(glyphs.get(document.state, BAD))
    echo(
        f"{glyph} {document.id} {document.state} · {number_of(figures['swaps'], 'swap')} · "
        f"{figures['duration_s']:.1f} s"
    )
    if document.state == "converged" and (undo := _undo(document)):
        echo(f"undo: {undo}")


def _undo(document: Document) -> str:
    """Of a rollback a rollout, where all came from the same release; empty: no single command."""
    if document.kind == "rollout":
        return f"evctl rollback {document.id}"
    before = {record.before for record in document.nodes.values()}
    if len(before) > 1 or None in before:
        return ""
    return f"evctl rollout --range {shlex.quote(fold(document.nodes))} --to {before.pop()}"


def summary(document: Document) -> dict[str, Any]:
    """A rollout's figures and each node's own story."""
    swaps = [
        {"node": node, "role": record.role, **swap}
        for node, record in document.nodes.items()
        for swap in (record.swap, record.revert)
        if swap and "total_s" in swap
    ]
    ended = document.ended_at or time.time()
    return {
        "id": document.id,
        "kind": document.kind,
        "state": document.state,
        "operator": document.operator,
        "reason": document.reason,
        "range": document.range,
        "from": _one(record.before for record in document.nodes.values()),
        "to": _one(record.to for record in document.nodes.values()),
        "plan": document.plan,
        "note": document.note,
        "started_at": document.created_at,
        "ended_at": document.ended_at,
        "duration_s": round(ended - document.created_at, 3),
        "waves": document.waves,
        "swaps": len(swaps),
        "swapped": sorted(swaps, key=lambda swap: swap.get("started_at", 0.0)),
        "nodes": {
            node: {
                "role": record.role,
                "from": record.before,
                "to": record.to,
                "state": record.state,
                "error": record.error,
            }
            for node, record in document.nodes.items()
        },
    }


def _one(releases: Any) -> str | None:
    """The release, when it is one and the same; else all of them."""
    return ", ".join(sorted({release for release in releases if release})) or None


def raise_unless_converged(document: Document) -> None:
    """RolledBack, NotRolledBack, Partial: with the first evidence."""
    if document.state == "converged":
        return
    bad = next((n for n, record in document.nodes.items() if record.error), None)
    error = (document.nodes[bad].error if bad else None) or {}
    what = " ".join(filter(None, (error.get("code"), error.get("what"))))
    why = ": ".join(filter(None, (bad, what, error.get("why"))))
    next_step = f"evctl rollouts {document.id}"
    if document.state == "rolled_back":
        raise RolledBack(f"{document.id} failed and was rolled back", why=why, next_step=next_step)
    if document.state == "paused":
        raise Paused(
            f"{document.id} is paused",
            why=document.note,
            next_step=document.ways_on(),
        )
    if document.state == "aborted":
        raise Aborted(f"{document.id} was aborted", why=document.note, next_step=next_step)
    if document.state == "partial":
        some = [n for n, record in document.nodes.items() if record.fault]
        raise Partial(
            f"{document.id}: not all nodes came along: {', '.join(some)}",
            why=why or "no answer; it becomes what it should be by itself when it returns",
            next_step=f"evctl rollout retry {document.id}",
        )
    raise NotRolledBack(f"{document.id} failed", why=why, next_step="evctl status")

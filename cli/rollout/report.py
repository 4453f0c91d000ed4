"""A rollout in words: its plan, its progress node by node, its end, its figures."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

import click

from cli.output import BAD, GOOD, NOTE, UNKNOWN, Output, echo
from cli.ranges import counted, fold
from cli.rollout.document import Document, NodeRecord
from cli.rollout.errors import NotRolledBack, Partial, RolledBack
from cli.rollout.plan import Waves


def show_range(output: Output, nodes: Collection[str]) -> None:
    """Before anything else: which nodes this is about."""
    if not output.quiet:
        click.echo(f"Range {counted(nodes)}", err=True)


def show_plan(
    output: Output, fleet: str, nodes: Mapping[str, NodeRecord], waves: Waves, unchanged: int
) -> None:
    if output.quiet:
        return
    if not nodes:
        click.echo(f"Plan  {fleet}: nothing to do, {unchanged} nodes are there already", err=True)
        return
    click.echo(f"Plan  {fleet}", err=True)
    for (role, before, to), count in _moves(nodes).items():
        click.echo(f"  {role:16} {before or 'nothing'} → {to}   {count} nodes", err=True)
    sizes = " / ".join(str(len(wave)) for wave in waves)
    click.echo(f"  ~ {len(nodes)} nodes, waves {sizes}      = {unchanged} unchanged", err=True)
    for number, wave in enumerate(waves, 1):
        click.echo(f"  wave {number}/{len(waves)}  {counted(wave)}", err=True)
    click.echo("  Gate: each node says itself that it serves it; else all go back", err=True)


def _moves(nodes: Mapping[str, NodeRecord]) -> dict[tuple[str, str | None, str], int]:
    moves: dict[tuple[str, str | None, str], int] = {}
    for record in nodes.values():
        move = (record.role, record.before, record.to)
        moves[move] = moves.get(move, 0) + 1
    return moves


def plan_json(
    named: Collection[str], nodes: Mapping[str, NodeRecord], waves: Waves
) -> dict[str, Any]:
    """named: the nodes that the range names; nodes: those of them that would change."""
    moves = {n: {"role": r.role, "from": r.before, "to": r.to} for n, r in nodes.items()}
    return {
        "state": "planned" if moves else "unchanged",
        "folded": fold(named),
        "count": len(named),
        "nodes": moves,
        "waves": waves,
        "swaps": len(moves),
    }


class Watch:
    """What happens, as it happens: a line a change, or a JSON object a line."""

    def __init__(self, output: Output, *, as_json: bool) -> None:
        self._output = output
        self._as_json = as_json

    def event(self, document: Document, event: str, facts: dict[str, Any]) -> None:
        if self._as_json:
            line = {"at": round(time.time(), 3), "rollout": document.id, "event": event, **facts}
            echo(json.dumps(line))
        for glyph, text in _lines(document, event, facts):
            self._output.say(glyph, text)


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
    return []


def _answer(facts: dict[str, Any]) -> tuple[str, str]:
    node, action = facts["node"], facts["action"]
    if facts["silent"]:
        return UNKNOWN, f"{node}: no answer to {action}"
    if not facts["ok"]:
        return BAD, f"{node}: {action} failed\n{evidence(facts.get('error') or {}, '           ')}"
    result = facts.get("result") or {}
    if action == "prefetch":
        return GOOD, f"{node}: has it" + (
            f" ({result['seconds']:.1f} s)" if "seconds" in result else ""
        )
    if action == "check":
        return GOOD, f"{node}: healthy"
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
    glyph = output.mark(GOOD if document.state == "converged" else BAD)
    echo(
        f"{glyph} {document.id} {document.state} · {figures['swaps']} swaps · "
        f"{figures['duration_s']:.1f} s"
    )
    if document.state == "converged" and document.kind == "rollout":
        echo(f"undo: evctl rollback {document.id}")


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
        "started_at": document.created_at,
        "ended_at": document.ended_at,
        "duration_s": round(ended - document.created_at, 3),
        "waves": document.waves,
        "swaps": len(swaps),
        "swapped": sorted(swaps, key=lambda swap: swap["started_at"]),
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
    why = f"{bad}: {error.get('code', '')} {error.get('what', '')}: {error.get('why', '')}"
    why = why.strip(": ") if bad else ""
    next_step = f"evctl rollouts {document.id}"
    if document.state == "rolled_back":
        raise RolledBack(f"{document.id} failed and was rolled back", why=why, next_step=next_step)
    if document.state == "partial":
        raise Partial(
            f"{document.id}: some nodes stopped answering", why=why, next_step="evctl status"
        )
    raise NotRolledBack(f"{document.id} failed", why=why, next_step="evctl status")

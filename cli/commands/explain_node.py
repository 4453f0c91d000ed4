"""Why a node is on its release: who decided it, and what it says itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from cli.commands.drift import compare
from cli.fleet import Fleet
from cli.output import Output
from cli.rollout import report
from cli.rollout.decide import wanted
from cli.rollout.document import Document

SHOWN_MAX = 5


def explain_node(output: Output, fleet: Fleet, node: str, *, as_json: bool) -> None:
    documents = fleet.documents()
    said = compare(fleet, [node])[node]
    by_rollout = node in documents.desired().nodes
    past = []
    for rollout_id in reversed(documents.ids()):
        document = documents.load(rollout_id).document
        if node in document.nodes:
            past.append(document)
        if len(past) == SHOWN_MAX:
            break
    channel = fleet.nodes()[node].channel
    # One that was refused before it began has decided nothing.
    deciding = [document for document in past if node in wanted(document)] or past
    decided = deciding[0].id if by_rollout and past else channel
    if as_json:
        output.data({"node": node, **said, "decided_by": decided, "rollouts": [d.id for d in past]})
        return
    by = f"channel {channel}" if decided == channel else decided
    for line in _lines(node, said, by, past):
        click.echo(line)


def _lines(node: str, said: dict[str, Any], by: str, past: list[Document]) -> Iterator[str]:
    serves = {"silent": "does not answer", "failed": "can't be asked"}.get(
        said["state"], f"serves {said['serves'] or 'nothing'}"
    )
    yield f"{node} {serves}"
    yield f"  should serve {said['should'] or 'nothing'}, by {by}"
    if said["rollout"]:
        yield f"  {said['rollout']} is at work on it"
    if said["state"] == "drifted":
        for changed in said["drift"]:
            yield f"  {changed}"
        yield f"  it drifted · next: evctl drift --range {node} --mend"
    for document in past:
        record = document.nodes[node]
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document.created_at))
        why = f" · {document.reason}" if document.reason else ""
        yield (
            f"  {document.id} {at} {record.before or 'nothing'} → {record.to} · {record.state}, "
            f"{document.kind} {document.state} · by {document.operator}{why}"
        )
        if record.error:
            yield report.evidence(record.error, "    ")

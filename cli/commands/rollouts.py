"""`evctl rollouts`: what was rolled out, and how it ended."""

from __future__ import annotations

import time

import click

from cli import option_types
from cli.announce import GLYPHS
from cli.numbers import number_of
from cli.output import BAD, NOTE, Output, json_option
from cli.rollout import report
from cli.rollout.document import FINAL, Document
from cli.rollout.errors import DocumentChanged

SHOWN_MAX = 20


@click.command()
@click.argument("rollout_id", required=False, metavar="[ROLLOUT]", type=option_types.rollout_id)
@json_option
@click.pass_obj
def rollouts(output: Output, rollout_id: str | None, as_json: bool) -> None:
    """The last rollouts and rollbacks; or one of them, node by node, with its evidence.

    \b
    Examples:
      evctl rollouts
      evctl rollouts R000042 --json
    """
    if rollout_id is not None:
        show_one(output, rollout_id, as_json=as_json)
        return
    documents = output.load_fleet().documents()
    found: list[Document] = []
    damaged: list[DocumentChanged] = []
    for each in documents.ids()[-SHOWN_MAX:]:
        try:
            found.append(documents.load(each).document)
        except DocumentChanged as error:  # it hides none of the others
            damaged.append(error)
    if as_json:
        shown = {"rollouts": [report.summary(document) for document in found]}
        output.data(shown | ({"damaged": [one.to_json() for one in damaged]} if damaged else {}))
    else:
        for document in reversed(found):
            click.echo(_line(output, document))
        for one in damaged:
            click.echo(f"{output.mark(BAD)} {one}")
        if not found and not damaged:
            click.echo("none yet · next: evctl rollout --range … --to …")
    if damaged:
        raise click.exceptions.Exit(DocumentChanged.exit_code)


def show_one(output: Output, rollout_id: str, *, as_json: bool) -> None:
    """Node by node, with its evidence. UnknownRollout."""
    documents = output.load_fleet().documents()
    document = documents.load(rollout_id).document
    if as_json:
        output.data(report.summary(document))
    else:
        _show(output, document, left=documents.is_left(document, time.time()))


def _line(output: Output, document: Document) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document.created_at))
    glyph = output.mark(GLYPHS.get(document.state, NOTE))
    to = ", ".join(sorted({record.to for record in document.nodes.values()}))
    why = f" · {document.reason}" if document.reason else ""
    return (
        f"{glyph} {document.id} {at} {document.kind} to {to} · "
        f"{number_of(len(document.nodes), 'node')} · {document.state} · by {document.operator}{why}"
    )


def _show(output: Output, document: Document, *, left: bool) -> None:
    click.echo(_line(output, document))
    if document.note:
        click.echo(f"  {document.state}: {document.note}")
    if left:
        click.echo(f"  nobody drives it · next: {document.ways_on()}")
    elif document.state not in FINAL:
        click.echo(f"  next: evctl rollout watch {document.id}, or pause, or abort")
    for number, wave in enumerate(document.waves, 1):
        for node in wave:
            record = document.nodes[node]
            move = f"{record.before or 'nothing'} → {record.to}"
            click.echo(f"  wave {number}  {node:20} {move}  {record.state}")
            if record.error:
                click.echo(report.evidence(record.error, "          "))

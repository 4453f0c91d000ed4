"""Bare `evctl`: the state, and the one next command."""

from __future__ import annotations

import time

import click

from artifacts.errors import EvctlError
from cli.numbers import number_of
from cli.output import Output
from cli.rollout.document import FINAL


def overview(output: Output) -> None:
    for line in _lines(output):
        click.echo(line)


def _lines(output: Output) -> list[str]:
    try:
        fleet = output.load_fleet()
        nodes = fleet.nodes()
    except EvctlError as error:
        return [error.what, "next: evctl lab up   (or see evctl --help)"]
    lines = [f"fleet {fleet.config.name} · {number_of(len(nodes), 'node')} · {fleet.path}"]
    try:
        releases = fleet.registry().releases()
        lines.append(f"registry {fleet.config.registry} · {number_of(len(releases), 'release')}")
        documents = fleet.documents()
        rollouts = documents.ids()
    except EvctlError as error:
        return [*lines, str(error), "next: evctl status"]
    step = "evctl release --channel stable" if not releases else "evctl status"
    if rollouts:
        last = documents.load(rollouts[-1]).document
        left = documents.is_left(last, time.time())
        driven = ", and nobody drives it" if left else ""
        lines.append(f"last {last.kind} {last.id}: {last.state}{driven}")
        if last.state not in FINAL:
            step = f"evctl rollout {'resume' if left else 'watch'} {last.id}"
    return [*lines, f"next: {step}   (evctl --help has the rest)"]

"""A rollout under way, seen from a terminal: progress, what Ctrl-C means, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from cli.announce import Announcer, record
from cli.asked import client_of
from cli.fleet import Fleet
from cli.history.entry import user_of
from cli.output import NOTE, Output
from cli.rollout import control, report
from cli.rollout.document import FINAL, Document
from cli.rollout.drive import Progress, drive, start
from cli.rollout.errors import LeftUndriven, NodesLocked, UnknownRollout
from cli.rollout.probe import Nodes

DETACHED_EXIT = 130
detach_option = click.option("--detach", is_flag=True, help="Don't wait: it goes on by itself.")


class _Terminated(KeyboardInterrupt):
    """SIGTERM: there may be a terminal, and nobody at it."""


def carry_out(
    output: Output, fleet: Fleet, draft: Document, *, as_json: bool, detach: bool = False
) -> None:
    """Keep it, and drive it to its end with progress; raises what its end means."""
    mine: Document | None = None

    def make(rollout_id: str) -> Document:
        nonlocal mine
        mine = replace(draft, id=rollout_id, created_at=round(time.time(), 3))
        return mine

    with stoppable(fleet, lambda: mine):
        document = start(fleet.documents(), make, time.time)
        report.Watch(output, as_json=as_json).event(document, "planned", {})
        if detach:
            drive_elsewhere(output, fleet, document)
            return
        drive_here(output, fleet, document, as_json=as_json)


def drive_here(output: Output, fleet: Fleet, kept: Document, *, as_json: bool) -> None:
    """Drive it in this process. Ctrl-C on a terminal asks what is to become of it."""
    with stoppable(fleet, lambda: kept):
        try:
            client = client_of(fleet)
            watch = report.Watch(output, as_json=as_json)
            with Announcer(output, fleet, watch.event) as announcer:
                document = _drive(output, fleet, client, kept, announcer.event)
        except NodesLocked:
            raise  # someone else drives it
        except Exception:
            _say_how_to_go_on(output, fleet, kept)
            raise
    told(output, document, as_json=as_json)


def _drive(
    output: Output, fleet: Fleet, nodes: Nodes, kept: Document, progress: Progress
) -> Document:
    while True:
        try:
            return drive(fleet.documents(), nodes, kept.id, progress)
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, _Terminated) or not sys.stdin.isatty():
                raise
            _say_how_to_go_on(output, fleet, kept)
            _after_interrupt(output, fleet, kept)


def told(output: Output, document: Document, *, as_json: bool) -> None:
    """The end, in words or as JSON; raises what it means."""
    if as_json:
        output.data(report.summary(document))
    else:
        report.show_end(output, document)
    report.raise_unless_converged(document)


def drive_elsewhere(output: Output, fleet: Fleet, kept: Document) -> None:
    """In a process of its own, which no terminal is attached to. `watch` shows it."""
    subprocess.Popen(
        # -P: the folder that one is in may have modules with names of ours
        [sys.executable, "-P", "-m", "cli.driver", fleet.path.resolve(), kept.id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    output.say(NOTE, f"{kept.id} goes on by itself · evctl rollout watch {kept.id}")


def change(
    fleet: Fleet,
    rollout_id: str,
    event: str,
    to: Callable[[Document], Document],
    reason: str = "",
) -> None:
    """Tell a rollout something: written down, for whoever drives it. WrongState."""
    documents = fleet.documents()
    facts = {"reason": reason} if reason else {}
    kept = documents.change(
        documents.load(rollout_id),
        lambda document: to(document).logged(time.time(), event, **facts),
    )
    record(fleet, kept.document.kind, {"id": rollout_id, "told": event}, why=reason)


def _after_interrupt(output: Output, fleet: Fleet, kept: Document) -> None:
    """Returns when this process is to drive on."""
    choice = click.prompt(
        "d detach (it goes on)   p pause   a abort (all go back)",
        type=click.Choice(["d", "p", "a"]),
        show_choices=False,
        err=True,
    )
    if choice == "d":
        drive_elsewhere(output, fleet, kept)
        raise click.exceptions.Exit(DETACHED_EXIT)
    event, to = ("pause", control.pause) if choice == "p" else ("abort", control.abort)
    change(fleet, kept.id, event, lambda document: to(document, user_of(os.environ)))


def _say_how_to_go_on(output: Output, fleet: Fleet, kept: Document) -> None:
    document = fleet.documents().load(kept.id).document
    if document.state not in FINAL:
        said = f"{document.id} is {document.state}, and nobody drives it"
        output.say(NOTE, f"{said}: {document.ways_on()}")


@contextmanager
def stoppable(fleet: Fleet, kept: Callable[[], Document | None]) -> Iterator[None]:
    """A terminal that is closed stops no rollout; being terminated does, as Ctrl-C does.
    LeftUndriven then, when it is there and nobody drives it. kept: the rollout, as it was made, if
    it was."""

    def stop(*_: object) -> None:
        raise _Terminated

    before = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, stop),
    }
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        if left := _left(fleet, kept()):
            raise LeftUndriven(
                f"{left.id} is kept, and nobody drives it",
                why=f"it is {left.state}, and this command was stopped",
                next_step=left.ways_on(),
            ) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _left(fleet: Fleet, kept: Document | None) -> Document | None:
    """As it is now, when it was kept at all, has not ended, and nobody drives it."""
    if kept is None:
        return None
    documents = fleet.documents()
    try:
        document = documents.load(kept.id).document
    except UnknownRollout:
        return None
    is_it = (document.created_at, document.plan) == (kept.created_at, kept.plan)
    return document if is_it and documents.is_left(document, time.time()) else None

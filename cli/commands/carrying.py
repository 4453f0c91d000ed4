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
from cli.rollout.errors import NodesLocked
from cli.salt_client import SaltClient

DETACHED_EXIT = 130
detach_option = click.option("--detach", is_flag=True, help="Don't wait: it goes on by itself.")


class _Terminated(KeyboardInterrupt):
    """SIGTERM: there may be a terminal, and nobody at it."""


def carry_out(
    output: Output, fleet: Fleet, draft: Document, *, as_json: bool, detach: bool = False
) -> None:
    """Keep it, and drive it to its end with progress; raises what its end means."""

    def make(rollout_id: str) -> Document:
        return replace(draft, id=rollout_id, created_at=round(time.time(), 3))

    document = start(fleet.documents(), make, time.time)
    report.Watch(output, as_json=as_json).event(document, "planned", {})
    if detach:
        drive_elsewhere(output, fleet, document.id)
        return
    drive_here(output, fleet, document.id, as_json=as_json)


def drive_here(output: Output, fleet: Fleet, rollout_id: str, *, as_json: bool) -> None:
    """Drive it in this process. Ctrl-C on a terminal asks what is to become of it."""
    client = client_of(fleet)
    watch = report.Watch(output, as_json=as_json)
    with Announcer(output, fleet, watch.event) as announcer:
        document = _drive(output, fleet, client, rollout_id, announcer.event)
    told(output, document, as_json=as_json)


def _drive(
    output: Output, fleet: Fleet, client: SaltClient, rollout_id: str, progress: Progress
) -> Document:
    while True:
        try:
            with _outliving_the_terminal():
                return drive(fleet.documents(), client, rollout_id, progress)
        except KeyboardInterrupt as interrupt:
            _say_how_to_go_on(output, fleet, rollout_id)
            if isinstance(interrupt, _Terminated) or not sys.stdin.isatty():
                raise
            _after_interrupt(output, fleet, rollout_id)
        except NodesLocked:
            raise  # someone else drives it
        except Exception:
            _say_how_to_go_on(output, fleet, rollout_id)
            raise


def told(output: Output, document: Document, *, as_json: bool) -> None:
    """The end, in words or as JSON; raises what it means."""
    if as_json:
        output.data(report.summary(document))
    else:
        report.show_end(output, document)
    report.raise_unless_converged(document)


def drive_elsewhere(output: Output, fleet: Fleet, rollout_id: str) -> None:
    """In a process of its own, which no terminal is attached to. `watch` shows it."""
    evctl = (sys.executable, "-c", "from cli.main import main; main()")
    subprocess.Popen(
        [*evctl, "--fleet", fleet.path.resolve(), "-q", "rollout", "resume", rollout_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    output.say(NOTE, f"{rollout_id} goes on by itself · evctl rollout watch {rollout_id}")


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


def _after_interrupt(output: Output, fleet: Fleet, rollout_id: str) -> None:
    """Returns when this process is to drive on."""
    choice = click.prompt(
        "d detach (it goes on)   p pause   a abort (all go back)",
        type=click.Choice(["d", "p", "a"]),
        show_choices=False,
        err=True,
    )
    if choice == "d":
        drive_elsewhere(output, fleet, rollout_id)
        raise click.exceptions.Exit(DETACHED_EXIT)
    event, to = ("pause", control.pause) if choice == "p" else ("abort", control.abort)
    change(fleet, rollout_id, event, lambda document: to(document, user_of(os.environ)))


def _say_how_to_go_on(output: Output, fleet: Fleet, rollout_id: str) -> None:
    if fleet.documents().load(rollout_id).document.state not in FINAL:
        output.say(
            NOTE,
            f"{rollout_id} has not ended, and is driven no more: "
            f"evctl rollout resume {rollout_id} | evctl rollout abort {rollout_id}",
        )


@contextmanager
def _outliving_the_terminal() -> Iterator[None]:
    """A terminal that is closed doesn't stop a rollout; being terminated does, as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise _Terminated

    before = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, stop),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

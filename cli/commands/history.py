"""`evctl history`: who changed what in the fleet, when, from where and why."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import click

from artifacts.errors import EvctlError
from cli.fleet import Fleet
from cli.history.entry import Entry, Head
from cli.history.verify import DIGITS_MIN, Told, Verdict, verify
from cli.numbers import number_of
from cli.option_types import refuse_before_further
from cli.output import BAD, GOOD, UNKNOWN, Output, json_option
from cli.rollout.errors import DocumentChanged

SHOWN = 20
_UNSHOWN = ("operator", "plan")  # `evctl rollouts` shows them
_HEAD = re.compile(rf"(\d{{1,8}}):([0-9a-f]{{{DIGITS_MIN},64}})")


class HistoryChanged(EvctlError):
    code = "E4202"
    exit_code = 4
    explanation = (
        "The fleet's history isn't what was written: an entry was edited, taken out, put somewhere "
        "else, or the last ones were cut off. Compare it with a backup of the documents, and find "
        "out who may write there. docs/operations.md says what each witness proves."
    )


@click.group(invoke_without_command=True)
@click.option("--last", "count", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True,
              help="So many of them.")  # fmt: skip
@json_option
@click.pass_context
def history(context: click.Context, count: int, as_json: bool) -> None:
    """Who changed what in the fleet, when, from where and why: releases, channels, rollouts,
    rollbacks, locks, keys. Newest first.

    \b
    Examples:
      evctl history
      evctl history --last 100 --json
      evctl history verify
    """
    refuse_before_further(context)
    if context.invoked_subcommand is not None:
        return
    output: Output = context.obj
    entries = list(output.load_fleet().history().last(count))
    if as_json:
        output.data({"entries": [_json(entry) for entry in entries]})
        return
    for entry in entries:
        click.echo(_line(entry))
    if not entries:
        click.echo("nothing yet · next: evctl release --channel stable")


@history.command("verify")
@click.option("--head", "heads", multiple=True, metavar="HEAD",
              help="A head that you kept elsewhere, as this command prints it.")  # fmt: skip
@json_option
@click.pass_obj
def verify_history(output: Output, heads: tuple[str, ...], as_json: bool) -> None:
    """Find any edit of the history, and any cut, also of its end. Exit code 4 when there is one.

    Its end is compared with what the registry and this machine have seen of it, and with the
    rollouts that there are; with --head, also with what you have kept yourself. Each rollout has a
    log and a plan of its own, which are looked at as well, and its operator, reason and plan are
    those that the history has.

    \b
    Examples:
      evctl history verify
      evctl history verify --head 42:1f2e3d4c5b6a7988
    """
    written_down = [_head(text) for text in heads]
    fleet = output.load_fleet()
    damaged: list[str] = []
    told = {r: one for r in fleet.documents().ids() if (one := _told(fleet, r, damaged))}
    found = verify(fleet.history(), told, written_down)
    verdict = replace(found, faults=(*found.faults, *damaged))
    if as_json and not verdict.faults:
        output.data(_verdict_json(verdict))
    for unasked in verdict.unasked:
        output.say(UNKNOWN, f"not asked: {unasked}")
    if verdict.faults:
        for fault in verdict.faults:
            output.say(BAD, fault)
        raise HistoryChanged(
            "the history was changed after it was written",
            why="; ".join(verdict.faults[:5]),
            next_step="compare history/ and rollouts/ with a backup of the documents",
        )
    if not as_json:
        click.echo(
            f"{output.mark(GOOD)} {number_of(verdict.head.number, 'entry', 'entries')}, whole"
        )
        if verdict.head.number:
            click.echo(f"keep elsewhere: evctl history verify --head {verdict.head}")


def _told(fleet: Fleet, rollout: str, damaged: list[str]) -> Told | None:
    """What its document tells of it; None when it asked no node. What was done to the document goes
    into `damaged`."""
    try:
        document = fleet.documents().load(rollout).document
    except DocumentChanged as error:
        damaged.append(f"{error.what}: {error.why}")
        return Told(time.time())  # that it is there is enough
    if not document.has_asked():
        return None
    facts = {"operator": document.operator, "reason": document.reason, "plan": document.plan}
    return Told(document.created_at, facts)


def _head(text: str) -> Head:
    read = _HEAD.fullmatch(text)
    if not read:
        raise click.BadParameter(f"{text!r} isn't a head, such as 42:1f2e3d4c5b6a7988")
    return Head(int(read[1]), read[2])


def _line(entry: Entry) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
    named = entry.event == "lock"  # it is one, or the end of one
    what = " · ".join(
        f"{key} {_words(fact)}" if named else _words(fact)
        for key, fact in entry.what.items()
        if key not in _UNSHOWN
    )
    who = f"by {entry.who.user} on {entry.who.host} ({entry.who.came_from})"
    why = f" · {entry.why}" if entry.why else ""
    return f"{entry.number:6} {at} {entry.event:8} {what} · {who}{why}"


def _words(fact: Any) -> str:
    return ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": entry.at,
        "event": entry.event,
        "what": entry.what,
        "who": vars(entry.who),
        "why": entry.why,
        "digest": entry.digest(),
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {"entries": verdict.head.number, "head": str(verdict.head), "unasked": verdict.unasked}

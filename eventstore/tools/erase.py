"""`events erase`: a subject's events, out of every pack that holds them, with a certificate."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from eventstore import engines
from eventstore.errors import EventStoreError
from eventstore.ports import EventStore
from eventstore.processing.erase import Looked, Request, Waits, certificate, erase, search
from eventstore.processing.standing import order_of
from eventstore.processing.subject import Subject
from eventstore.settings import Settings
from eventstore.tools.tool import Tool, print_json

TEXT_CHARS_MAX = 512
UNREAD_EXIT = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--field", required=True, help="user, session, … or a key of the events")
    parser.add_argument("--value", required=True, help="what stands there for this subject")
    parser.add_argument("--request", required=True, help="its number: the same asks the same again")
    parser.add_argument("--by", required=True, help="who asks for it; the certificate says so")
    parser.add_argument("--yes", action="store_true", help="erase; without it only the plan")
    parser.add_argument("--certificate", metavar="FILE", help="also write the certificate there")


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Exit code 1 when packs can't be read: nobody knows whose events these hold."""
    for name in ("field", "value", "request", "by"):
        if not 1 <= len(getattr(given, name)) <= TEXT_CHARS_MAX:
            raise ValueError(f"--{name}: expected 1 to {TEXT_CHARS_MAX} characters")
    request = Request(given.request, given.by, Subject(given.field, given.value))
    now_ms = time.time_ns() // 1_000_000
    queue = engines.open_queue(settings)
    try:
        waits = Waits.of(queue, now_ms)
    finally:
        queue.close()
    store, looked = engines.open_store(settings), Looked()
    try:
        said = (_certified if given.yes else _planned)(store, request, now_ms, looked, waits)
    finally:
        store.close()
    if given.yes and given.certificate:
        _write(Path(given.certificate), said)
    if given.json:
        print_json(said)
    else:
        print("\n".join(_lines(said)))
    return UNREAD_EXIT if looked.unread else 0


def _certified(
    store: EventStore, request: Request, now_ms: int, looked: Looked, waits: Waits
) -> dict[str, Any]:
    order = order_of(request, now_ms)
    store.put_order(order)  # before it is searched: what is not found yet finds this
    packs = list(erase(store, request, now_ms, looked))
    return certificate(request, order, looked, waits, packs)


def _planned(
    store: EventStore, request: Request, _now_ms: int, looked: Looked, waits: Waits
) -> dict[str, Any]:
    counts = [len(one.events) for one in search(store, request, looked)]
    return {
        "plan": request.certificate,
        "packs_to_change": sum(count > 0 for count in counts),
        "events_to_erase": sum(counts),
        **waits.to_json(),
        **looked.to_json(),
    }


def _lines(said: dict[str, Any]) -> list[str]:
    if "plan" in said:
        head = (
            f"would erase {said['events_to_erase']} events of {said['packs_to_change']} packs,"
            f" of {said['packs_looked_at']} looked at (--yes)"
        )
    else:
        events = sum(len(one["events"]) for one in said["packs"])
        head = (
            f"certificate {said['certificate']}: {events} events of {len(said['packs'])} packs are"
            f" erased, {said['packs_looked_at']} looked at\nsha256 {said['sha256']}"
        )
    lines = [head]
    if said["complete_before"] is None:
        lines.append("the queue doesn't say what it holds: ask again when it has been empty")
    elif said["waiting_packs"]:
        lines.append(
            f"complete for what was acknowledged before {said['complete_before']}:"
            f" {said['waiting_packs']} packs wait in the queue; ask again when they are stored"
        )
    else:
        lines.append(f"complete for what was acknowledged before {said['complete_before']}")
    if "stands_until" in said:
        lines.append(
            f"it stands until {said['stands_until']}: what was acknowledged before {said['at']} and"
            " still waits anywhere is erased when it is stored"
        )
    lines += [f"can't be read, so not looked into: pack {one}" for one in said["unread"]]
    lines += [
        f"the value is in dictionary {one}, which packs need: train another, use that from now on"
        for one in said["dictionaries"]
    ]
    return lines


def _write(path: Path, said: dict[str, Any]) -> None:
    """Aside, then in its place. Whatever goes wrong, the same request makes it again."""
    aside = path.with_name(f".{path.name}.new")
    try:
        with aside.open("w") as file:
            file.write(json.dumps(said, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except OSError as error:
        raise EventStoreError(
            f"erased, but {path} can't be written: {error.strerror}; the same request certifies it"
            " again"
        ) from error


TOOL = Tool(
    "Erase a subject's events: packs are written anew without them; a certificate says which.",
    arguments,
    run,
    (
        "erase --field user --value u-17 --request DSR-2026-117 --by dpo@example.com",
        "erase --field user --value u-17 --request DSR-2026-117 --by dpo@example.com --yes"
        " --certificate erased.json",
    ),
)

"""`events dictionary train | ls`: what makes a tenant's small packs small."""

import argparse
import random
import time
from dataclasses import dataclass

from eventstore import engines
from eventstore.dictionaries import Dictionaries
from eventstore.ports import Trained
from eventstore.processing.training import bytes_an_event, traffic, trained
from eventstore.settings import Settings
from eventstore.times import iso_time
from eventstore.tools.tool import Tool, print_json

SAMPLE_MIN, SAMPLE_MAX = 1_000, 200_000


@dataclass(frozen=True)
class Outcome:
    """What training has made, and what it saves: bytes an event, of packs that it hasn't seen."""

    dictionary_id: int
    tenant: str
    bytes: int
    events: int
    without: float
    with_it: float
    kept: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("does", choices=DOES, metavar="|".join(DOES), help="a new one; all")
    parser.add_argument("--tenant", default="default", help="whose traffic (default: default)")
    parser.add_argument(
        "--sample", type=int, default=20_000, help="how many of the newest events (default: 20000)"
    )
    parser.add_argument("--yes", action="store_true", help="keep it; without it only what it saves")


def run(given: argparse.Namespace, settings: Settings) -> int:
    return DOES[given.does](given, settings)


def _train(given: argparse.Namespace, settings: Settings) -> int:
    if not SAMPLE_MIN <= given.sample <= SAMPLE_MAX:
        raise ValueError(f"--sample {given.sample}: expected {SAMPLE_MIN} to {SAMPLE_MAX}")
    store = engines.open_store(settings)
    try:
        chance = random.Random()  # noqa: S311 - shapes, no secrets
        found = traffic(
            store.newest(), given.tenant, given.sample, Dictionaries(store.dictionary), chance
        )
        made = trained(found, chance)
        data = made.as_bytes()
        now_ms = time.time_ns() // 1_000_000
        if given.yes:
            store.put_dictionary(Trained(made.dict_id(), given.tenant, now_ms, data))
    finally:
        store.close()
    outcome = Outcome(
        made.dict_id(),
        given.tenant,
        len(data),
        found.events,
        bytes_an_event(found.measured, None),
        bytes_an_event(found.measured, made),
        given.yes,
    )
    if given.json:
        print_json(_told(outcome))
    else:
        print("\n".join(lines_of(outcome)))
    return 0


def _ls(given: argparse.Namespace, settings: Settings) -> int:
    store = engines.open_store(settings)
    try:
        kept = list(store.dictionaries())
    finally:
        store.close()
    if given.json:
        print_json(
            [
                {
                    "dictionary": one.dictionary_id,
                    "tenant": one.tenant,
                    "at": iso_time(one.at_ms),
                    "bytes": len(one.data),
                }
                for one in kept
            ]
        )
    else:
        for one in kept:
            print(f"{one.dictionary_id:>10}  {iso_time(one.at_ms)}  {one.tenant}")
    return 0


DOES = {"train": _train, "ls": _ls}


def _told(one: Outcome) -> dict[str, object]:
    return {
        "dictionary": one.dictionary_id,
        "tenant": one.tenant,
        "bytes": one.bytes,
        "events": one.events,
        "bytes_an_event": {"without": round(one.without, 1), "with": round(one.with_it, 1)},
        "kept": one.kept,
    }


def lines_of(one: Outcome) -> list[str]:
    """For people."""
    lines = [
        f"{one.bytes} bytes, trained from {one.events} events of tenant {one.tenant}",
        f"{one.without:.1f} bytes an event without it, {one.with_it:.1f} with it, of packs that it"
        " hasn't seen",
    ]
    if not one.kept:
        return [*lines, "--yes trains one and keeps it in the store"]
    setting = f"dictionaries: {{{one.tenant}: {one.dictionary_id}}}"
    return [*lines, f"kept; the collectors' settings name it: {setting}"]


TOOL = Tool(
    "Dictionaries that packs are compressed with: train one from a tenant's traffic, list them.",
    arguments,
    run,
    (
        "dictionary train --tenant shop --sample 20000",
        "dictionary train --tenant shop --yes",
        "dictionary ls",
    ),
)

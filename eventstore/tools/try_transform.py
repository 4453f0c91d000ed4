"""`events try TRANSFORM`: what it would change of stored events, before anything is deployed."""

import argparse

from eventstore import engines
from eventstore.dictionaries import Dictionaries
from eventstore.processing.transformer import Transformer
from eventstore.processing.trial import DEAD, OUTCOMES, Trial, trial
from eventstore.settings import Settings
from eventstore.tools.tool import Tool, print_json

SAMPLE_MAX = 100_000
PACK_S = 60


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "transforms", nargs="+", metavar="TRANSFORM", help="package.module:function, as in settings"
    )
    parser.add_argument(
        "--sample", type=int, default=1000, help="how many of the newest events (default: 1000)"
    )


def run(given: argparse.Namespace, settings: Settings) -> int:
    if not 1 <= given.sample <= SAMPLE_MAX:
        raise ValueError(f"--sample: {given.sample}: expected 1 to {SAMPLE_MAX}")
    candidate = Transformer(given.transforms, event_s=settings.transform_s, pack_s=PACK_S)
    try:
        store = engines.open_store(settings)
        try:
            dictionaries = Dictionaries(store.dictionary)
            found = trial(store.newest(), given.sample, candidate, dictionaries)
        finally:
            store.close()
    finally:
        candidate.close()
    if given.json:
        print_json(_told(found))
    else:
        _print(found)
    return 0


def _told(found: Trial) -> dict[str, object]:
    examples = {
        outcome: [
            {"id": str(one.id), "now": one.now, "then": one.then, "reason": one.dead or None}
            for one in some
        ]
        for outcome, some in found.examples.items()
        if some
    }
    return {"events": sum(found.counts.values()), **found.counts, "examples": examples}


def _print(found: Trial) -> None:
    counts = ", ".join(f"{found.counts[outcome]} {outcome}" for outcome in OUTCOMES)
    print(f"{sum(found.counts.values())} events: {counts}")
    for outcome, some in found.examples.items():
        for one in some:
            print(f"\n{outcome}: {one.id}\n{one.dead if outcome == DEAD else one.diff()}")


TOOL = Tool(
    "What transforms would change of the newest events: counts, and examples as diffs.",
    arguments,
    run,
    ("try myapp.transforms:clean --sample 1000",),
)

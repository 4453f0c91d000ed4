"""`events ledger`: is everything that was accepted somewhere, and where was something lost?"""

import argparse
import time

from eventstore import engines
from eventstore.ledger import MINUTE_MS
from eventstore.query.ledger import Line, read_ledger
from eventstore.settings import Settings
from eventstore.times import iso_time
from eventstore.tools.tool import Tool, print_json

DAY_MINUTES = 24 * 60
LOST_EXIT = 1
COLUMNS = ("accepted", "stored", "dead", "duplicate", "in_flight")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minutes",
        type=int,
        default=DAY_MINUTES,
        help="how far to look back (default: a day); every pack of that time is looked at",
    )


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Exit code 1 when something does not balance."""
    if given.minutes < 1:
        raise ValueError(f"--minutes {given.minutes}: expected 1 or more")
    since = max(0, time.time_ns() // 1_000_000 // MINUTE_MS - given.minutes)
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    try:
        lines = read_ledger(queue, store, since)
    finally:
        queue.close()
        store.close()
    balanced = not any(line.faults for line in lines)
    if given.json:
        print_json({"balanced": balanced, "minutes": [line.to_json() for line in lines]})
    else:
        print("\n".join(_table(lines)))
    return 0 if balanced else LOST_EXIT


def _table(lines: list[Line]) -> list[str]:
    width = max([len("endpoint"), *(len(line.endpoint) for line in lines)])
    heads = "".join(f"{name.replace('_', ' '):>12}" for name in COLUMNS)
    rows = [f"{'minute':<18}{'endpoint':<{width}}{heads}"]
    for line in lines:
        minute = iso_time(line.minute * MINUTE_MS)[:16].replace("T", " ")
        numbers = "".join(f"{getattr(line, name):>12}" for name in COLUMNS)
        verdict = "LOST" if line.faults else "balances" if line.settled else "under way"
        rows.append(f"{minute:<18}{line.endpoint:<{width}}{numbers}  {verdict}")
        rows += [f"  at the {fault.hop}: {fault.says}" for fault in line.faults]
    return rows if lines else ["nothing was accepted in this time"]


TOOL = Tool(
    "Whether accepted = stored + dead + duplicate + in flight, for each minute and endpoint.",
    arguments,
    run,
    ("ledger", "ledger --minutes 10 --json"),
)

"""`events sweep`: segments that nobody refers to, after a processor died at a bad moment."""

import argparse
import time
from dataclasses import asdict

from eventstore import engines
from eventstore.settings import Settings
from eventstore.tools.tool import Tool, print_json

HOUR_S = 3600
DAY_HOURS = 24


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hours",
        type=int,
        default=DAY_HOURS,
        help="only what was written longer ago than this (default: a day; at least 1)",
    )
    parser.add_argument(
        "--since-hours",
        type=int,
        default=8 * DAY_HOURS,
        help="and not longer ago than this (default: eight days)",
    )
    parser.add_argument("--yes", action="store_true", help="delete them; without it only the plan")


def run(given: argparse.Namespace, settings: Settings) -> int:
    """What is younger than an hour may be in the making, and is never touched."""
    sweep = engines.open_sweep(settings)
    found = []
    try:
        for orphan in sweep.orphans(
            now_s=time.time(),
            older_than_s=given.hours * HOUR_S,
            since_s=given.since_hours * HOUR_S,
        ):
            found.append(orphan)
            if given.yes:
                sweep.take(orphan)
            if not given.json:
                word = "deleted" if given.yes else "would be deleted (--yes)"
                print(f"{orphan.file}  {orphan.bytes} bytes  {word}")
    finally:
        sweep.close()
    if given.json:
        print_json({"deleted": given.yes, "objects": [asdict(one) for one in found]})
    elif not found:
        print("every segment of this time is referred to")
    return 0


TOOL = Tool(
    "Delete segments that no item refers to: what a processor left that died between two writes.",
    arguments,
    run,
    ("sweep", "sweep --hours 2 --yes"),
)

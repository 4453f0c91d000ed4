"""`events create`: the queue, table and buckets that the settings' URLs name."""

import argparse

from eventstore import engines
from eventstore.errors import SettingsError
from eventstore.settings import Settings
from eventstore.tools.tool import Tool, print_json

WARM = "units of {name} a second that a new table takes from its first second on"
UNITS_MAX = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("writes", "reads"):
        parser.add_argument(
            f"--warm-{name}", type=int, default=0, metavar="N", help=WARM.format(name=name)
        )
    parser.add_argument("--yes", action="store_true", help="make them; without it only the plan")


def run(given: argparse.Namespace, settings: Settings) -> int:
    """What is there stays as it is, but for rules of ours in a bucket's lifecycle."""
    for name, units in (("writes", given.warm_writes), ("reads", given.warm_reads)):
        if not 0 <= units <= UNITS_MAX:
            raise ValueError(f"--warm-{name} {units}: expected 0 to {UNITS_MAX}")
    planned = engines.creations(
        settings, warm_writes=given.warm_writes, warm_reads=given.warm_reads
    )
    if not planned:
        raise SettingsError("the settings name no engine that is to be made: queue, store, …")
    if given.yes:
        for make in planned.values():
            make()
    if given.json:
        print_json({"made": given.yes, "urls": list(planned)})
    else:
        word = "is there" if given.yes else "would be made, where it is missing (--yes)"
        print("\n".join(f"{url} {word}" for url in planned))
    return 0


TOOL = Tool(
    "Make the queue, table and buckets that the settings' URLs name; never changes what is there,"
    " but for its own rules in the buckets' lifecycles.",
    arguments,
    run,
    (
        "create --settings settings.yaml",
        "create --settings settings.yaml --warm-writes 20000 --yes",
    ),
)

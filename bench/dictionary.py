"""What a dictionary saves, by how many events share a pack, as docs/performance.md has it:
`python -m bench.dictionary`.

Packs as collectors write them, each of its own requests of one event, half of them from other
clients; trained from other events than are measured. Times are the processor's, not the clock's.
"""

import random
import time
from itertools import islice
from uuid import uuid4

from bench.events import TOKEN, event
from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries, Dictionary
from eventstore.event import new_pack_id
from eventstore.ports import Stored
from eventstore.processing.training import traffic, trained

SIZES = (10, 50, 100, 500)
TRAINED_FROM = 20_000
MEASURED = 20_000
REQUESTS_MAX = 10  # of which a pack is
TAGS = {
    "endpoint": "/v1/events",
    "tenant": "default",
    "source": "/v1/events",
    "node": "collector-01",
    "role": "collector",
    "release": "0.1.0-fd05b217cf5e",
}


def main() -> None:
    """Prints the table."""
    chance = random.Random(5)  # noqa: S311 - load, no secret
    seen = (Stored(0, new_pack_id(), one, b"", b"", frozenset()) for one in _packs(chance, 10))
    made = trained(traffic(seen, "default", TRAINED_FROM, NO_DICTIONARIES), chance)
    print(
        "| events a pack | version 2, bytes an event | without | with | saved"
        " | µs to pack, without and with | to unpack |\n|---|---|---|---|---|---|---|"
    )
    for size in SIZES:
        without, with_it = _measured(chance, size, None), _measured(chance, size, made)
        print(
            f"| {size} | {without[1]:.1f} | {without[0]:.1f} | {with_it[0]:.1f}"
            f" | {100 - 100 * with_it[0] / without[0]:.0f} %"
            f" | {without[2]:.2f} {with_it[2]:.2f} | {without[3]:.2f} {with_it[3]:.2f} |"
        )

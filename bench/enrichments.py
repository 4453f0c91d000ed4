"""What each enrichment costs, as docs/enrichments.md has it: `python -m bench.enrichments`.

Processor time, not the clock's, for packs of 500 events with 300 user agents and unique query
strings, after a first round that fills the caches: what `enrich` costs with one step, less what it
costs with none.
"""

import time
from itertools import islice
from typing import Any
from uuid import UUID

from bench.events import bodies, templates
from eventstore import packing
from eventstore.event import new_pack_id
from eventstore.processing.enrich import Rules, enrich
from eventstore.settings import Settings

EVENTS = 500
PACKS = 64
ROUNDS = 15
Packs = list[tuple[UUID, bytes]]
Enrichments = tuple[str | dict[str, Any], ...]


def main() -> None:
    """Prints the table."""
    names = Settings().enrichments
    without, *each, together = _us_an_event(_packs(), [(), *((name,) for name in names), names])
    print("| step | µs an event |\n|---|---|")
    print(f"| none: unpack, read, times, ids, sidecar | {without:.2f} |")
    for name, us in zip(names, each, strict=True):
        print(f"| `{name}` | {us - without:.2f} |")
    print(f"| all of these | {together:.2f} |")


def _packs() -> Packs:
    tags = {"endpoint": "/v1/events", "source": "/v1/events"}
    made = bodies(templates(EVENTS, seed=5), 0)
    packs = []
    for body in islice(made, PACKS):
        pack_id = new_pack_id()
        share = packing.Share(EVENTS, time.time_ns() // 1_000_000, address="192.0.2.7")
        packs.append((pack_id, packing.pack(pack_id, tags, [share], [body], None)))
    return packs


def _us_an_event(packs: Packs, choices: list[Enrichments]) -> list[float]:
    """Of each choice the best of some rounds: what else the machine does only ever adds."""
    best = [float("inf")] * len(choices)
    rules = [Rules.of(Settings(enrichments=one)) for one in choices]
    for number in range(1 + ROUNDS):
        for place, one in enumerate(rules):
            started = time.process_time()
            for pack_id, body in packs:
                enrich(pack_id, body, one)
            spent = time.process_time() - started
            best[place] = min(best[place], spent) if number else best[place]
    return [one * 1e6 / (EVENTS * len(packs)) for one in best]


if __name__ == "__main__":
    main()

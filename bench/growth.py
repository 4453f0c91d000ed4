"""Cost as it grows: `python -m bench.growth [TABLE …]`, printed, and written to
build/bench-growth.json as {TABLE: [{column: figure, …}, …]}.

processors  events/s from HTTP to aggregated: with more processors than cores, no less
stored      appending an event, and reading one by its id: flat
pack        processor time an event: what a pack costs is shared by its events
event       processor time an event: in step with its bytes
memory      of each process at full load: flat
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import UUID

import numpy as np

from bench.__main__ import BUILD
from bench.events import bodies, templates
from bench.processes import load, roles
from bench.rows import STORE, Seen, through
from eventstore import packing
from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.backends.embedded.store import EmbeddedStore
from eventstore.dictionaries import NO_DICTIONARIES
from eventstore.event import EventId, new_pack_id
from eventstore.ports import Enriched, Lease, Packed, Way
from eventstore.processing.ahead import Ahead
from eventstore.processing.enrich import Rules, enrich
from eventstore.query.read import open_reader
from eventstore.settings import Settings

TAGS = {"endpoint": "/v1/events", "tenant": "default", "source": "/v1/events"}
PACK_BYTES = 1 << 20
PACK_EVENTS = 2_500
PACKS_A_PUT = 16
KEYS_A_SPAN = 2_000_000  # ten seconds of 200,000 a second
READS = 200
ROUNDS = 3
ROUND_EVENTS = 20_000

Figures = dict[str, float]


@dataclass(frozen=True)
class Given:
    """seen: the seconds of load for each figure, and where there is room."""

    seen: Seen
    events_max: int
    minutes: int


def processors(given: Given) -> Iterator[Figures]:
    """One collector and one post-processor with more and more processors."""
    for number in (1, 2, 4, 8):
        names = ("collector", *["processor"] * number, "postprocessor")
        with given.seen.place() as folder, roles(folder, names) as running:
            yield {"processors": number, "events/s": through(given.seen, folder, running)}


def stored(given: Given) -> Iterator[Figures]:
    """A store that holds more and more: what more costs, and reading any event of it."""
    chance = random.Random(1)  # noqa: S311 - load, no secret
    ready = [
        enrich(*one, Rules.of(Settings()))
        for one in _packed(_requests(PACK_EVENTS, PACKS_A_PUT), PACK_EVENTS)
    ]
    with given.seen.place() as folder:
        store = EmbeddedStore(folder / "store.sqlite")
        reader = open_reader(folder.as_uri())
        known: list[UUID] = []
        held, goal = 0, 100_000
        while goal <= given.events_max:
            while held < goal:
                packs = [_another(one, held // KEYS_A_SPAN) for one in ready]
                append_us = _us(partial(store.put, packs), PACKS_A_PUT * PACK_EVENTS)
                held += PACKS_A_PUT * PACK_EVENTS
                known.append(chance.choice(packs).pack_id)
            chosen = [EventId(one, chance.randrange(PACK_EVENTS)) for one in
                      chance.choices(known, k=READS)]  # fmt: skip
            reads_us = sorted(_us(partial(reader.event, one), 1)[0] for one in chosen)
            yield {
                "stored events": held,
                "append µs": append_us[0],
                "of it processor µs": append_us[1],
                "read p50 ms": reads_us[READS // 2] / 1000,
                "read p99 ms": reads_us[READS * 99 // 100] / 1000,
            }
            goal *= 10
        reader.close()
        store.close()


def pack(given: Given) -> Iterator[Figures]:
    """Packs of more and more events."""
    for events in (1, 10, 100, 500, 1_000, 5_000):
        packs = min(1_000, max(4, ROUND_EVENTS // events))
        yield {"events a pack": events, **_way(given, events, packs)}


def event(given: Given) -> Iterator[Figures]:
    """Events of more and more bytes, in packs of 1 MiB."""
    for size in (100, 350, 1 << 10, 4 << 10, 32 << 10):
        yield {"bytes an event": size, **_way(given, PACK_BYTES // size, 8, size)}


def memory(given: Given) -> Iterator[Figures]:
    """The most that each process has had resident, minute by minute, at the rate that they reach
    together."""
    with given.seen.place() as folder, roles(folder, STORE) as running:
        rate = through(given.seen, folder, running)
    with (
        given.seen.place() as folder,
        roles(folder, STORE) as running,
        ThreadPoolExecutor() as aside,
    ):
        sent = aside.submit(
            load, running[0].port, seconds=60 * given.minutes, connections=8, rate=rate
        )
        for minute in range(1, given.minutes + 1):
            time.sleep(60)
            yield {"minute": minute, "events/s": rate} | {
                f"{place}: {one.name} MiB": one.rss_peak_mib()
                for place, one in enumerate(running, 1)
            }
        sent.result()


TABLES: dict[str, Callable[[Given], Iterator[Figures]]] = {
    one.__name__: one for one in (processors, stored, pack, event, memory)
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="all, if none is named")
    parser.add_argument("--seconds", type=float, default=10, help="of load for each figure")
    parser.add_argument("--events-max", type=float, default=1e8, help="in the store, at the end")
    parser.add_argument("--minutes", type=int, default=10, help="of the table `memory`")
    asked = parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    given = Given(Seen(asked.seconds, BUILD), int(asked.events_max), asked.minutes)
    found: dict[str, list[Figures]] = {}
    for name in asked.tables or TABLES:
        print(f"\n{name}", flush=True)
        found[name] = []
        for row in TABLES[name](given):
            if not found[name]:
                print("".join(f"{column:>20}" for column in row))
            print(
                "".join(f"{figure:20,.{0 if figure >= 1000 else 2}f}" for figure in row.values()),
                flush=True,
            )
            found[name].append({column: round(figure, 3) for column, figure in row.items()})
    (BUILD / "bench-growth.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwritten to {BUILD / 'bench-growth.json'}", file=sys.stderr)
    return 0


def _figure(value: float) -> str:
    return f"{value:20,.{0 if value >= 100 or value == int(value) else 2}f}"


def _way(given: Given, events: int, packs: int, size: int | None = None) -> Figures:
    """Processor time an event on each part of its way, the best of some rounds, in this process."""
    rounds = []
    for _ in range(ROUNDS):
        with given.seen.place() as folder:
            rounds.append(_round(folder, events, packs, size))
    return {name: min(one[name] for one in rounds) for name in rounds[0]}


def _round(folder: Path, events: int, packs: int, size: int | None) -> Figures:
    queue = EmbeddedQueue(folder / "queue.sqlite", packs_max=1 << 30, bytes_max=1 << 40)
    store = EmbeddedStore(folder / "store.sqlite")
    requests = _requests(events, packs, size)
    made: list[tuple[UUID, bytes]] = []
    ready: list[Enriched] = []
    steps: dict[str, Callable[[], object]] = {
        "pack µs": lambda: made.extend(_packed(requests, events)),
        "queue µs": lambda: queue.put([Packed(*one, "/v1/events", events) for one in made]),
        "enrich µs": lambda: ready.extend(_enriched(made, events)),
        "store µs": lambda: store.put(ready),
    }
    total = events * packs
    found = {name: _us(step, total)[1] for name, step in steps.items()}
    queue.close()
    store.close()
    return found | {"stored bytes": sum(len(one.body) + len(one.sidecar) for one in ready) / total}


def _requests(events: int, requests: int, size: int | None = None) -> list[bytes]:
    return list(islice(bodies(templates(events, 1, bytes_each=size), 0), requests))


def _packed(requests: Sequence[bytes], events: int) -> list[tuple[UUID, bytes]]:
    share = packing.Share(events, time.time_ns() // 1_000_000, address="192.0.2.7")
    ids = [new_pack_id() for _ in requests]
    return [(one, packing.pack(one, TAGS, [share], [body], None)) for one, body in
            zip(ids, requests, strict=True)]  # fmt: skip


def _enriched(packs: Sequence[tuple[UUID, bytes]], events: int) -> Iterator[Enriched]:
    """As a processor does that claims some at a time."""
    ahead = Ahead(Rules.of(Settings()), NO_DICTIONARIES)
    way = Way("/v1/events", events)
    leases = [Lease(pack_id, body, 1, "", "", way) for pack_id, body in packs]
    for first in range(0, len(leases), PACKS_A_PUT):
        claimed = leases[first : first + PACKS_A_PUT]
        for place, one in enumerate(claimed, 1):
            yield ahead.enriched(one, claimed[place:])


def _another(one: Enriched, span: int) -> Enriched:
    """The same pack under another id, with events that nobody has sent before."""
    pack_id = new_pack_id()
    body = one.body.replace(one.pack_id.hex.encode(), pack_id.hex.encode(), 1)
    rest = body[packing.PREFIX.size :]
    fields = (*packing.PREFIX.unpack_from(body)[:-1], zlib.crc32(rest))
    keys = np.frombuffer(random.randbytes(16 * len(one.keys)), dtype=np.int64)  # noqa: S311
    return replace(
        one,
        pack_id=pack_id,
        body=packing.PREFIX.pack(*fields) + rest,
        keys=keys.reshape(-1, 2),
        key_spans=one.key_spans + span,
    )


def _us(work: Callable[[], object], items: int) -> tuple[float, float]:
    """Microseconds an item: by the clock, and of processor time."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    work()
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return took_s * 1e6 / items, cpu_s * 1e6 / items


if __name__ == "__main__":
    raise SystemExit(main())

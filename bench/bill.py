"""What a billion events cost in SQS, DynamoDB and S3, by events a pack and placement.

Packs go the whole way, in this process, over local engines; the client counts what AWS would bill,
and scaling/prices.yaml has the prices. Nothing here is a speed. Each event has an id of its client.

Traffic is either dense, as of 200,000 events a second: packs are sent by fours, claimed by
sixteens, and merged until there are 4 MiB; or thin, 100 events a second, each pack a tenth of a
second after the one before: they are sent alone, claimed by twenties, and merged as they come
within the linger to whichever of the processors claim, which these find out as they always do. What
processors and two collectors ask of SQS every so many seconds is added there. The post-processor
publishes every two seconds, or every five minutes where the linger is longer than that. Machines,
what is kept, and traffic between zones are apart.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from bench.dictionary import TAGS, dictionary_of, packs_of
from bench.local_engines import serving
from cli.lab.engines.start import VARIABLES
from eventstore import engines, settings
from eventstore.backends.aws.queue import COUNT_S_MAX, IN_FLIGHT_S
from eventstore.dictionaries import Dictionaries, Dictionary
from eventstore.ports import Enriched, EventStore, Lease, Packed, Queue
from eventstore.postprocessing.postprocessor import Postprocessor
from eventstore.processing.enrich import Rules, enrich
from eventstore.processing.gathered import ENOUGH_BYTES, LOOKS
from eventstore.processing.processor import TIDY_S
from eventstore.processing.turn import LINGER_S_MIN, Turn
from scaling import prices

BILLION = 1e9
# What the client counts → its price.
PRICED = {
    "ev_aws_sqs_requests_total": "sqs_request",
    "ev_aws_dynamodb_write_units_total": "dynamodb_write_unit",
    "ev_aws_dynamodb_read_units_total": "dynamodb_read_unit",
    "ev_aws_s3_puts_total": "s3_put",
    "ev_aws_s3_gets_total": "s3_get",
}
THIN_EVENTS_S = 100
THIN_CLAIMED, THIN_COLLECTORS = 20, 2
CLAIMED, SENT = 16, 4
PUBLISH_S, PUBLISH_SELDOM_S = 2, 300
DENSE_EVENTS_S = 200_000
PUBLISHED_EVENTS = DENSE_EVENTS_S * PUBLISH_S
PACKS_MIN, PUTS_MIN = 160, 2
LEASE_S = 600


@dataclass(frozen=True)
class Case:
    """linger_s: None: traffic is dense. has_dictionary: whether packs are compressed with one."""

    events_a_pack: int
    placement: str
    linger_s: float | None = None
    has_dictionary: bool = False
    processors: int = 1

    @property
    def is_thin(self) -> bool:
        return self.linger_s is not None

    @property
    def traffic(self) -> str:
        if self.linger_s is None:
            return "dense"
        return f"thin, {self.linger_s:g} s, {self.processors} proc."

    @property
    def sent_together(self) -> int:
        return SENT if self.linger_s is None else 1

    @property
    def claimed_together(self) -> int:
        return THIN_CLAIMED if self.is_thin else CLAIMED

    @property
    def looked_for_together(self) -> int:
        """A processor looks four times while it lingers, when little comes."""
        if self.linger_s is None:
            return CLAIMED
        return max(1, self._lingering() // LOOKS)

    @property
    def every_s(self) -> float:
        return self.events_a_pack / (THIN_EVENTS_S if self.is_thin else DENSE_EVENTS_S)

    @property
    def asked_per_s(self) -> float:
        """Requests of SQS that come with time, not with packs: how much waits, how much is leased,
        and the first pack of a put, which comes alone."""
        if self.linger_s is None:
            return 0
        look_s = max(self.linger_s / LOOKS, IN_FLIGHT_S)
        alone = 1 / self.linger_s if self.linger_s else 0
        claiming = 1 if self.linger_s >= LINGER_S_MIN else self.processors
        return THIN_COLLECTORS / COUNT_S_MAX + claiming * (1 / look_s + alone)

    def packs_a_put(self, pack_bytes: int) -> int:
        """Of thin traffic those of all processors' next puts."""
        if self.is_thin:
            return max(1, self._lingering())
        return CLAIMED if self.placement == "items" else -(-ENOUGH_BYTES // pack_bytes)

    def puts(self, packs_a_put: int, publish_s: float) -> int:
        """Of thin traffic as many as come until something is published."""
        seconds = packs_a_put * self.every_s
        until = math.ceil(publish_s / seconds) if self.is_thin else PUTS_MIN
        return max(until, PACKS_MIN // packs_a_put)

    def _lingering(self) -> int:
        """Packs that come meanwhile."""
        return int(THIN_EVENTS_S / self.events_a_pack * (self.linger_s or 0))


@dataclass
class Gathering:
    """A processor that has had thin traffic until now. leases: what it holds."""

    store: EventStore
    turn: Turn
    tidied_at_s: float
    leases: list[Lease] = field(default_factory=list)

    @classmethod
    def of(cls, store: EventStore, case: Case, clock: Clock) -> Gathering:
        made = cls(store, Turn(store, case.linger_s or 0, lambda: clock.now_s), clock.now_s)
        made.noted(has_enough=False)
        return made

    def noted(self, *, has_enough: bool) -> None:
        """After a put."""
        self.turn.note_claim(is_all=True)
        self.turn.note_put(has_enough=has_enough)

    def tidy(self, now_s: float) -> None:
        if now_s - self.tidied_at_s >= TIDY_S:
            self.store.tidy(now_s)
            self.tidied_at_s = now_s


@dataclass
class Clock:
    """The traffic's own: packs are made more quickly than they would come."""

    now_s: float


@dataclass(frozen=True)
class Bill:
    """amounts: of a billion events, as AWS bills them; usd: what each of them costs. packs_a_put:
    on average."""

    events_a_pack: int
    traffic: str
    placement: str
    has_dictionary: bool
    packs_a_put: int
    pack_bytes: int
    amounts: dict[str, float]
    usd: dict[str, float]
    usd_per_billion_events: float


CASES = [
    *(Case(events, way) for events in (10, 100, 500) for way in ("items", "segments", "auto")),
    *(Case(count, way, None, True) for count in (10, 100, 500) for way in ("items", "auto")),
    *(Case(10, way, linger, processors=2) for way, linger in (("items", 0), ("auto", 2))),
    *(Case(10, "auto", linger, processors=count) for linger in (30, 60) for count in (1, 2)),
    Case(10, "auto", 60, has_dictionary=True, processors=2),
]
HEAD = (
    f"{'':61}a pack's   millions a billion events\n"
    "a pack  traffic              placement  dictionary  a put   bytes       SQS    writes"
    "     reads      PUTs      GETs  $ a billion"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.bill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m bench.bill --json",
    )
    parser.add_argument("--json", action="store_true", help="an object for each line")
    parser.add_argument("--thin", action="store_true", help="only the cases of thin traffic")
    given = parser.parse_args()
    os.environ.update(VARIABLES)
    dictionary = dictionary_of(random.Random(5))  # noqa: S311 - load, no secret
    with serving() as ends:
        if not given.json:
            print(HEAD)
        for number, case in enumerate(one for one in CASES if one.is_thin or not given.thin):
            options = settings.from_dict(_settings(case, f"case-{number}", ends))
            bill = measured(case, options, dictionary)
            print(json.dumps(asdict(bill)) if given.json else _line(bill), flush=True)
    if not given.json:
        print(prices.load().said)
    return 0


def measured(case: Case, options: settings.Settings, dictionary: Dictionary) -> Bill:
    """Over some puts, and a publication of the window that they are in."""
    for make in engines.creations(options).values():
        make()
    with ExitStack() as opened:
        queue = opened.enter_context(closing(engines.open_queue(options)))
        clock = Clock(time.time())
        processors = [
            Gathering.of(opened.enter_context(closing(engines.open_store(options))), case, clock)
            for _ in range(case.processors)
        ]
        aggregates = engines.open_aggregates(options)
        rules, made = Rules.of(options), _packs(case, dictionary)
        known = Dictionaries(lambda _: dictionary.as_bytes())
        sample = next(made)
        pack_bytes = _bytes_of(enrich(sample.pack_id, sample.body, rules, None, known))
        packs_a_put = case.packs_a_put(pack_bytes)
        publisher = Postprocessor(processors[0].store, aggregates, options)
        began, puts, events, published_at = _consumed(), 0, 0, 0
        for _ in range(case.puts(packs_a_put, options.publish_s)):
            for start in range(0, packs_a_put, case.looked_for_together):
                coming = min(case.looked_for_together, packs_a_put - start)
                for _ in range(0, coming, case.sent_together):
                    queue.put(list(islice(made, case.sent_together)))
                clock.now_s += coming * case.every_s
                claiming = [one for one in processors if one.turn.is_mine()]
                for number, one in enumerate(claiming):
                    share = (coming + number) // len(claiming)
                    _claim(queue, one.leases, len(one.leases) + share, case)
            for one in processors:
                one.tidy(clock.now_s)
                if not one.leases:
                    continue
                packs = [enrich(got.pack_id, got.body, rules, None, known) for got in one.leases]
                one.store.put(packs)
                one.store.orders(0)  # a processor asks whether an erasure stands
                queue.ack(one.leases)
                one.noted(has_enough=sum(map(_bytes_of, packs)) >= ENOUGH_BYTES)
                events += case.events_a_pack * len(packs)
                puts += 1
                one.leases = []
            if case.is_thin and events - published_at >= THIN_EVENTS_S * options.publish_s:
                publisher.step()
                published_at = events
        stored = _consumed()
        if not case.is_thin:  # so much comes until the next time that it is counted over that
            publisher.step()
        published = _consumed()
    amounts = {
        name: (stored[name] - began[name]) * BILLION / events
        + (published[name] - stored[name]) * BILLION / PUBLISHED_EVENTS
        for name in PRICED
    }
    amounts["ev_aws_sqs_requests_total"] += case.asked_per_s * BILLION / THIN_EVENTS_S
    usd = {name: prices.load().usd(price, amounts[name]) for name, price in PRICED.items()}
    return Bill(
        case.events_a_pack,
        case.traffic,
        case.placement,
        case.has_dictionary,
        round(events / case.events_a_pack / puts),
        pack_bytes,
        amounts,
        usd,
        sum(usd.values()),
    )


def _claim(queue: Queue, leases: list[Lease], packs: int, case: Case) -> None:
    """Until there are so many. Ends: the queue loses none."""
    while len(leases) < packs:
        wanted = case.claimed_together
        if case.is_thin:  # the others are the other processor's
            wanted = min(wanted, packs - len(leases))
        leases += queue.claim(wanted, LEASE_S, wait_s=1)


def _settings(case: Case, name: str, ends: dict[str, str]) -> dict[str, Any]:
    urls: dict[str, Any] = {
        "queue": f"sqs://{name}{ends['sqs']}",
        "store": f"dynamodb://{name}{ends['dynamodb']}",
        "segments": f"s3://{name}/segments{ends['s3']}",
        "aggregates": f"s3://{name}/aggregates{ends['s3']}",
        "claims": f"s3://{name}/claims{ends['s3']}",
    }
    publish_s = PUBLISH_S if (case.linger_s or 0) <= PUBLISH_S else PUBLISH_SELDOM_S
    return {
        **urls,
        "placement": case.placement,
        "publish_s": publish_s,
        "commit_s": 60,
        "queue_packs_max": 10**6,
    }


def _packs(case: Case, dictionary: Dictionary) -> Iterator[Packed]:
    """Endless ones, as a collector makes them."""
    chance = random.Random(7)  # noqa: S311 - load, no secret
    used = dictionary if case.has_dictionary else None
    for pack_id, body in packs_of(chance, case.events_a_pack, used, case.every_s):
        yield Packed(pack_id, body, TAGS["endpoint"], case.events_a_pack)


def _bytes_of(pack: Enriched) -> int:
    return len(pack.body) + len(pack.sidecar) + len(pack.view)


def _consumed() -> dict[str, float]:
    """Of all operations, since this process began."""
    return {
        one.name: sum(float(line.rpartition(" ")[2]) for line in one.lines() if line[0] != "#")
        for one in engines.counters()
        if one.name in PRICED
    }


def _line(bill: Bill) -> str:
    millions = (f"{bill.amounts[name] / 1e6:10,.2f}" for name in PRICED)
    return (
        f"{bill.events_a_pack:6}  {bill.traffic:<19}  {bill.placement:<9}"
        f"  {'yes' if bill.has_dictionary else '':<10}  {bill.packs_a_put:5}  {bill.pack_bytes:6,}"
        f"{''.join(millions)}  {bill.usd_per_billion_events:11,.2f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())

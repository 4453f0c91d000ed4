"""What a billion events cost in SQS, DynamoDB and S3, by events a pack and placement.

Packs go the whole way, in this process, over local engines; the client counts what AWS would bill,
and scaling/prices.yaml has the prices. Nothing here is a speed. Each event has an id of its client.

Traffic is either dense, as of 200,000 events a second: packs are sent by fours, claimed by
sixteens, and merged until there are 4 MiB; or thin, 100 events a second: packs are sent alone, and
merged as they come within the linger. The post-processor publishes every two seconds, or every
minute where the linger is longer than that. Machines, what is kept, and traffic between zones are
apart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from bench.dictionary import TAGS, dictionary_of, packs_of
from bench.local_engines import serving
from cli.lab.engines.start import VARIABLES
from eventstore import engines, settings
from eventstore.dictionaries import Dictionaries, Dictionary
from eventstore.ports import Enriched, Lease, Packed
from eventstore.postprocessing.postprocessor import Postprocessor
from eventstore.processing.enrich import Rules, enrich
from eventstore.processing.gathered import ENOUGH_BYTES
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
CLAIMED, SENT = 16, 4
PUBLISH_S, MINUTE_S = 2, 60
PUBLISHED_EVENTS = 200_000 * PUBLISH_S
PACKS_MIN, PUTS_MIN = 160, 2
LEASE_S = 600


@dataclass(frozen=True)
class Case:
    """linger_s: None: traffic is dense. has_dictionary: whether packs are compressed with one."""

    events_a_pack: int
    placement: str
    linger_s: float | None = None
    has_dictionary: bool = False

    @property
    def is_thin(self) -> bool:
        return self.linger_s is not None

    @property
    def traffic(self) -> str:
        return "dense" if self.linger_s is None else f"thin, linger {self.linger_s:g} s"

    @property
    def sent_together(self) -> int:
        return SENT if self.linger_s is None else 1

    @property
    def claimed_together(self) -> int:
        """A processor looks four times while it lingers, when little comes."""
        if self.linger_s is None:
            return CLAIMED
        return max(1, int(THIN_EVENTS_S * self.linger_s / self.events_a_pack / 4))

    def packs_a_put(self, pack_bytes: int) -> int:
        if self.linger_s is not None:
            return max(1, int(THIN_EVENTS_S * self.linger_s / self.events_a_pack))
        return CLAIMED if self.placement == "items" else -(-ENOUGH_BYTES // pack_bytes)


@dataclass(frozen=True)
class Bill:
    """amounts: of a billion events, as AWS bills them; usd: what each of them costs."""

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
    *(Case(10, way, linger_s) for way, linger_s in (("items", 0), ("auto", 2), ("auto", 30))),
    Case(10, "auto", 30, has_dictionary=True),
]
HEAD = (
    f"{'':58}a pack's   millions a billion events\n"
    "a pack  traffic           placement  dictionary  a put   bytes       SQS    writes     reads"
    "      PUTs      GETs  $ a billion"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.bill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m bench.bill --json",
    )
    parser.add_argument("--json", action="store_true", help="an object for each line")
    given = parser.parse_args()
    os.environ.update(VARIABLES)
    dictionary = dictionary_of(random.Random(5))  # noqa: S311 - load, no secret
    with serving() as ends:
        if not given.json:
            print(HEAD)
        for number, case in enumerate(CASES):
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
        store = opened.enter_context(closing(engines.open_store(options)))
        aggregates = engines.open_aggregates(options)
        rules, made = Rules.of(options), _packs(case, dictionary)
        known = Dictionaries(lambda _: dictionary.as_bytes())
        sample = next(made)
        pack_bytes = _bytes_of(enrich(sample.pack_id, sample.body, rules, None, known))
        packs_a_put = case.packs_a_put(pack_bytes)
        began, events = _consumed(), 0
        for _ in range(max(PUTS_MIN, PACKS_MIN // packs_a_put)):
            leases: list[Lease] = []
            for start in range(0, packs_a_put, case.claimed_together):
                coming = min(case.claimed_together, packs_a_put - start)
                for _ in range(0, coming, case.sent_together):
                    queue.put(list(islice(made, case.sent_together)))
                while len(leases) < start + coming:  # ends: the queue loses none
                    leases += queue.claim(CLAIMED, LEASE_S, wait_s=1)
            store.put([enrich(one.pack_id, one.body, rules, None, known) for one in leases])
            queue.ack(leases)
            events += case.events_a_pack * len(leases)
        stored = _consumed()
        Postprocessor(store, aggregates, options).step()
        published = _consumed()
    published_events = PUBLISHED_EVENTS
    if case.is_thin:
        published_events = max(
            packs_a_put * case.events_a_pack, int(THIN_EVENTS_S * options.publish_s)
        )
    # An item that is not there costs a read too, which DynamoDB Local does not say; each pack's is
    # looked for once.
    stored["ev_aws_dynamodb_read_units_total"] += events / case.events_a_pack
    published["ev_aws_dynamodb_read_units_total"] += events / case.events_a_pack
    amounts = {
        name: (stored[name] - began[name]) * BILLION / events
        + (published[name] - stored[name]) * BILLION / published_events
        for name in PRICED
    }
    usd = {name: prices.load().usd(price, amounts[name]) for name, price in PRICED.items()}
    return Bill(
        case.events_a_pack,
        case.traffic,
        case.placement,
        case.has_dictionary,
        packs_a_put,
        pack_bytes,
        amounts,
        usd,
        sum(usd.values()),
    )


def _settings(case: Case, name: str, ends: dict[str, str]) -> dict[str, Any]:
    urls: dict[str, Any] = {
        "queue": f"sqs://{name}{ends['sqs']}",
        "store": f"dynamodb://{name}{ends['dynamodb']}",
        "segments": f"s3://{name}/segments{ends['s3']}",
        "aggregates": f"s3://{name}/aggregates{ends['s3']}",
        "claims": f"s3://{name}/claims{ends['s3']}",
    }
    publish_s = PUBLISH_S if (case.linger_s or 0) < PUBLISH_S else MINUTE_S
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
    for pack_id, body in packs_of(chance, case.events_a_pack, used):
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
        f"{bill.events_a_pack:6}  {bill.traffic:<16}  {bill.placement:<9}"
        f"  {'yes' if bill.has_dictionary else '':<10}  {bill.packs_a_put:5}  {bill.pack_bytes:6,}"
        f"{''.join(millions)}  {bill.usd_per_billion_events:11,.2f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""What nodes have consumed of SQS, DynamoDB and S3, priced: pure, over the pages that generations
answer at /metrics. They count since they started; what an older one did in the time that is asked
for is taken as its average. Those that have ended have left what they had counted on their nodes,
for the others to tell; of one of which only a part is in that time, that part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cli.rollout.gates import parse
from scaling.prices import Prices

BILLION = 1e9
STARTED = "process_start_time_seconds"
EVENTS = "ev_events_acked_total"
# What is counted → what it costs.
PRICED = {
    "ev_aws_sqs_requests_total": ("SQS requests of up to 64 KB", "sqs_request"),
    "ev_aws_dynamodb_write_units_total": ("DynamoDB write units", "dynamodb_write_unit"),
    "ev_aws_dynamodb_read_units_total": ("DynamoDB read units", "dynamodb_read_unit"),
    "ev_aws_s3_puts_total": ("S3 PUT, LIST", "s3_put"),
    "ev_aws_s3_gets_total": ("S3 GET", "s3_get"),
}
# What is told beside it. Within a region bytes cost nothing, whichever zone they come from.
BYTES = {
    "ev_aws_sent_bytes_total": "bytes sent to AWS",
    "ev_aws_received_bytes_total": "bytes received from AWS",
}
TOLD = {"ev_aws_sqs_empty_receives_total": "of the SQS requests, empty receives", **BYTES}


ENDED = re.compile(
    r'ev_ended_total\{counter="([^"]*)",release="([^"]*)",since="([^"]*)",until="([^"]*)"\}'
)


@dataclass(frozen=True)
class Counted:
    """One generation's counters over the time that is asked for. age_s: since it started; ended_s:
    since it ended, None while it runs."""

    node: str
    release: str
    role: str
    age_s: float
    amounts: Mapping[str, float]
    ended_s: float | None = None


@dataclass(frozen=True)
class Line:
    """usd: None where it is told only."""

    what: str
    amount: float
    usd: float | None


@dataclass(frozen=True)
class Bill:
    """lines: of all roles together; by_role: US dollars. nat_usd: not in them: what it costs where
    a NAT gateway passes all that they send and receive."""

    last_s: float
    generations: tuple[Counted, ...]
    lines: tuple[Line, ...]
    by_role: Mapping[str, float]
    events: float
    nat_usd: float
    said: str

    @property
    def usd(self) -> float:
        return sum(line.usd or 0 for line in self.lines)

    @property
    def usd_per_billion_events(self) -> float | None:
        return self.usd / self.events * BILLION if self.events else None

    @property
    def averaged(self) -> int:
        """How many generations are older than the time that is asked for."""
        return sum(one.age_s > self.last_s for one in self.generations)

    @property
    def ended(self) -> int:
        """How many of them have ended meanwhile."""
        return sum(one.ended_s is not None for one in self.generations)

    def to_json(self) -> dict[str, Any]:
        return {
            "last_s": self.last_s,
            "usd": self.usd,
            "events": self.events,
            "nat_usd": self.nat_usd,
            "usd_per_billion_events": self.usd_per_billion_events,
            "lines": [
                {"what": one.what, "amount": one.amount, "usd": one.usd} for one in self.lines
            ],
            "usd_by_role": dict(self.by_role),
            "generations": [
                {
                    "node": one.node,
                    "release": one.release,
                    "role": one.role,
                    "age_s": one.age_s,
                    "ended_s": one.ended_s,
                }
                for one in self.generations
            ],
            "prices": self.said,
        }


def bill_of(
    pages: Mapping[str, Mapping[str, str]], now_s: float, last_s: float, prices: Prices
) -> Bill:
    """pages: node → release → its page of metrics."""
    counted: list[Counted] = []
    for node, by_release in sorted(pages.items()):
        ended: dict[tuple[str, str, str], Counted] = {}  # two that run tell of the same
        for release, page in sorted(by_release.items()):
            counted.append(_counted(node, release, page, now_s, last_s))
            ended |= _ended(node, page, now_s, last_s)
        counted += [one for one in ended.values() if (one.ended_s or 0) < last_s]
    return Bill(
        last_s,
        tuple(counted),
        tuple(_lines(counted, prices)),
        {
            role: sum(_usd(one, prices) for one in counted if one.role == role)
            for role in sorted({one.role for one in counted})
        },
        sum(one.amounts[EVENTS] for one in counted),
        prices.usd("nat_gb", sum(one.amounts[name] for one in counted for name in BYTES) / 1e9),
        prices.said,
    )


def _counted(node: str, release: str, page: str, now_s: float, last_s: float) -> Counted:
    series = parse(page)
    age_s = max(now_s - series.get(STARTED, now_s), 1.0)
    share = min(1.0, last_s / age_s)
    amounts = {
        name: share * sum(series[one] for one in series if fnmatchcase(one, f"{name}*"))
        for name in (*PRICED, *TOLD, EVENTS)
    }
    return Counted(node, release, _role(page), age_s, amounts)


def _ended(
    node: str, page: str, now_s: float, last_s: float
) -> Mapping[tuple[str, str, str], Counted]:
    """By release, start and end: what those that have ended on this node did in that time."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for series, amount in parse(page).items():
        if said := ENDED.fullmatch(series):
            name, *which = said.groups()
            found.setdefault((which[0], which[1], which[2]), {})[name] = amount
    counted = {}
    for (release, since, until), amounts in found.items():
        since_s, until_s = float(since), float(until)
        within_s = max(0.0, until_s - max(since_s, now_s - last_s))
        share = min(1.0, within_s / max(until_s - since_s, 0.001))
        counted[release, since, until] = Counted(
            node,
            release,
            _role(page),
            now_s - since_s,
            {name: share * amounts.get(name, 0) for name in (*PRICED, *TOLD, EVENTS)},
            now_s - until_s,
        )
    return counted


def _role(page: str) -> str:
    """As the generation's `ev_info` says it."""
    _, _, said = page.partition('ev_info{role="')
    return said.partition('"')[0] or "?"


def _usd(counted: Counted, prices: Prices) -> float:
    return sum(prices.usd(price, counted.amounts[name]) for name, (_, price) in PRICED.items())


def _lines(counted: list[Counted], prices: Prices) -> Iterator[Line]:
    def total(name: str) -> float:
        return sum(one.amounts[name] for one in counted)

    for name, (what, price) in PRICED.items():
        yield Line(what, total(name), prices.usd(price, total(name)))
    for name, what in TOLD.items():
        yield Line(what, total(name), None)

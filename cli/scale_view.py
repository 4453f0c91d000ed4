"""Capacity and simulations, as text."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaling.capacity import Capacity
from scaling.consumption import SHARDS
from scaling.decide import COMFORTABLE
from scaling.machines import ZONES
from scaling.prices import HOURS_A_MONTH, Prices
from scaling.simulate import ROLES, Tick

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 60
LABEL = 14
HOUR_S = 3600


def capacity_lines(found: Capacity, prices: Prices) -> Iterator[str]:
    used, nodes = found.consumption, ", ".join(f"{n} {role}" for role, n in found.nodes.items())
    packed = f"{found.pack_events:,.0f} a pack, which is {used.pack_bytes:,.0f} bytes"
    yield f"{found.rate:,.0f} events/s, {packed}"
    yield f"  nodes      {nodes}, each a {found.instance}"
    requests = f"{used.sqs_requests:,.0f} requests/s of up to 64 KB"
    yield f"  SQS        {_count(found.queues, 'queue')}, {requests}"
    where = "in segments, index items here" if used.segments else "items here"
    units = f"{used.writes:,.0f} write and {used.reads:,.0f} read units/s"
    shards = f"packs are {where} and fill {found.shards} of {SHARDS} shards"
    yield f"  DynamoDB   {units}; {shards}"
    yield f"  S3         {used.puts:,.2f} PUTs/s, {used.gets:,.2f} GETs/s"
    yield ""
    yield f"{'':{LABEL}}{'$ an hour':>12}{'$ a billion':>14}"
    for name, usd in (*found.costs.items(), ("all", found.usd_per_hour)):
        yield f"  {name:{LABEL - 2}}{usd:12,.2f}{found.per_billion(usd):14,.2f}"
    yield "  " + _stored(found, prices)
    ready = found.provisioned_usd_per_hour(prices)
    each = f"${ready:,.2f} an hour, ${found.per_billion(ready):,.2f} a billion"
    yield f"  DynamoDB provisioned instead, {COMFORTABLE:.0%} used all the time: {each}"
    zones = found.zones_usd_per_hour
    most = f"at most ${zones:,.2f} an hour, ${found.per_billion(zones):,.2f} a billion"
    yield f"  between zones: {most}, by a load balancer over {ZONES} that is billed for it"
    yield ""
    yield f"{'what is bounded':50}{'used':>12}{'limit':>12}"
    for one in found.limits:
        yield f"  {one.name:48}{one.used:12,.0f}{one.limit:12,.0f}{one.share:8.1%}"
    first = found.first
    verdict = "does not pass" if first.share > 1 else f"at {found.rate / first.share:,.0f} events/s"
    yield f"first to bind: {first.name}, {verdict}"
    yield f"measured by: {found.measured_by}"
    yield f"prices: {prices.said}"


def _stored(found: Capacity, prices: Prices) -> str:
    used = found.consumption
    gb = used.packs_per_s * used.pack_bytes * HOUR_S * HOURS_A_MONTH / 1e9
    price = "s3_gb_month" if used.segments else "dynamodb_gb_month"
    return f"kept beside that: {gb:,.0f} GB more each month, ${prices.usd(price, gb):,.0f} a month"


def _count(count: int, of: str) -> str:
    return f"{count} {of}{'s' * (count != 1)}"


def simulation_lines(ticks: Sequence[Tick], tick_s: float) -> Iterator[str]:
    cost = sum(tick.usd_per_hour for tick in ticks) * tick_s / HOUR_S
    stored = sum(tick.stored for tick in ticks) * tick_s
    strips: list[tuple[str, list[float], str]] = [
        ("events/s", [tick.offered for tick in ticks], ""),
        ("refused", [tick.refused for tick in ticks], " events, sent again"),
        ("backlog", [tick.backlog for tick in ticks], " events"),
        ("oldest", [tick.oldest_s for tick in ticks], " s"),
        *((role, [float(tick.nodes[role]) for tick in ticks], " nodes") for role in ROLES),
        ("$ an hour", [tick.usd_per_hour for tick in ticks], ""),
    ]
    for name, values, unit in strips:
        most = f"{max(values):,.2f}".rstrip("0").rstrip(".")
        yield f"{name:{LABEL}}{strip(values)} at most {most}{unit}"
    yield f"{'':{LABEL}}0{_clock(len(ticks) * tick_s):>{max(min(WIDTH, len(ticks)) - 1, 0)}}"
    yield ""
    yield from _told(ticks)
    a_billion = f", ${cost / stored * 1e9:,.2f} a billion" if stored else ""
    yield f"{stored:,.0f} events stored, ${cost:,.2f} in all{a_billion}"


def strip(values: Sequence[float]) -> str:
    """A row of blocks, each the most of its share of the time."""
    most = max(values)
    if not most:
        return " " * min(WIDTH, len(values))
    width = min(WIDTH, len(values))
    shares = [
        max(values[len(values) * at // width : len(values) * (at + 1) // width])
        for at in range(width)
    ]
    return "".join(BLOCKS[math.ceil(one * (len(BLOCKS) - 1) / most)] for one in shares)


def changes(ticks: Sequence[Tick]) -> Iterator[tuple[Tick, str, int, int]]:
    """Each decision that changed something: tick, role, from, to."""
    was = {role: ticks[0].nodes[role] for role in ROLES}
    for tick in ticks:
        for role in ROLES:
            if tick.desired[role] != was[role]:
                yield tick, role, was[role], tick.desired[role]
                was[role] = tick.desired[role]


def _told(ticks: Sequence[Tick]) -> Iterator[str]:
    for tick, role, before, after in changes(ticks):
        yield f"{_clock(tick.at_s)}  {role} {before} → {after}: {tick.reasons[role]}"
    held = ""
    for tick in ticks:
        if tick.limited not in ("", "cores", held):
            yield f"{_clock(tick.at_s)}  held up: {tick.limited}"
        held = tick.limited


def _clock(at_s: float) -> str:
    return f"{int(at_s) // HOUR_S:d}:{int(at_s) % HOUR_S // 60:02d}:{int(at_s) % 60:02d}"


def decision_lines(
    node: str, at: float, roles: Mapping[str, Mapping[str, Any]], made: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Each role's number and why, then what changed, the newest last."""
    yield f"{node} decides; last at {_time(at)}"
    for role, one in roles.items():
        yield f"  {role:16}{one['desired']:3}  {one['why']}"
    for change in made:
        number = f"{change['from']} → {change['to']}"
        yield f"{_time(change['at'])}  {change['role']} {number}: {change['why']}"


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))

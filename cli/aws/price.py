"""What an environment costs a month, by its file: what is paid for whether events come or not, and,
where the file says how many are expected, what they consume, as `evctl scale capacity` has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cli.aws import alarms
from cli.aws.environment import Environment, Expects
from scaling import figures
from scaling.capacity import capacity
from scaling.machines import DISK_GB, ZONES, disk_usd_per_hour, zones_usd_per_hour
from scaling.prices import HOURS_A_MONTH, Prices


@dataclass(frozen=True)
class Line:
    """what: in words. least, most: US dollars a month; of nodes by min and max of their groups."""

    what: str
    least: float
    most: float


@dataclass(frozen=True)
class Price:
    """not_counted: in words. said: where and when the prices are from."""

    lines: tuple[Line, ...]
    not_counted: tuple[str, ...]
    said: str

    @property
    def least(self) -> float:
        return sum(line.least for line in self.lines)

    @property
    def most(self) -> float:
        return sum(line.most for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "usd_per_month": {"least": round(self.least, 2), "most": round(self.most, 2)},
            "lines": [
                {"what": one.what, "least": round(one.least, 2), "most": round(one.most, 2)}
                for one in self.lines
            ],
            "not_counted": list(self.not_counted),
            "prices": self.said,
        }


def price_of(env: Environment, prices: Prices) -> Price:
    """Of the whole environment, whether it is there already or not."""
    unknown = sorted(
        {one.instance for one in env.groups.values() if one.instance not in prices.instances}
    )
    not_counted = ["what is kept"]
    if env.expects is None:
        not_counted.append("what is paid by use: say in the file what it `expects`")
    not_counted += [f"nodes of the type {one}: not in scaling/prices.yaml" for one in unknown]
    if any(table.warm for table in env.tables.values()):
        not_counted.append("warming a table, which is paid once")
    if env.groups:
        not_counted.append("load balancers, NAT gateways, and endpoints in the network")
    return Price(tuple(_lines(env, prices)), tuple(not_counted), prices.said)


def _lines(env: Environment, prices: Prices) -> Iterator[Line]:
    for role, group in env.groups.items():
        if instance := prices.instances.get(group.instance):
            each = instance.usd_per_hour * HOURS_A_MONTH
            yield Line(
                f"{group.min} to {group.max} {role} ({group.instance})",
                group.min * each,
                group.max * each,
            )
    if env.groups:
        groups, each = env.groups.values(), disk_usd_per_hour(prices) * HOURS_A_MONTH
        least, most = sum(one.min for one in groups), sum(one.max for one in groups)
        yield Line(f"their disks, {DISK_GB} GB each (calculated)", least * each, most * each)
    for name, table in env.tables.items():
        if units := table.provisioned:
            hours = prices.usd("dynamodb_wcu_hour", units.writes * HOURS_A_MONTH)
            hours += prices.usd("dynamodb_rcu_hour", units.reads * HOURS_A_MONTH)
            yield Line(f"table {name}, provisioned", hours, hours)
    if env.expects:
        provisioned = any(table.provisioned for table in env.tables.values())
        for line in _by_use(env.expects, prices):
            if not (provisioned and line.what.startswith("DynamoDB")):  # its units are above
                yield line
    if env.expects and env.groups:
        usd = zones_usd_per_hour(env.expects.events_per_s, env.expects.event_bytes, prices)
        what = f"between {ZONES} zones, if a load balancer is billed for it (calculated)"
        yield Line(what, 0, usd * HOURS_A_MONTH)
    if made := len(alarms.wanted(env)):
        usd = prices.usd("cloudwatch_alarm_month", made)
        yield Line(f"{made} alarms", usd, usd)


def _by_use(expects: Expects, prices: Prices) -> Iterator[Line]:
    """SQS, DynamoDB on demand, S3; the nodes are those of the file."""
    rate, size = expects.events_per_s, expects.event_bytes
    instance = next(iter(prices.instances))  # only for the nodes that the model takes for itself
    used = capacity(rate, size, figures.load(), prices, instance=instance).consumption
    for service, usd_per_hour in used.usd_per_hour(prices).items():
        usd = usd_per_hour * HOURS_A_MONTH
        yield Line(f"{service}, for {rate:,} events/s of {size:,} bytes", usd, usd)

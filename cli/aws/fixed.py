"""What an environment costs beside what its roles count, as the account says it: the hours of its
groups' machines and of their disks, and what its tables and buckets keep, by the month.

EC2 tells of a machine for about an hour after its end, of its disk no longer; of a table DynamoDB
counts the bytes every six hours; a bucket is listed, which costs half a cent for a million objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from cli.aws.account import Account, from_pairs
from cli.aws.environment import Environment
from cli.aws.groups import ROLE_TAG
from scaling.prices import HOURS_A_MONTH, Prices

HOUR_S = 3600.0
GB = 1e9
OBJECTS_MAX = 5_000_000
ASKED_MAX = 200  # values of a filter
ENDED = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")
RUNNING = {"pending", "running", "shutting-down", "stopping"}


@dataclass(frozen=True)
class Machines:
    """Of one role and type, over the time that is asked for. usd: None: its price isn't known."""

    role: str
    instance: str
    machines: int
    hours: float
    usd: float | None


@dataclass(frozen=True)
class Disks:
    """Of one kind, over that time; gb: of all of them. usd: None: its price isn't known."""

    kind: str
    disks: int
    gb: int
    usd: float | None


@dataclass(frozen=True)
class Kept:
    """at_least: there is more, which was not counted."""

    what: str
    bytes: int
    usd_per_month: float
    at_least: bool = False


def machines(
    account: Account, env: Environment, prices: Prices, now_s: float, last_s: float
) -> tuple[list[Machines], list[Disks]]:
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in env.tags.items()]
    found = account.all("ec2", "describe_instances", "Reservations", Filters=filters)
    instances = [one for reservation in found for one in reservation["Instances"]]
    volumes: list[Mapping[str, Any]] = []
    ids = [one["InstanceId"] for one in instances]
    for start in range(0, len(ids), ASKED_MAX):
        asked = {"Name": "attachment.instance-id", "Values": ids[start : start + ASKED_MAX]}
        volumes += account.all("ec2", "describe_volumes", "Volumes", Filters=[asked])
    hours = sorted(hours_of(instances, prices, now_s, last_s), key=lambda one: one.role)
    return hours, list(disks_of(volumes, prices, now_s, last_s))


def hours_of(
    instances: Iterable[Mapping[str, Any]], prices: Prices, now_s: float, last_s: float
) -> Iterator[Machines]:
    """Of instances as EC2 describes them. One of which it isn't said when it ended counts none."""
    times: dict[tuple[str, str], list[float]] = {}
    for one in instances:
        role = from_pairs(one.get("Tags", [])).get(ROLE_TAG)
        began_s, ended_s = one["LaunchTime"].timestamp(), _ended_s(one, now_s)
        seconds = ended_s - max(began_s, now_s - last_s)
        if role is not None and seconds > 0:
            times.setdefault((role, one["InstanceType"]), []).append(seconds)
    for (role, kind), some in times.items():
        hours = sum(some) / HOUR_S
        price = prices.instances.get(kind)
        usd = None if price is None else price.usd_per_hour * hours
        yield Machines(role, kind, len(some), hours, usd)


def disks_of(
    volumes: Iterable[Mapping[str, Any]], prices: Prices, now_s: float, last_s: float
) -> Iterator[Disks]:
    """Of volumes as EC2 describes them. What is provisioned beside their size is not counted."""
    by_kind: dict[str, list[tuple[int, float]]] = {}
    for one in volumes:
        seconds = now_s - max(one["CreateTime"].timestamp(), now_s - last_s)
        by_kind.setdefault(one["VolumeType"], []).append((int(one["Size"]), seconds))
    for kind, some in sorted(by_kind.items()):
        months = sum(gb * seconds for gb, seconds in some) / HOUR_S / HOURS_A_MONTH
        name = f"ebs_{kind}_gb_month"
        usd = prices.usd(name, months) if name in prices.prices else None
        yield Disks(kind, len(some), sum(gb for gb, _ in some), usd)


def kept(account: Account, env: Environment, prices: Prices) -> Iterator[Kept]:
    """Of each table and bucket of the file. Raises what Account.call raises; Absent too."""
    for name in env.tables:
        table = account.call("dynamodb", "describe_table", TableName=f"{env.prefix}{name}")["Table"]
        size = int(table.get("TableSizeBytes", 0))
        usd = prices.usd("dynamodb_gb_month", size / GB)
        yield Kept(f"table {name}", size, usd)
    for name in env.buckets:
        sizes = (
            int(one["Size"])
            for one in account.each(
                "s3", "list_objects_v2", "Contents", Bucket=f"{env.prefix}{name}"
            )
        )
        counted = list(islice(sizes, OBJECTS_MAX + 1))
        size = sum(counted)
        usd = prices.usd("s3_gb_month", size / GB)
        yield Kept(f"bucket {name}", size, usd, len(counted) > OBJECTS_MAX)


def _ended_s(instance: Mapping[str, Any], now_s: float) -> float:
    if instance["State"]["Name"] in RUNNING:
        return now_s
    said = ENDED.search(instance.get("StateTransitionReason", ""))
    if said is None:
        return 0.0
    return datetime.strptime(said[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()

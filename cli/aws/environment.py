"""What an environment is made of, as its file says it: environment_file.py reads that.

Everything is called <app>-<env>-<name> in AWS, so that two environments share an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any


def _number(low: int, high: int, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"bounds": (low, high)})


@dataclass(frozen=True)
class Queue:
    """It has a dead-letter queue <name>-dead, to which goes what was received so often."""

    receives_max: int = _number(1, 1000, 20)
    kept_days: int = _number(1, 14, 14)


@dataclass(frozen=True)
class Units:
    """Read and write units a second."""

    reads: int = _number(1, 1_000_000)
    writes: int = _number(1, 1_000_000)


@dataclass(frozen=True)
class Table:
    """key: name → S, N or B; the first is the partition's, the second orders it. ttl: the
    attribute with the Unix second in which an item goes. On demand, if wanted already warm for so
    many units; or provisioned."""

    key: Mapping[str, str] = field(default_factory=lambda: {"pk": "S", "sk": "S"})
    ttl: str | None = None
    warm: Units | None = None
    provisioned: Units | None = None


@dataclass(frozen=True)
class Bucket:
    """expires: prefix → after how many days its objects go."""

    expires: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """The nodes of one role: a launch template and an auto scaling group. instance_profile: its
    name; whoever may makes it, with the role's policy. drain_s: what a node has before it goes.
    install: shell commands for an image that has no Salt in /opt/salt yet."""

    image: str
    instance: str
    instance_profile: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    min: int = _number(0, 10_000)
    max: int = _number(0, 10_000)
    drain_s: int = _number(30, 7200, 300)
    install: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alarms:
    """For every queue and table. notify: ARNs of SNS topics that hear of them."""

    queue_age_s: int = _number(1, 1_209_600, 300)
    notify: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expects:
    """The event store's traffic by which a plan works out what is paid by use."""

    events_per_s: int = _number(1, 10_000_000)
    event_bytes: int = _number(1, 1_000_000)


@dataclass(frozen=True)
class Environment:
    """One environment. account: the only one in which it may be made. master: the Salt master's
    address, as the nodes of `groups` reach it; groups: by role. roles: IAM's, each by the file of
    its policy."""

    app: str
    env: str
    region: str
    account: str | None = None
    master: str | None = None
    queues: Mapping[str, Queue] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    alarms: Alarms | None = None
    expects: Expects | None = None

    @property
    def prefix(self) -> str:
        return f"{self.app}-{self.env}-"

    @property
    def urls(self) -> list[str]:
        """What an app's settings call its queues, tables and buckets."""
        kinds = {"sqs": self.queues, "dynamodb": self.tables, "s3": self.buckets}
        return [
            f"{scheme}://{self.prefix}{name}?region={self.region}"
            for scheme, names in kinds.items()
            for name in names
        ]

    @property
    def tags(self) -> dict[str, str]:
        """What all that is made for it bears."""
        return {"evctl-app": self.app, "evctl-env": self.env}

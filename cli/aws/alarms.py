"""CloudWatch alarms: a queue's age, dead letters, throttled reads and writes of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.aws.account import Account, as_pairs, from_pairs
from cli.aws.change import Present, Properties, Resource
from cli.aws.environment import Environment

KIND = "alarm"
PERIOD_S = 60
AGE, DEAD = "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"
THROTTLES = {"reads": "ReadThrottleEvents", "writes": "WriteThrottleEvents"}


def wanted(env: Environment) -> list[Resource]:
    """An age, and throttling, that pass by themselves are no reason to wake anybody."""
    if env.alarms is None:
        return []
    age = {"metric": f"AWS/SQS {AGE}", "statistic": "Maximum", "above": env.alarms.queue_age_s}
    dead = {"metric": f"AWS/SQS {DEAD}", "statistic": "Maximum", "above": 0}
    found = []
    for name in env.queues:
        found.append((f"{name}-age", {"of": name, **age, "minutes": 3}))
        found.append((f"{name}-dead", {"of": f"{name}-dead", **dead, "minutes": 1}))
    for name in env.tables:
        for what, metric in THROTTLES.items():
            throttled = {"metric": f"AWS/DynamoDB {metric}", "statistic": "Sum", "above": 0}
            found.append((f"{name}-{what}", {"of": name, **throttled, "minutes": 5}))
    notify = sorted(env.alarms.notify)
    return [
        Resource(
            KIND,
            f"{env.prefix}{name}",
            {**properties, "of": f"{env.prefix}{properties['of']}", "notify": notify},
        )
        for name, properties in found
    ]


class Alarms:
    """Implements kind.Kind."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def names(self, prefix: str) -> list[str]:
        found = self._account.all(
            "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix
        )
        return [one["AlarmName"] for one in found]

    def look(self, name: str) -> Present | None:
        found = self._call("describe_alarms", AlarmNames=[name])["MetricAlarms"]
        if not found:
            return None
        (alarm,) = found
        tags = self._call("list_tags_for_resource", ResourceARN=alarm["AlarmArn"])["Tags"]
        return Present(self._tags.items() <= from_pairs(tags).items(), _read(alarm))

    def create(self, wanted: Resource) -> None:
        self._call("put_metric_alarm", **_setting(wanted), Tags=as_pairs(self._tags))

    def change(self, wanted: Resource, differs: Properties) -> None:  # noqa: ARG002 -- all at once
        self._call("put_metric_alarm", **_setting(wanted))

    def holds(self, name: str) -> str:  # noqa: ARG002 -- nothing
        return ""

    def delete(self, name: str) -> None:
        self._call("delete_alarms", AlarmNames=[name])

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("cloudwatch", operation, **arguments)


def _setting(wanted: Resource) -> dict[str, Any]:
    properties = wanted.properties
    namespace, metric = properties["metric"].split()
    dimension = "QueueName" if namespace == "AWS/SQS" else "TableName"
    return {
        "AlarmName": wanted.name,
        "Namespace": namespace,
        "MetricName": metric,
        "Dimensions": [{"Name": dimension, "Value": properties["of"]}],
        "Statistic": properties["statistic"],
        "Period": PERIOD_S,
        "EvaluationPeriods": properties["minutes"],
        "Threshold": properties["above"],
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": properties["notify"],
        "OKActions": properties["notify"],
    }


def _read(alarm: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "of": next((one["Value"] for one in alarm["Dimensions"]), None),
        "metric": f"{alarm['Namespace']} {alarm['MetricName']}",
        "statistic": alarm["Statistic"],
        "above": alarm["Threshold"],
        "minutes": alarm["EvaluationPeriods"] * alarm["Period"] // PERIOD_S,
        "notify": sorted(alarm["AlarmActions"]),
    }

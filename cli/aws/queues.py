"""SQS queues. Each has a dead-letter queue, which is one of them, and comes before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cli.aws.account import Absent, Account
from cli.aws.change import Present, Properties, Resource
from cli.aws.environment import Environment
from cli.aws.waiting import until

KIND = "queue"
DAY_S = 86_400
COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


def wanted(env: Environment) -> list[Resource]:
    """The dead-letter queues keep as long as SQS can: someone has to look at what is there."""
    found = []
    for name, queue in env.queues.items():
        full = f"{env.prefix}{name}"
        found += [
            Resource(KIND, f"{full}-dead", {"kept_days": 14}),
            Resource(
                KIND,
                full,
                {
                    "kept_days": queue.kept_days,
                    "dead_letters": f"{full}-dead",
                    "receives_max": queue.receives_max,
                },
            ),
        ]
    return found


class Queues:
    """Implements kind.Kind."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def names(self, prefix: str) -> list[str]:
        urls = self._account.all("sqs", "list_queues", "QueueUrls", QueueNamePrefix=prefix)
        return [url.rpartition("/")[2] for url in urls]

    def look(self, name: str) -> Present | None:
        try:
            url = self._url(name)
            tags = self._call("list_queue_tags", QueueUrl=url).get("Tags", {})
            attributes = self._attributes(url, "All")
        except Absent:
            return None
        properties: dict[str, Any] = {"dead_letters": None, "receives_max": None}
        if "MessageRetentionPeriod" in attributes:
            properties["kept_days"] = int(attributes["MessageRetentionPeriod"]) // DAY_S
        if "RedrivePolicy" in attributes:
            policy = json.loads(attributes["RedrivePolicy"])
            properties["dead_letters"] = policy["deadLetterTargetArn"].rpartition(":")[2]
            properties["receives_max"] = int(policy["maxReceiveCount"])
        return Present(self._tags.items() <= tags.items(), properties)

    def create(self, wanted: Resource) -> None:
        self._call(
            "create_queue",
            QueueName=wanted.name,
            Attributes=self._as_attributes(wanted.properties),
            tags=self._tags,
        )
        until(lambda: bool(self._url(wanted.name)), f"queue {wanted.name}")

    def change(self, wanted: Resource, differs: Properties) -> None:  # noqa: ARG002 -- all at once
        self._call(
            "set_queue_attributes",
            QueueUrl=self._url(wanted.name),
            Attributes=self._as_attributes(wanted.properties),
        )

    def holds(self, name: str) -> str:
        counts = self._attributes(self._url(name), *COUNTS)
        waiting = sum(int(counts[one]) for one in COUNTS)
        return f"{waiting} messages" if waiting else ""

    def delete(self, name: str) -> None:
        self._call("delete_queue", QueueUrl=self._url(name))

    def _as_attributes(self, properties: Properties) -> dict[str, str]:
        attributes = {"MessageRetentionPeriod": str(properties["kept_days"] * DAY_S)}
        if "dead_letters" in properties:
            dead = self._attributes(self._url(properties["dead_letters"]), "QueueArn")
            redrive = {
                "deadLetterTargetArn": dead["QueueArn"],
                "maxReceiveCount": properties["receives_max"],
            }
            attributes["RedrivePolicy"] = json.dumps(redrive)
        return attributes

    def _attributes(self, url: str, *names: str) -> dict[str, str]:
        answer = self._call("get_queue_attributes", QueueUrl=url, AttributeNames=list(names))
        found: dict[str, str] = answer.get("Attributes", {})
        return found

    def _url(self, name: str) -> str:
        return str(self._call("get_queue_url", QueueName=name)["QueueUrl"])

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("sqs", operation, **arguments)

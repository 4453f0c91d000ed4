"""What goes wrong between a client and an engine, by a seed: see proxy.py for who does it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

# An error without and with the work done, a connection cut before and after it, a batch of which
# half is done, a message that is sent twice or delivered late, an answer for which nobody waits so
# long.
KINDS = (
    "error",
    "error after",
    "throttled",
    "cut",
    "cut after",
    "partial",
    "twice",
    "late",
    "silent",
)
LATE_S = 3
SILENT = {"sqs:SendMessage", "dynamodb:PutItem"}  # each costs as long as a client waits
BATCHES = {
    "sqs:SendMessage": "Entries",
    "sqs:DeleteMessage": "Entries",
    "sqs:ChangeMessageVisibility": "Entries",
    "dynamodb:BatchWriteItem": "UnprocessedItems",
    "dynamodb:BatchGetItem": "UnprocessedKeys",
}
THROTTLING = {
    "sqs": "RequestThrottled",
    "dynamodb": "ProvisionedThroughputExceededException",
    "s3": "SlowDown",
}


@dataclass
class Faults:
    """The n-th request of an action fares the same whenever the seed is the same."""

    seed: int
    rate: float
    kinds: tuple[str, ...] = KINDS
    happened: Counter[str] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter)
    _faulty: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, action: str) -> str:
        """ "" when all goes well."""
        with self._lock:
            self._asked[action] += 1
            chance = Random(f"{self.seed} {action} {self._asked[action]}")
            if chance.random() >= self.rate:
                return ""
            possible = [
                one
                for one in self.kinds
                if (one != "partial" or action in BATCHES)
                and (one not in ("twice", "late") or action == "sqs:SendMessage")
                and (one != "silent" or action in SILENT)
            ]
            if not possible:
                return ""
            # One after the other, from any: a few requests are enough for all.
            first = Random(f"{self.seed} {action}").randrange(len(possible))
            kind = possible[(first + self._faulty[action]) % len(possible)]
            self._faulty[action] += 1
            self.happened[kind] += 1
            return kind


def error(action: str, kind: str) -> tuple[int, str, bytes]:
    """Status, content type and body."""
    service = action.partition(":")[0]
    code = THROTTLING[service] if kind == "throttled" else "InternalError"
    if service == "s3":
        return 503, "application/xml", f"<Error><Code>{code}</Code></Error>".encode()
    status = 400 if kind == "throttled" else 500
    return status, "application/x-amz-json-1.0", json.dumps({"__type": code}).encode()


def late(body: bytes) -> bytes:
    """The same messages, which SQS is to keep to itself for a while."""
    request = json.loads(body)
    for message in request.get("Entries", [request]):
        message["DelaySeconds"] = LATE_S
    return json.dumps(request).encode()


def halved(action: str, body: bytes) -> tuple[bytes, Any]:
    """A batch's first half, as a request; what is left of it."""
    request = json.loads(body)
    if action.startswith("sqs:"):
        entries = request["Entries"]
        request["Entries"], left = entries[: len(entries) // 2], entries[len(entries) // 2 :]
        return json.dumps(request).encode(), left
    ((table, asked),) = request["RequestItems"].items()
    some = asked["Keys"] if isinstance(asked, dict) else asked
    now, later = some[: (len(some) + 1) // 2], some[(len(some) + 1) // 2 :]
    if isinstance(asked, dict):
        request["RequestItems"] = {table: {**asked, "Keys": now}}
        return json.dumps(request).encode(), {table: {**asked, "Keys": later}} if later else {}
    request["RequestItems"] = {table: now}
    return json.dumps(request).encode(), {table: later} if later else {}


def with_left(action: str, answer: bytes, left: Any) -> bytes:
    """The answer to the first half, with what was left in it."""
    said = json.loads(answer)
    if action.startswith("sqs:"):
        failed = [{"Id": one["Id"], "Code": "InternalError", "SenderFault": False} for one in left]
        said["Failed"] = [*said.get("Failed", []), *failed]
        said.setdefault("Successful", [])
    else:
        said[BATCHES[action]] = left
    return json.dumps(said).encode()

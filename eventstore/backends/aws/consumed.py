"""What calls have consumed, in the units that AWS bills: counted by the client, for /metrics.

SQS bills each request by 64 KB of what it carries; the engine doesn't say it, so that is counted
here. DynamoDB says its units itself, but for a write whose condition was not met, which costs like
one that was made; and what is not there costs a unit to be looked for, which DynamoDB Local leaves
out. S3 bills requests, whatever they carry, deletes excepted.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from eventstore.metrics import Counter

CHUNK_BYTES = 64 << 10
WRITE_BYTES = 1024
READS = {"batch_get_item", "get_item", "query", "scan"}
WRITES = {"batch_write_item", "delete_item", "put_item", "update_item"}
GETS = {"get_object", "head_object"}
FREE = {"abort_multipart_upload", "delete_object", "delete_objects"}

Amounts = Iterator[tuple[str, float]]  # counter, amount
SENT, RECEIVED = "ev_aws_sent_bytes_total", "ev_aws_received_bytes_total"
HELP = {
    "ev_aws_sqs_requests_total": "Requests to SQS, as it bills them: one for every 64 KB.",
    "ev_aws_sqs_empty_receives_total": "Receives that brought nothing.",
    "ev_aws_dynamodb_write_units_total": "Write units of DynamoDB.",
    "ev_aws_dynamodb_read_units_total": "Read units of DynamoDB.",
    "ev_aws_s3_puts_total": "Requests to S3 at the price of PUT: LIST and parts too.",
    "ev_aws_s3_gets_total": "Requests to S3 at the price of GET.",
    SENT: "Bytes of bodies sent to AWS.",
    RECEIVED: "Bytes of bodies received from AWS.",
}


class Meter:
    """All calls of this process, by operation; their bytes by service. Any thread notes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters = {
            name: Counter(name, said, "service" if "_bytes_" in name else "operation")
            for name, said in HELP.items()
        }
        self._used = False

    def counters(self) -> list[Counter]:
        """None until the first call: a process may have other engines."""
        return list(self._counters.values()) if self._used else []

    def note(
        self, service: str, operation: str, arguments: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> None:
        """A call that was answered."""
        self._add(operation, _billed(service, operation, arguments, answer))
        said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("content-length")
        self._add(service, [(RECEIVED, int(said or 0))])

    def note_unmet(self, service: str, operation: str, arguments: Mapping[str, Any]) -> None:
        """A call that was refused for what is there: it is billed all the same."""
        if operation in WRITES:
            units = -(-item_bytes(arguments.get("Item", {})) // WRITE_BYTES)
            self._add(operation, [("ev_aws_dynamodb_write_units_total", max(1, units))])
        else:
            self._add(operation, _billed(service, operation, arguments, {}))

    def sent(self, service: str, body_bytes: int) -> None:
        """One try of a call, whatever becomes of it."""
        self._add(service, [(SENT, body_bytes)])

    def _add(self, label: str, amounts: Iterable[tuple[str, float]]) -> None:
        with self._lock:
            self._used = True
            for name, amount in amounts:
                self._counters[name].add(amount, label)


METER: Final = Meter()


def with_units(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with which DynamoDB says what a call has consumed."""
    return (
        {**arguments, "ReturnConsumedCapacity": "TOTAL"}
        if operation in READS | WRITES
        else arguments
    )


def _billed(
    service: str, operation: str, arguments: Mapping[str, Any], answer: Mapping[str, Any]
) -> Amounts:
    if service == "sqs":
        received = answer.get("Messages", ())
        carried = sum(map(message_bytes, (*arguments.get("Entries", ()), *received)))
        yield "ev_aws_sqs_requests_total", max(1, -(-carried // CHUNK_BYTES))
        if operation == "receive_message" and not received:
            yield "ev_aws_sqs_empty_receives_total", 1
    elif service == "s3":
        if operation not in FREE:
            yield f"ev_aws_s3_{'gets' if operation in GETS else 'puts'}_total", 1
    elif operation in READS | WRITES:
        kind = "read" if operation in READS else "write"
        consumed = answer.get("ConsumedCapacity", ())
        tables = [consumed] if isinstance(consumed, Mapping) else consumed
        units = sum(one["CapacityUnits"] for one in tables)
        least = _looks(operation, arguments) if kind == "read" else 0
        yield f"ev_aws_dynamodb_{kind}_units_total", max(units, least)


def _looks(operation: str, arguments: Mapping[str, Any]) -> int:
    """How many reads a call is: each costs a unit at least, as all of ours are consistent."""
    if operation != "batch_get_item":
        return 1
    return sum(len(one["Keys"]) for one in arguments.get("RequestItems", {}).values())


def message_bytes(message: Mapping[str, Any]) -> int:
    """Of a message of SQS, as it is sent or received: its body and attributes."""
    body = message.get("MessageBody") or message.get("Body") or ""
    attributes = message.get("MessageAttributes", {})
    return len(body.encode()) + sum(
        len(name)
        + len(one["DataType"])
        + len(one.get("BinaryValue") or one.get("StringValue") or "")
        for name, one in attributes.items()
    )


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Of an item of DynamoDB: names and values. A number has a byte for two digits, and one."""
    return sum(len(name) + _value_bytes(*next(iter(one.items()))) for name, one in item.items())


def _value_bytes(kind: str, value: Any) -> int:
    if kind == "N":
        return len(value) // 2 + 1
    return len(value.encode() if isinstance(value, str) else value)

"""A stub of SQS and DynamoDB: `python -m bench.aws_stub`. It answers each request at once with
success, so that what a role costs can be measured; it stores nothing but messages, in memory.

Messages that were sent are received once, as they were sent. GET says how many wait. What it can
do says nothing about AWS, nor about any engine.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from typing import Any, cast

import orjson
import uvloop

NAME = "bench"
COUNTS = ("", "NotVisible", "Delayed")
KEYS = {"pk": "HASH", "sk": "RANGE"}
TABLE = {
    "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in KEYS.items()],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in KEYS],
}
ATTRIBUTES = {f"ApproximateNumberOfMessages{name}": "0" for name in COUNTS}
# Operation → what it always answers.
FIXED: dict[str, dict[str, Any]] = {
    "GetQueueUrl": {"QueueUrl": f"http://stub/{NAME}"},
    "GetQueueAttributes": {"Attributes": {**ATTRIBUTES, "RedrivePolicy": "{}"}},
    "DescribeTable": {"Table": TABLE},
    "BatchGetItem": {"Responses": {NAME: []}, "UnprocessedKeys": {}},
    "BatchWriteItem": {"UnprocessedItems": {}},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "GetItem": {},
    "PutItem": {},
    "DeleteItem": {},
}


class Stub:
    def __init__(self) -> None:
        self.waiting: deque[dict[str, Any]] = deque()
        self._counters: Counter[str] = Counter()

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Raises KeyError for an operation that it doesn't know."""
        match operation:
            case "SendMessageBatch":
                self.waiting.extend(asked["Entries"])
                return _each(asked)
            case "DeleteMessageBatch" | "ChangeMessageVisibilityBatch":
                return _each(asked)
            case "ReceiveMessage":
                count = min(asked["MaxNumberOfMessages"], len(self.waiting))
                return {"Messages": [_received(self.waiting.popleft()) for _ in range(count)]}
            case "UpdateItem":
                key = asked["Key"]["pk"]["S"]
                self._counters[key] += 1
                (name,) = asked["ExpressionAttributeNames"].values()
                return {"Attributes": {name: {"N": str(self._counters[key])}}}
        return FIXED[operation]


def _each(asked: dict[str, Any]) -> dict[str, Any]:
    return {"Successful": [{"Id": one["Id"]} for one in asked["Entries"]], "Failed": []}


def _received(sent: dict[str, Any]) -> dict[str, Any]:
    return {
        "MessageId": "m",
        "ReceiptHandle": "h" * 180,
        "Body": sent["MessageBody"],
        "MessageAttributes": sent.get("MessageAttributes", {}),
        "Attributes": {"ApproximateReceiveCount": "1"},
    }


class Connection(asyncio.Protocol):
    """One request after the other, HTTP/1.1 with a Content-Length."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._heard = bytearray()
        self._wanted = 0  # bytes until the request at hand is whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if len(self._heard) < self._wanted:
            return
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._heard[:end])
        length = int(_header(head, b"content-length") or 0)
        self._wanted = end + 4 + length
        if len(self._heard) < self._wanted:
            return
        body = bytes(self._heard[end + 4 : self._wanted])
        del self._heard[: self._wanted]
        self._wanted = 0
        self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET "):
            said = orjson.dumps(len(self._stub.waiting))
        else:
            operation = _header(head, b"x-amz-target").decode().rpartition(".")[2]
            said = orjson.dumps(self._stub.answer(operation, orjson.loads(body)))
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(said), said)
        )


def _header(head: bytes, name: bytes) -> bytes:
    _, _, after = head.lower().partition(b"\r\n%b:" % name)
    at = len(head) - len(after)
    return head[at:].split(b"\r\n", 1)[0].strip() if after else b""


async def serve() -> None:
    stub = Stub()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(stub), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    print(f"a stub of SQS and DynamoDB on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())

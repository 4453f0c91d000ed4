"""What a pack is in SQS: a message, and how messages make batches. Pure.

A message's text is JSON: what is known of the pack. The pack's bytes are a binary attribute beside
it, or, where they don't fit, an object that the text names.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

SCHEMA = 1
MESSAGE_BYTES_MAX = BATCH_BYTES_MAX = 1 << 20  # of all that a batch's messages hold, too
BATCH_MAX = 10
PACK = "pack"
BINARY = "Binary"
REASON_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Header:
    """attempts: those before this message was sent. claim: key of the object with the bytes, or
    "" when they are in the message."""

    id: str
    endpoint: str
    events: int
    queued_at_ms: int
    attempts: int = 0
    reason: str = ""
    claim: str = ""

    @property
    def pack_id(self) -> UUID:
        return UUID(self.id)


@dataclass(frozen=True, slots=True)
class Message:
    """body: the pack's bytes; b"" with a claim. delay_s: until it can be received."""

    header: Header
    body: bytes
    delay_s: int = 0

    def text(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self.header)}, separators=(",", ":"))

    def size_bytes(self) -> int:
        """As SQS counts it: the text, and each attribute's name, type and value."""
        attribute = len(PACK) + len(BINARY) + len(self.body) if self.body else 0
        return len(self.text()) + attribute

    def entry(self, number: int) -> dict[str, Any]:
        """Of a batch to send."""
        entry: dict[str, Any] = {"Id": str(number), "MessageBody": self.text()}
        if self.body:
            entry["MessageAttributes"] = {PACK: {"DataType": BINARY, "BinaryValue": self.body}}
        if self.delay_s:
            entry["DelaySeconds"] = self.delay_s
        return entry


def read(received: Mapping[str, Any]) -> tuple[Header, bytes]:
    """A received message. Raises ValueError for one that is not ours."""
    document = json.loads(received["Body"])
    if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
        raise ValueError("not a pack's message")
    try:
        header = Header(**document)
    except TypeError as error:
        raise ValueError(f"not a pack's message: {error}") from error
    UUID(header.id)
    body: bytes = received.get("MessageAttributes", {}).get(PACK, {}).get("BinaryValue", b"")
    if not body and not header.claim:
        raise ValueError("a message without its pack")
    return header, body


def batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """In their order, as many together as both limits let."""
    batch: list[Message] = []
    batch_bytes = 0
    for message in messages:
        size_bytes = message.size_bytes()
        if batch and (len(batch) == BATCH_MAX or batch_bytes + size_bytes > BATCH_BYTES_MAX):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(message)
        batch_bytes += size_bytes
    if batch:
        yield batch

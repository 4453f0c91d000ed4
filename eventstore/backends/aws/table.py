"""A DynamoDB table of items with two keys, `pk` and `sk`, and one blob of any length each.

A blob that makes its item too large is divided into parts, items of their own under the name of
their owner, that are named by what they hold: written first, and the same again whenever the same
is written again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventstore.backends.aws.calls import Calls
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable

KEYS = {"pk": "HASH", "sk": "RANGE"}
EXPIRES = "expires_at"  # Unix seconds: the table's TTL
# An item may have 409,600 bytes; names and the other values need some of them.
BLOB_BYTES_MAX = 380_000
WRITES_MAX = 25
READS_MAX = 100
THREADS = 8

Thing = TypeVar("Thing")
Done = TypeVar("Done")
Value = str | int | bytes
Key = tuple[str, str]
Raw = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Item:
    """pk: which partition; sk: its place in it. expires_at_s: None: never."""

    pk: str
    sk: str
    values: Mapping[str, Value] = field(default_factory=dict)
    blob: bytes = b""
    expires_at_s: int | None = None

    @property
    def key(self) -> Key:
        return self.pk, self.sk


class Table:
    """All reads are consistent."""

    def __init__(self, place: Place, retries: Retries) -> None:
        self.place = place
        self._calls = Calls("dynamodb", place, retries)
        self._pages_pool = ThreadPoolExecutor(THREADS, "dynamodb-pages")
        self._pool = ThreadPoolExecutor(THREADS, "dynamodb")
        self._check_schema()

    def get(self, key: Key) -> Item | None:
        """One item, whole."""
        answer = self._calls(
            "get_item", TableName=self.place.name, Key=_raw_key(key), ConsistentRead=True
        )
        return self._whole(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Those that are there, whole."""
        return {item.key: item for item in map(self._whole, self._read(keys))}

    def write(self, items: Iterable[Item], gone: Iterable[Key] = ()) -> None:
        """Puts and deletes, over whatever is there; not one transaction."""
        parts: list[Raw] = []
        requests: dict[Key, dict[str, Any]] = {}  # a batch may have each key once
        for item in items:
            raw, more = _divided(item)
            parts += more
            requests[item.key] = {"PutRequest": {"Item": raw}}
        requests |= {key: {"DeleteRequest": {"Key": _raw_key(key)}} for key in gone}
        self._write_all([{"PutRequest": {"Item": one}} for one in parts])
        self._write_all(list(requests.values()))

    def put_if(self, item: Item, condition: str, values: Mapping[str, Value] | None = None) -> None:
        """Raises Unmet; then nothing has changed."""
        raw, parts = _divided(item)
        self._write_all([{"PutRequest": {"Item": one}} for one in parts])
        more = {"ExpressionAttributeValues": _raw_values(values)} if values else {}
        self._calls(
            "put_item",
            TableName=self.place.name,
            Item=raw,
            ConditionExpression=condition,
            **more,
        )

    def replace(
        self, item: Item, condition: str, values: Mapping[str, Value] | None = None
    ) -> None:
        """put_if, after which no part of what the item has held is left. The condition must not
        hold for whoever has written parts of the same item before this call."""
        before = self._parts_of(item.key)
        self.put_if(item, condition, values)
        _, parts = _divided(item)
        kept = {(raw["pk"]["S"], raw["sk"]["S"]) for raw in parts}
        self.write([], before - kept)

    def drop(self, keys: Sequence[Key]) -> None:
        """Deletes items, and whatever they have held."""
        parts = [part for key in keys for part in self._parts_of(key)]
        self.write([], keys)
        self.write([], parts)

    def delete_if(self, key: Key, condition: str, values: Mapping[str, Value]) -> None:
        """Raises Unmet."""
        self._calls(
            "delete_item",
            TableName=self.place.name,
            Key=_raw_key(key),
            ConditionExpression=condition,
            ExpressionAttributeValues=_raw_values(values),
        )

    def count_up(self, key: Key, name: str) -> int:
        """Adds one to a number; what it is now. At least one: an answer may get lost."""
        answer = self._calls(
            "update_item",
            TableName=self.place.name,
            Key=_raw_key(key),
            UpdateExpression="ADD #name :one",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"][name]["N"])

    def query(
        self,
        pk: str,
        *,
        above: str = "",
        below: str = "\U0010ffff",
        backwards: bool = False,
        equal: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        """A partition's items with above < sk < below, in order. equal: a value that they have.

        Its first page is asked for at once, each other one while the one before is being read.
        """
        request: dict[str, Any] = {
            "TableName": self.place.name,
            "ConsistentRead": True,
            "ScanIndexForward": not backwards,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :above AND :below",
            "ExpressionAttributeValues": _raw_values(
                {":pk": pk, ":above": f"{above}\x00", ":below": below}  # the next text after it
            ),
        }
        if equal is not None:
            request["FilterExpression"] = "#equal = :equal"
            request["ExpressionAttributeNames"] = {"#equal": equal[0]}
            request["ExpressionAttributeValues"][":equal"] = {"S": equal[1]}
        if limit is not None:
            request["Limit"] = limit
        first = self._pages_pool.submit(self._calls, "query", **request)
        return self._pages(request, first, limit, below)

    def at_once(self, do: Callable[[Thing], Done], things: Iterable[Thing]) -> list[Done]:
        """What each becomes, some of them at a time: nearly all of a call is waiting. Raises what
        the first of them has raised."""
        return list(self._pool.map(do, things))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._pages_pool.shutdown(cancel_futures=True)
        self._calls.close()

    def _pages(
        self,
        request: dict[str, Any],
        asked: Future[dict[str, Any]],
        limit: int | None,
        below: str,
    ) -> Iterator[Item]:
        given = 0
        while True:  # ends: every page is further on
            page = asked.result()
            more = page.get("LastEvaluatedKey")
            found = [raw for raw in page["Items"] if raw["sk"]["S"] != below][:limit]
            given += len(found)
            if given == limit:
                more = None
            if more is not None:
                asked = self._pages_pool.submit(
                    self._calls, "query", **request, ExclusiveStartKey=more
                )
            yield from map(self._whole, found)
            if more is None:
                return

    def _parts_of(self, key: Key) -> set[Key]:
        """Those that are there, whether or not the item still needs them."""
        return {one.key for one in self.query(_parts_pk(key))}

    def _read(self, keys: Sequence[Key]) -> Iterator[Raw]:
        wanted = [_raw_key(key) for key in dict.fromkeys(keys)]
        for start in range(0, len(wanted), READS_MAX):
            left = wanted[start : start + READS_MAX]
            for last in self._calls.retries.tries():
                answer = self._calls(
                    "batch_get_item",
                    RequestItems={self.place.name: {"Keys": left, "ConsistentRead": True}},
                )
                yield from answer["Responses"].get(self.place.name, ())
                left = answer.get("UnprocessedKeys", {}).get(self.place.name, {}).get("Keys", [])
                if not left:
                    break
                self._give_up(last, "batch_get_item", len(left))

    def _write_all(self, requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), WRITES_MAX):
            self._write_some(requests[start : start + WRITES_MAX])

    def _write_some(self, requests: list[dict[str, Any]]) -> None:
        left = requests
        for last in self._calls.retries.tries():
            answer = self._calls("batch_write_item", RequestItems={self.place.name: left})
            left = answer.get("UnprocessedItems", {}).get(self.place.name, [])
            if not left:
                return
            self._give_up(last, "batch_write_item", len(left))

    def _give_up(self, last: bool, operation: str, left: int) -> None:
        if last:
            raise EngineUnavailable(
                f"{self.place.url}: cannot {operation}: {left} items were left unprocessed; give"
                " the table more throughput, or wait until it has split its partitions"
            )

    def _whole(self, raw: Raw) -> Item:
        values = {name: _value(one) for name, one in raw.items() if name not in ("pk", "sk")}
        blob = values.pop("blob", b"")
        parts, digest = values.pop("parts", 0), values.pop("digest", "")
        expires_at_s = values.pop(EXPIRES, None)
        key = raw["pk"]["S"], raw["sk"]["S"]
        if parts:
            keys = [_part_key(key, str(digest), number) for number in range(int(parts))]
            found = {one["sk"]["S"]: one["blob"]["B"] for one in self._read(keys)}
            if len(found) < len(keys):
                return self._replaced(key, digest)
            blob = b"".join(found[sk] for _, sk in keys)
        return Item(*key, values, blob, expires_at_s)  # type: ignore[arg-type]

    def _replaced(self, key: Key, digest: Value) -> Item:
        """Whose parts have gone while it was read: what has taken its place."""
        (raw,) = list(self._read([key])) or [{}]
        if not raw or raw.get("digest") == _raw(digest):
            raise EngineUnavailable(f"{self.place.url}: parts of {key[1]} are missing")
        return self._whole(raw)

    def _check_schema(self) -> None:
        table = self._calls("describe_table", TableName=self.place.name)["Table"]
        found = {one["AttributeName"]: one["KeyType"] for one in table["KeySchema"]}
        types = {
            one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]
        }
        if found != KEYS or any(types[name] != "S" for name in KEYS):
            keys = ", ".join(f"{name} ({kind}, {types[name]})" for name, kind in found.items())
            raise EngineUnavailable(
                f"{self.place.url}: its key is {keys}; expected pk (HASH, S), sk (RANGE, S): name"
                " a table of the event store's own"
            )


def _divided(item: Item) -> tuple[Raw, list[Raw]]:
    """The item as it is written, and the parts of its blob."""
    values: dict[str, Value] = {**item.values}
    if item.expires_at_s is not None:
        values[EXPIRES] = item.expires_at_s
    parts: list[Raw] = []
    if len(item.blob) <= BLOB_BYTES_MAX:
        values["blob"] = item.blob
    else:
        digest = hashlib.sha256(item.blob).hexdigest()
        pieces = range(0, len(item.blob), BLOB_BYTES_MAX)
        values |= {"parts": len(pieces), "digest": digest}
        for number, start in enumerate(pieces):
            part = {"blob": item.blob[start : start + BLOB_BYTES_MAX]} | (
                {} if item.expires_at_s is None else {EXPIRES: item.expires_at_s}
            )
            parts.append(_raw_key(_part_key(item.key, digest, number)) | _raw_values(part))
    return _raw_key(item.key) | _raw_values(values), parts


def _parts_pk(owner: Key) -> str:
    return f"part#{owner[0]}#{owner[1]}"


def _part_key(owner: Key, digest: str, number: int) -> Key:
    return _parts_pk(owner), f"{digest}#{number:06d}"


def _raw_key(key: Key) -> Raw:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _raw_values(values: Mapping[str, Any]) -> Raw:
    return {name: _raw(value) for name, value in values.items()}


def _raw(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    return {"N": str(value)} if isinstance(value, int) else {"B": value}


def _value(raw: Mapping[str, Any]) -> Value:
    ((kind, value),) = raw.items()
    made: Value = int(value) if kind == "N" else value
    return made

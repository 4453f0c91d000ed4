"""What the event store keeps in DynamoDB, as items. Pure: the same always makes the same bytes.

    pk                      sk                  what
    pack#<minute>#<digit>   <pack id>           a pack, or where it is in a segment; the digit, its
                                                id's last, makes 16 shards
    minutes                 <minute>            a minute that has packs
    window#<start>, changed                     what windows count, which have changed: windows.py
    dead#<digit>            <pack id>#<index>   a dead letter; 0: a whole pack, n + 1: its event n
    keys#<span>[#<log>]     <number>            client keys, in the order of their packs: key_log.py
    begun                   <name>              a segment in the making, or left so: begun.py
    turns                   <what>              who does it until when: turns.py
    orders                  <certificate>       an erasure that stands
    dictionaries            <id>                a dictionary that packs need: it never expires
    part#<pk>#<sk>          <digest>#<number>   of this item's blob, which is too large for it

A pack's minute is its id's own, so whoever has the id has the key.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import orjson

from eventstore.backends.aws.segments import Extent
from eventstore.backends.aws.table import Item, Key, Value
from eventstore.ledger import Tally, minute_of
from eventstore.ports import DeadLetter, Order, Stage, Stored, Trained, Way

DIGITS = "0123456789abcdef"
MINUTES = "minutes"
DICTIONARIES = "dictionaries"
ORDERS = "orders"


@dataclass(frozen=True, slots=True)
class Head:
    """A pack, or one that is dead as a whole (stored False; its bytes are in its dead letter).

    noted: what became of its events, as it was written then. windows: start → the window's version
    from which on it counts. revision: how often it was written. body_at, sidecar_at: what is in a
    segment, the sidecar with the view; None: it is in the item.
    """

    pack_id: UUID
    stored: bool
    way: Way | None
    noted: Mapping[str, Tally] = field(default_factory=dict)
    body: bytes = b""
    sidecar: bytes = b""
    view: bytes = b""
    retries: frozenset[int] = frozenset()
    dead: frozenset[int] = frozenset()
    windows: Mapping[int, int] = field(default_factory=dict)
    revision: int = 1
    body_at: Extent | None = None
    sidecar_at: Extent | None = None
    gone: tuple[Extent, ...] = ()

    @property
    def hidden(self) -> frozenset[int]:
        return self.retries | self.dead

    @property
    def placed(self) -> tuple[Extent, ...]:
        """What is not in the item."""
        return tuple(one for one in (self.body_at, self.sidecar_at) if one)

    def to_stored(self) -> Stored:
        return Stored(
            self.pack_id.int, self.pack_id, self.body, self.sidecar, self.view, self.hidden
        )

    def to_item(self, expires_at_s: int | None) -> Item:
        contents = (
            b"" if self.body_at else self.body,
            *((b"", b"") if self.sidecar_at else (self.sidecar, self.view)),
            _indexes(self.retries),
            _indexes(self.dead),
            json.dumps(sorted(self.windows.items())).encode(),
        )
        values: dict[str, Value] = {
            "is_stored": int(self.stored),
            "revision": self.revision,
            "noted": json.dumps(
                {fate: [one.events, one.digest] for fate, one in sorted(self.noted.items())}
            ),
            "lengths": json.dumps([len(one) for one in contents]),
        }
        if self.way is not None:
            values["way"] = orjson.dumps(self.way).decode()
        placed = {"body_at": self.body_at, "sidecar_at": self.sidecar_at}
        values |= {name: one.to_text() for name, one in placed.items() if one}
        if self.gone:
            values["gone"] = json.dumps([one.to_text() for one in self.gone])
        pk, sk = head_key(self.pack_id)
        return Item(pk, sk, values, b"".join(contents), expires_at_s)


def head_of(item: Item) -> Head:
    """What to_item has made."""
    contents, at = [], 0
    for length in json.loads(str(item.values["lengths"])):
        contents.append(item.blob[at : at + length])
        at += length
    body, sidecar, view, retries, dead, windows = contents
    way = orjson.loads(str(item.values["way"])) if "way" in item.values else None
    return Head(
        UUID(item.sk),
        bool(item.values["is_stored"]),
        way and Way(way["endpoint"], way["events"], tuple(Stage(**one) for one in way["stages"])),
        {fate: Tally(*one) for fate, one in json.loads(str(item.values["noted"])).items()},
        body,
        sidecar,
        view,
        _indexes_of(retries),
        _indexes_of(dead),
        dict(json.loads(windows)),
        int(item.values["revision"]),
        extent_of(item, "body_at"),
        extent_of(item, "sidecar_at"),
        tuple(map(Extent.of, json.loads(str(item.values.get("gone", "[]"))))),
    )


def extent_of(item: Item, name: str) -> Extent | None:
    """A value that says where in a segment something is."""
    return Extent.of(str(item.values[name])) if name in item.values else None


def head_key(pack_id: UUID) -> Key:
    return shard(minute_of(pack_id), pack_id.hex[-1]), pack_id.hex


def shard(minute: int, digit: str) -> str:
    return f"pack#{minute}#{digit}"


def minute_item(minute: int, expires_at_s: int | None) -> Item:
    return Item(MINUTES, minute_sk(minute), {}, b"", expires_at_s)


def minute_sk(minute: int) -> str:
    return f"{minute:010d}"


def dictionary_key(dictionary_id: int) -> Key:
    return DICTIONARIES, f"{dictionary_id:010d}"


def dictionary_item(trained: Trained) -> Item:
    values: dict[str, Value] = {"tenant": trained.tenant, "at_ms": trained.at_ms}
    return Item(*dictionary_key(trained.dictionary_id), values, trained.data)


def trained_of(item: Item) -> Trained:
    tenant, at_ms = str(item.values["tenant"]), int(item.values["at_ms"])
    return Trained(int(item.sk), tenant, at_ms, item.blob)


def order_item(order: Order) -> Item:
    values: dict[str, Value] = {
        "field": order.field,
        "value_bytes": order.value_bytes,
        "value_sha256": order.value_sha256,
        "at_ms": order.at_ms,
        "until_ms": order.until_ms,
    }
    return Item(ORDERS, order.certificate, values, b"", order.until_ms // 1000)


def order_of(item: Item) -> Order:
    """What order_item has made."""
    return Order(
        item.sk,
        str(item.values["field"]),
        int(item.values["value_bytes"]),
        str(item.values["value_sha256"]),
        int(item.values["at_ms"]),
        int(item.values["until_ms"]),
    )


def letter_key(pack_id: UUID, index: int | None) -> Key:
    return f"dead#{pack_id.hex[-1]}", f"{pack_id.hex}#{0 if index is None else index + 1:07d}"


def letter_item(letter: DeadLetter, expires_at_s: int | None) -> Item:
    reason = letter.reason.encode("utf-8", "surrogatepass")
    values: dict[str, Value] = {
        "stage": letter.stage,
        "fingerprint": letter.fingerprint,
        "reason_bytes": len(reason),
    }
    pk, sk = letter_key(letter.pack_id, letter.index)
    return Item(pk, sk, values, reason + letter.body, expires_at_s)


def letter_of(item: Item) -> DeadLetter:
    pack, _, number = item.sk.partition("#")
    length = int(item.values["reason_bytes"])
    return DeadLetter(
        UUID(pack),
        int(number) - 1 if int(number) else None,
        str(item.values["stage"]),
        item.blob[:length].decode("utf-8", "surrogatepass"),
        item.blob[length:],
    )


def _indexes(indexes: frozenset[int]) -> bytes:
    """A bit for each event, compressed: an item that only says where its pack is stays small."""
    if not indexes:
        return b""
    bits = np.zeros(max(indexes) + 1, dtype=bool)
    bits[list(indexes)] = True
    return zlib.compress(np.packbits(bits).tobytes())


def _indexes_of(blob: bytes) -> frozenset[int]:
    if not blob:
        return frozenset()
    bits = np.unpackbits(np.frombuffer(zlib.decompress(blob), dtype=np.uint8))
    return frozenset(np.flatnonzero(bits).tolist())

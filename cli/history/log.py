"""Where a fleet's history is kept.

history/00000001.json, …    in the documents' store, one entry each, written only if absent
history/<fleet>.json        the head, in other stores: its witnesses

An entry is written before the change that it tells of, or right after it; the witnesses follow
when that is done, since they may be far away. A witness that contradicts the log is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from artifacts.errors import EvctlError
from artifacts.objects import ObjectConflict, ObjectMissing, ObjectStore
from cli.history.entry import Entry, Event, Head, Who, decode, encode

FOLDER = "history/"
ATTEMPTS_MAX = 50
_KEY = re.compile(r"history/\d{8}\.json")


class HistoryBusy(EvctlError):
    code = "E4201"
    exit_code = 8
    explanation = "Many write the fleet's history at the same time. Nothing was written; try again."


@dataclass(frozen=True)
class Witness:
    """Another store that keeps the head of this fleet's history. name: what it is called."""

    name: str
    objects: ObjectStore
    fleet: str

    def seen(self) -> tuple[Head | None, str | None]:
        """The head that it keeps, and the etag to replace it with. Damaged: a head that fits no
        log."""
        try:
            found = self.objects.get(self._key())
        except ObjectMissing:
            return None, None
        try:
            raw = json.loads(found.body)
            return Head(int(raw["number"]), str(raw["digest"])), found.etag
        except (ValueError, KeyError, TypeError):
            return Head(0, "damaged"), found.etag

    def keep(self, head: Head, etag: str | None) -> None:
        body = json.dumps(asdict(head)).encode()
        self.objects.put(self._key(), body, if_match=etag, if_absent=etag is None)

    def _key(self) -> str:
        return f"{FOLDER}{re.sub(r'[^A-Za-z0-9_-]', '_', self.fleet)}.json"


class History:
    """witnesses: made when they are needed, since theirs may be a slow store."""

    def __init__(
        self, objects: ObjectStore, witnesses: Callable[[], Sequence[Witness]] = lambda: ()
    ) -> None:
        self._objects = objects
        self.witnesses = witnesses

    def add(self, event: Event, what: Mapping[str, Any], *, who: Who, why: str, at: float) -> Head:
        """Write an entry behind the last one. A last one that is damaged keeps nobody from it:
        `verify` tells of it."""
        for _ in range(ATTEMPTS_MAX):
            last = self.head()
            entry = Entry(
                number=last.number + 1,
                at=round(at, 3),
                event=event,
                what=dict(what),
                who=who,
                why=why,
                before=last.digest,
            )
            with suppress(ObjectConflict):
                self._objects.put(key_of(entry.number), encode(entry), if_absent=True)
                return Head(entry.number, entry.digest())
        raise HistoryBusy("the history keeps growing", why="many write it", next_step="try again")

    def head(self) -> Head:
        keys = self.entry_keys()
        if not keys:
            return Head(0, "")
        return Head(int(keys[-1][len(FOLDER) : -len(".json")]), self._digest_of(keys[-1]))

    def entry_keys(self) -> list[str]:
        """Of all entries, oldest first."""
        return [key for key in self._objects.list(FOLDER) if _KEY.fullmatch(key)]

    def body(self, key: str) -> bytes:
        return self._objects.get(key).body

    def last(self, count: int) -> Iterator[Entry]:
        """The last entries that can be read, newest first."""
        for key in reversed(self.entry_keys()[-count:]):
            with suppress(ValueError):
                yield decode(self.body(key))[0]

    def witness(self) -> None:
        """Copy the head to the witnesses. One that doesn't answer hears of it the next time."""
        head = self.head()
        for witness in self.witnesses():
            with suppress(EvctlError):
                seen, etag = witness.seen()
                if seen is None or (seen.number < head.number and self.contains(seen)):
                    witness.keep(head, etag)

    def contains(self, head: Head) -> bool:
        """Whether the log has been where this head says."""
        if head.number == 0:
            return head.digest == ""
        try:
            return self._digest_of(key_of(head.number)) == head.digest
        except ObjectMissing:
            return False

    def _digest_of(self, key: str) -> str:
        """What the entry itself comes to, whatever it says; of a damaged one, of its bytes."""
        body = self.body(key)
        try:
            return decode(body)[0].digest()
        except ValueError:
            return hashlib.sha256(body).hexdigest()


def key_of(number: int) -> str:
    return f"{FOLDER}{number:08d}.json"

"""Whose an event is: which events of a pack name a subject."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from eventstore.event import FIELDS
from eventstore.formats import READERS, Fields
from eventstore.packing import Pack, Share
from eventstore.processing import view
from eventstore.processing.reading import fields_of

WORD = re.compile(rb"[\w-]")
SHARED = {"address", "user_agent"}  # said by the request of an event that doesn't say it itself


class Whose(ABC):
    """Who has one value in this field: one of event.FIELDS as any format says it, or a key of the
    event as it was sent or is seen, of nested objects and lists with dots. A number is its text.

    Of an event that can't be read, whoever's value is in it, as a word of its own.
    """

    field: str

    @abstractmethod
    def has(self, text: str) -> bool:
        """Whether this is the value."""

    @abstractmethod
    def is_in(self, data: bytes) -> bool:
        """Whether the value is in there, as a word of its own."""

    def events_of(self, pack: Pack, seen: Sequence[bytes]) -> set[int]:
        """Indexes of what is the subject's and not erased yet; seen: the lines of the pack's view.
        Raises PackCorrupt for a pack that this release can't read."""
        events = zip(fields_of(pack), pack.per_event(), seen, strict=True)
        read = READERS[pack.format].value
        return {
            index
            for index, (fields, (sent, share), line) in enumerate(events)
            if index not in pack.tombstones
            and (self._stated(fields, share) or self._found(read, sent, share.context, line))
        }

    def _stated(self, fields: Fields | str, share: Share) -> bool:
        if isinstance(fields, str) or self.field not in FIELDS:
            return False
        said = getattr(fields, self.field)
        if not said and self.field in SHARED:
            said = getattr(share, self.field)
        return self._is(said)

    def _found(self, read: Any, sent: bytes, context: bytes, line: bytes) -> bool:
        try:
            values = [read(sent, context), *_made(view.whole(line, sent))]
            return any(self._is(one) for value in values for one in _at(value, self.field))
        except Exception:  # noqa: BLE001 - of a dead letter a format's reader may raise anything
            return self.is_in(sent) or self.is_in(context)

    def _is(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return False
        return self.has(str(value))


@dataclass(frozen=True)
class Subject(Whose):
    """By the value itself."""

    field: str
    value: str

    def has(self, text: str) -> bool:
        return text == self.value

    def is_in(self, data: bytes) -> bool:
        return self._word.search(data) is not None

    @cached_property
    def _word(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?<![\w-])" + re.escape(self.value.encode()) + rb"(?![\w-])")


@dataclass(frozen=True)
class Sealed(Whose):
    """By a digest of the value, which is kept where the value may not be."""

    field: str
    salt: str
    value_bytes: int
    value_sha256: str

    @classmethod
    def of(cls, subject: Subject, salt: str) -> "Sealed":
        value = subject.value.encode()
        return cls(subject.field, salt, len(value), _digest(salt, value))

    def has(self, text: str) -> bool:
        return self._is_it(text.encode("utf-8", "surrogatepass"))

    def is_in(self, data: bytes) -> bool:
        places = range(len(data) - self.value_bytes + 1)
        return any(
            self._is_it(data[at : at + self.value_bytes])
            for at in places
            if not WORD.fullmatch(data[max(0, at - 1) : at])
            and not WORD.match(data, at + self.value_bytes)
        )

    def _is_it(self, value: bytes) -> bool:
        return len(value) == self.value_bytes and _digest(self.salt, value) == self.value_sha256


def _digest(salt: str, value: bytes) -> str:
    return hashlib.sha256(salt.encode() + b"\n" + value).hexdigest()


def _made(line: bytes) -> list[Any]:
    """What a transform has made of the event: none, one or several."""
    parts = view.several(line)
    return parts if parts is not None else [orjson.loads(line)] if line else []


def _at(value: object, path: str) -> Iterator[object]:
    """The values at a path; a key may have dots of its own."""
    if isinstance(value, list):
        for one in value:
            yield from _at(one, path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == path:
                yield from inner if isinstance(inner, list) else [inner]
            elif isinstance(key, str) and path.startswith(f"{key}."):
                yield from _at(inner, path[len(key) + 1 :])

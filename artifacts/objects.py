"""The port to what keeps releases and documents: a folder, or a bucket.

Promises, the same for every engine: `put` is durable and whole when it returns; a reader sees the
old body or the new one, never a mixture; of two conditional writers one wins and the other gets
ObjectConflict. Keys are relative, slash-separated names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from artifacts.errors import EvctlError

CHUNK_BYTES = 1 << 20
NAME_BYTES_MAX = 255
SETTINGS = {"endpoint", "region"}
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class ObjectMissing(EvctlError):
    code = "E2001"
    exit_code = 2
    explanation = "An object that was asked for is not in the store, although the store answers."


class ObjectConflict(EvctlError):
    code = "E2002"
    exit_code = 8
    explanation = (
        "Someone else changed the object between reading and writing. Nothing was written."
    )


class StoreUnreachable(EvctlError):
    code = "E2003"
    exit_code = 7
    explanation = (
        "The registry or the documents' store doesn't answer: a folder that isn't there, a disk "
        "that is full, a bucket that can't be reached. Nodes go on serving; rollbacks need no "
        "registry."
    )


class StoreNotAllowed(EvctlError):
    code = "E2004"
    exit_code = 4
    explanation = "The store answered, and refused: credentials or rights don't do."


class BadStoreUrl(EvctlError):
    code = "E5101"
    exit_code = 2
    explanation = "A registry is file:///dir or s3://bucket/prefix?endpoint=…&region=…"


@dataclass(frozen=True)
class Object:
    """A whole object. etag: changes with every change of the body, opaque otherwise."""

    body: bytes
    etag: str


class ObjectStore(Protocol):
    """Every method raises StoreUnreachable when the store doesn't answer, StoreNotAllowed when it
    refuses, and those that need an object ObjectMissing when it isn't there."""

    url: str

    def get(self, key: str) -> Object:
        """A whole small object."""

    def read(self, key: str, offset: int = 0) -> Iterator[bytes]:
        """A large object's bytes from an offset on, in chunks."""

    def size(self, key: str) -> int:
        """Bytes."""

    def put(
        self, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Write, and return the new etag. ObjectConflict unless the condition holds: the object
        still has this etag, or doesn't exist."""

    def list(self, prefix: str) -> list[str]:
        """Keys that begin with the prefix, sorted."""


def check_key(key: str) -> str:
    """The key itself. ObjectMissing for what can't be one: it climbs, is absolute, is empty, or has
    a part that no file could be called."""
    if not _KEY.fullmatch(key) or max(map(len, key.split("/"))) > NAME_BYTES_MAX:
        raise ObjectMissing(f"{key[:200]!r} can't be a key", why="keys are relative, plain names")
    return key


def open_objects(url: str) -> ObjectStore:
    """The store behind a URL. BadStoreUrl."""
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        if parts.fragment or len(given) < parts.query.count("=") or not given.keys() <= SETTINGS:
            raise ValueError("after the path may come ?endpoint=… and &region=…, each once")
        return _open(url, parts, given)
    except ValueError as error:
        raise BadStoreUrl(
            f"{url!r} is no store",
            why=str(error),
            next_step="mend `registry` or `documents` in fleet.yaml",
        ) from error


def _open(url: str, parts: SplitResult, given: dict[str, str]) -> ObjectStore:
    """ValueError for what is no store."""
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not given:
        from artifacts.objects_file import FolderObjects

        return FolderObjects(Path(unquote(parts.path)), url)
    if parts.scheme == "s3" and parts.netloc:
        from artifacts.objects_s3 import S3Objects

        return S3Objects(
            parts.netloc,
            parts.path.strip("/"),
            endpoint=given.get("endpoint"),
            region=given.get("region"),
            url=url,
        )
    raise ValueError("it is neither file:///dir nor s3://bucket/prefix")

"""Objects in a folder. Write aside, sync, rename; conditional writes under a lock."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from artifacts.objects import (
    CHUNK_BYTES,
    Object,
    ObjectConflict,
    ObjectMissing,
    StoreNotAllowed,
    StoreUnreachable,
    check_key,
)

LOCK = ".lock"
ASIDE = ".aside-"
REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
# A disk that is full or broken, a mount whose server has gone.
TROUBLES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
)


class FolderObjects:
    """Implements objects.ObjectStore. Reading writes nothing: a read-only mount does."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._folder = folder

    def get(self, key: str) -> Object:
        with self._reading(key) as path:
            body = path.read_bytes()
        return Object(body, _etag(body))

    def read(self, key: str, offset: int = 0) -> Iterator[bytes]:
        with self._reading(key) as path, path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def size(self, key: str) -> int:
        with self._reading(key) as path:
            if path.is_dir():
                raise IsADirectoryError
            return path.stat().st_size

    def put(
        self, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        path = self._folder / check_key(key)
        with self._asking():
            self._must_answer()
            try:
                _make(path.parent)
                with self._locked():
                    self._check(path, key, if_match, if_absent)
                    return _replace(path, body)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ObjectConflict(
                    f"{key} can't be written", why="another key is a folder of it, or below it"
                ) from error

    def list(self, prefix: str) -> list[str]:
        with self._asking():
            self._must_answer()
            return sorted(key for key in self._keys() if key.startswith(prefix))

    def _keys(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._folder, onerror=_raise):
            for name in names:
                if not name.startswith("."):
                    yield (Path(folder) / name).relative_to(self._folder).as_posix()

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        path = self._folder / check_key(key)
        with self._asking():
            try:
                yield path
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                self._must_answer()
                raise ObjectMissing(f"{key} is not in {self.url}") from error

    def _must_answer(self) -> None:
        if not self._folder.is_dir():
            raise StoreUnreachable(
                f"{self.url} doesn't answer",
                why=f"no such folder: {self._folder}",
                next_step="mount or restore it; rollbacks work without the registry",
            )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in REFUSALS:
                raise StoreNotAllowed(
                    f"{self.url} refuses",
                    why=str(error),
                    next_step="run it as the folder's owner, where the folder can be written",
                ) from error
            if error.errno in TROUBLES:
                raise StoreUnreachable(
                    f"{self.url} can't be used",
                    why=str(error),
                    next_step=f"df -h {self._folder}; then try again",
                ) from error
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _check(self, path: Path, key: str, if_match: str | None, if_absent: bool) -> None:
        if if_absent and path.exists():
            raise ObjectConflict(f"{key} exists already", why="it was to be written only if absent")
        if if_match is not None and (not path.exists() or _etag(path.read_bytes()) != if_match):
            raise ObjectConflict(f"{key} has changed", why="someone else wrote it meanwhile")


def _replace(path: Path, body: bytes | Path) -> str:
    aside = path.with_name(f"{ASIDE}{secrets.token_hex(8)}")
    digest = hashlib.sha256()
    try:
        with aside.open("xb") as file:
            for chunk in _chunks(body):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    _sync(path.parent)
    return digest.hexdigest()


def _make(folder: Path) -> None:
    """A folder and those above it, as durable as what will be in it."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise(error: OSError) -> NoReturn:
    raise error


def _chunks(body: bytes | Path) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    with body.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()

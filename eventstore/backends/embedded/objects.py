"""Small objects in a folder, written aside and linked into place, which fails when one is there."""

import os
import tempfile
from pathlib import Path

from eventstore.errors import EngineUnavailable


class EmbeddedObjects:
    """The port Objects over a folder. Keys are file names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineUnavailable(f"cannot make {folder}: {error}") from error

    def put_once(self, key: str, body: bytes) -> bool:
        try:
            return write_once(self._folder / key, body)
        except OSError as error:
            raise EngineUnavailable(f"cannot write {self._folder / key}: {error}") from error

    def get(self, key: str) -> bytes | None:
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EngineUnavailable(f"cannot read {self._folder / key}: {error}") from error

    def keys(self, prefix: str) -> list[str]:
        try:
            names = [one.name for one in self._folder.iterdir()]
        except OSError as error:
            raise EngineUnavailable(f"cannot list {self._folder}: {error}") from error
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, key: str) -> None:
        try:
            (self._folder / key).unlink(missing_ok=True)
        except OSError as error:
            raise EngineUnavailable(f"cannot delete {self._folder / key}: {error}") from error

    def close(self) -> None:
        """Nothing is held open."""


def write_once(target: Path, body: bytes) -> bool:
    """Whole, synced and only if the name is free; False when it is taken."""
    descriptor, aside = tempfile.mkstemp(dir=target.parent, prefix=".aside-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, target)
        except FileExistsError:
            return False
    finally:
        Path(aside).unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True

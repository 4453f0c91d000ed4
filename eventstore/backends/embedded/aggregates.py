"""Aggregates in a folder: tables written aside, published by a manifest that must be the first.

A manifest is linked into place, which fails when the name is taken: of two post-processors that
publish the same generation, one does.
"""

from collections.abc import Iterator
from pathlib import Path

from eventstore.backends.embedded.objects import write_once
from eventstore.backends.generations import (
    MANIFESTS,
    checked,
    decode,
    encode,
    manifest_key,
    sealed,
)
from eventstore.errors import EngineUnavailable
from eventstore.ports import Generation


class EmbeddedAggregates:
    """The port Aggregates over a folder."""

    def __init__(self, folder: Path, *, generations_kept: int = 3) -> None:
        self._folder = folder
        self._kept = generations_kept
        try:
            (folder / MANIFESTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineUnavailable(f"cannot make {folder}: {error}") from error

    def latest(self, window_start_s: int) -> Generation | None:
        # A generation may be pruned between listing and reading; a newer one is there then.
        for _ in range(10):
            numbers = self._numbers(window_start_s)
            if not numbers:
                return None
            try:
                return decode(self._manifest(window_start_s, numbers[-1]).read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError) as error:
                raise EngineUnavailable(
                    f"cannot read the manifest of window {window_start_s}: {error}"
                ) from error
        raise EngineUnavailable(f"the manifests of window {window_start_s} keep changing")

    def publish(self, generation: Generation, table: bytes) -> bool:
        generation = sealed(generation, table)
        target = self._folder / generation.file
        manifest = self._manifest(generation.window_start_s, generation.generation)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            manifest.parent.mkdir(parents=True, exist_ok=True)
            write_once(target, table)  # taken: the same bytes, for the digest is in the name
            published = write_once(manifest, encode(generation))
        except OSError as error:
            raise EngineUnavailable(f"cannot publish {manifest}: {error}") from error
        if not published:
            self._drop_unless_named(target, manifest, generation.file)
            return False
        self._prune(generation.window_start_s)
        return True

    def windows(self) -> Iterator[Generation]:
        try:
            starts = sorted(int(one.name) for one in (self._folder / MANIFESTS).iterdir())
        except (OSError, ValueError) as error:
            raise EngineUnavailable(f"cannot list {self._folder}: {error}") from error
        for start in starts:
            generation = self.latest(start)
            if generation is not None:
                yield generation

    def read(self, generation: Generation) -> bytes:
        try:
            table = (self._folder / generation.file).read_bytes()
        except OSError as error:
            raise EngineUnavailable(f"cannot read {generation.file}: {error}") from error
        return checked(generation, table)

    def _manifest(self, window_start_s: int, number: int) -> Path:
        return self._folder / manifest_key(window_start_s, number)

    def _numbers(self, window_start_s: int) -> list[int]:
        folder = self._folder / MANIFESTS / str(window_start_s)
        try:
            return sorted(int(one.stem) for one in folder.glob("[0-9]*.json"))
        except FileNotFoundError:
            return []

    def _drop_unless_named(self, target: Path, manifest: Path, key: str) -> None:
        try:
            if decode(manifest.read_bytes()).file != key:
                target.unlink(missing_ok=True)
        except (OSError, ValueError):
            return  # pruned meanwhile, with the table it named: ours is an orphan, harmless

    def _prune(self, window_start_s: int) -> None:
        for number in self._numbers(window_start_s)[: -self._kept]:
            manifest = self._manifest(window_start_s, number)
            try:
                table = self._folder / decode(manifest.read_bytes()).file
                manifest.unlink(missing_ok=True)
                table.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # pruned by another

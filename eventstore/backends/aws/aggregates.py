"""Aggregates in a bucket: tables first, published by a manifest that is written only if absent."""

from collections.abc import Iterator
from itertools import groupby

from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
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

LOOKS_MAX = 10  # at a window whose manifests are pruned meanwhile
# Generations beyond those that are kept, looked for by their numbers: listing them costs as much as
# writing one. Of two, so that what a crash has left goes with the next.
PRUNED_A_TIME = 2


class S3Aggregates:
    """The port Aggregates over a bucket."""

    def __init__(self, place: Place, retries: Retries, *, generations_kept: int = 3) -> None:
        self._bucket = Bucket(place, retries)
        self._kept = generations_kept

    def latest(self, window_start_s: int) -> Generation | None:
        # A generation may be pruned between listing and reading; a newer one is there then.
        for _ in range(LOOKS_MAX):
            keys = self._manifests(window_start_s)
            if not keys:
                return None
            found = self._manifest(keys[-1])
            if found is not None:
                return found
        raise EngineUnavailable(f"the manifests of window {window_start_s} keep changing")

    def publish(self, generation: Generation, table: bytes) -> bool:
        generation = sealed(generation, table)
        manifest = manifest_key(generation.window_start_s, generation.generation)
        self._bucket.put(generation.file, table)  # again: the same bytes, the digest is in the name
        if not self._bucket.put_once(manifest, encode(generation)):
            there = self._manifest(manifest)
            if there is not None and there.file != generation.file:
                self._bucket.delete(generation.file)
            return False
        newest_gone = generation.generation - self._kept
        for number in range(newest_gone, max(0, newest_gone - PRUNED_A_TIME), -1):
            self._prune(manifest_key(generation.window_start_s, number))
        return True

    def windows(self) -> Iterator[Generation]:
        keys = [key.split("/") for key in self._bucket.keys(f"{MANIFESTS}/")]
        for start, _ in groupby(sorted(int(parts[1]) for parts in keys)):
            generation = self.latest(start)
            if generation is not None:
                yield generation

    def read(self, generation: Generation) -> bytes:
        table = self._bucket.get(generation.file)
        if table is None:
            raise EngineUnavailable(f"{generation.file} is not there")
        return checked(generation, table)

    def _manifests(self, window_start_s: int) -> list[str]:
        return self._bucket.keys(f"{MANIFESTS}/{window_start_s}/")

    def _manifest(self, key: str) -> Generation | None:
        body = self._bucket.get(key)
        try:
            return None if body is None else decode(body)
        except (ValueError, TypeError) as error:
            raise EngineUnavailable(f"cannot read {key}: {error}") from error

    def _prune(self, key: str) -> None:
        generation = self._manifest(key)
        if generation is not None:  # otherwise another has
            self._bucket.delete(key)
            self._bucket.delete(generation.file)

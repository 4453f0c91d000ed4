"""What a published window is called and how its manifest is written, wherever it lives.

tables/date=2026-11-24/hour=14/1795530600-g000003-<16 hex of sha256>.parquet
manifests/1795530600/000003.json        its existence is the publication
"""

import dataclasses
import hashlib
import json
from datetime import UTC, datetime

from eventstore.errors import EngineUnavailable
from eventstore.ports import Generation

SCHEMA_VERSION = 1
MANIFESTS = "manifests"


def sealed(generation: Generation, table: bytes) -> Generation:
    """With the table's digest and key."""
    digest = hashlib.sha256(table).hexdigest()
    generation = dataclasses.replace(generation, sha256=digest)
    return dataclasses.replace(generation, file=table_key(generation))


def table_key(generation: Generation) -> str:
    """Where the table of this generation lives, partitioned by date and hour of the window."""
    start = datetime.fromtimestamp(generation.window_start_s, UTC)
    return (
        f"tables/date={start:%Y-%m-%d}/hour={start:%H}/{generation.window_start_s}"
        f"-g{generation.generation:06d}-{generation.sha256[:16]}.parquet"
    )


def manifest_key(window_start_s: int, number: int) -> str:
    return f"{MANIFESTS}/{window_start_s}/{number:06d}.json"


def encode(generation: Generation) -> bytes:
    """The manifest."""
    return json.dumps(dataclasses.asdict(generation), sort_keys=True).encode()


def decode(body: bytes) -> Generation:
    """Raises ValueError, TypeError."""
    document = json.loads(body)
    if document.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"aggregate schema {document.get('schema')!r}: reads {SCHEMA_VERSION}")
    names = {one.name for one in dataclasses.fields(Generation)}
    known = {name: value for name, value in document.items() if name in names}
    return Generation(**known)


def checked(generation: Generation, table: bytes) -> bytes:
    """The table, when it is the one that the manifest names. Raises EngineUnavailable."""
    if hashlib.sha256(table).hexdigest() != generation.sha256:
        raise EngineUnavailable(f"{generation.file} differs from what its manifest says")
    return table

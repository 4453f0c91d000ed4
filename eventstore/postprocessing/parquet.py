"""The table of one window as Parquet: window_start, window_s, endpoint, name, events."""

import io
from collections import Counter

from arro3.core import Array, DataType, Field, Schema, Table
from arro3.io import read_parquet, write_parquet

from eventstore.event import CountKey

SCHEMA = Schema(
    [
        Field("window_start", DataType.timestamp("ms", tz="UTC"), nullable=False),
        Field("window_s", DataType.int32(), nullable=False),
        Field("endpoint", DataType.string(), nullable=False),
        Field("name", DataType.string(), nullable=False),
        Field("events", DataType.int64(), nullable=False),
    ]
)


def encode(counts: Counter[CountKey], window_s: int) -> bytes:
    """One row for each endpoint and name, sorted."""
    rows = sorted(counts.items())
    columns = [
        Array([key.window_start_s * 1000 for key, _ in rows], type=DataType.int64()).cast(
            DataType.timestamp("ms", tz="UTC")
        ),
        Array([window_s] * len(rows), type=DataType.int32()),
        Array([key.endpoint for key, _ in rows], type=DataType.string()),
        Array([key.name for key, _ in rows], type=DataType.string()),
        Array([count for _, count in rows], type=DataType.int64()),
    ]
    file = io.BytesIO()
    write_parquet(Table.from_arrays(columns, schema=SCHEMA), file, compression="zstd(3)")
    return file.getvalue()


def decode(table: bytes) -> Counter[CountKey]:
    """The counts again."""
    counts: Counter[CountKey] = Counter()
    for batch in read_parquet(io.BytesIO(table)):
        starts = batch["window_start"].cast(DataType.int64()).to_pylist()
        columns = (batch[name].to_pylist() for name in ("endpoint", "name", "events"))
        for start_ms, endpoint, name, events in zip(starts, *columns, strict=True):
            counts[CountKey(start_ms // 1000, endpoint, name)] += events
    return counts

"""The sidecar: what enrichment found out, column by column, beside the untouched payload.

One zstd frame; docs/wire-format.md has it to the byte.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import zstandard

from eventstore.columnar import Coded, Codes
from eventstore.processing.columns import Column, Hashes

MAGIC = b"EVSC"
PREFIX = struct.Struct("<4sI")
ZSTD_LEVEL = 1
HASHES = "hashes"
BYTES_MAX = 64 << 20


def encode(columns: Mapping[str, Column]) -> bytes:
    """The same input gives the same bytes."""
    described: list[dict[str, Any]] = []
    arrays: list[bytes] = []
    places: dict[int, int] = {}  # columns that come from one source share their codes
    for name, column in columns.items():
        if isinstance(column, Coded):
            if id(column.codes) not in places:
                places[id(column.codes)] = len(arrays)
                arrays.append(_narrow(column.codes, len(column.values)))
            described.append(
                {"name": name, "array": places[id(column.codes)], "values": column.values}
            )
        elif isinstance(column, Hashes):
            described.append({"name": name, "array": len(arrays), "kind": HASHES})
            arrays.append(column.numbers.tobytes())
        else:
            described.append({"name": name, "array": len(arrays)})
            steps = column.copy()
            steps[1:] -= column[:-1]
            arrays.append(steps.tobytes())
    header = orjson.dumps({"columns": described, "bytes": [len(array) for array in arrays]})
    whole = b"".join([PREFIX.pack(MAGIC, len(header)), header, *arrays])
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(whole)


def decode(data: bytes) -> dict[str, list[Any]]:
    """Column name → a value for each event."""
    whole = zstandard.ZstdDecompressor().decompress(data, max_output_size=BYTES_MAX)
    if whole[:1] == b"{":
        return _version_1(orjson.loads(whole))
    _, size = PREFIX.unpack_from(whole)
    start = PREFIX.size + size
    header = orjson.loads(whole[PREFIX.size : start])
    arrays = []
    for length in header["bytes"]:
        arrays.append(whole[start : start + length])
        start += length
    return {one["name"]: _values(one, arrays[one["array"]]) for one in header["columns"]}


def _values(described: Mapping[str, Any], array: bytes) -> list[Any]:
    if described.get("kind") == HASHES:
        return Hashes(np.frombuffer(array, dtype="<u8")).texts()
    if "values" not in described:
        numbers: list[int] = np.cumsum(np.frombuffer(array, dtype="<i8")).tolist()
        return numbers
    values = described["values"]
    return [values[code] for code in np.frombuffer(array, dtype=_kind(len(values))).tolist()]


def _version_1(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"time_ms": document["time_ms"]}
    for name, column in document.items():
        if isinstance(column, dict):
            columns[name] = [column["values"][n] for n in column["index"]]
    return columns


def _narrow(codes: Codes, values: int) -> bytes:
    return codes.astype(_kind(values)).tobytes()


def _kind(values: int) -> str:
    """Codes are as narrow as the number of their values allows."""
    return "<u1" if values <= 1 << 8 else "<u2" if values <= 1 << 16 else "<u4"

"""The sidecar: what enrichment found out, column by column, beside the untouched payload.

One zstd frame; docs/wire-format.md has it to the byte.
"""

import struct
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import orjson
import zstandard

from eventstore.columnar import Coded, Codes, coded
from eventstore.processing.columns import Column, Hashes

MAGIC = b"EVSC"
PREFIX = struct.Struct("<4sI")
ZSTD_LEVEL = 1
HASHES = "hashes"
COUNTED = ("time_ms", "name")  # decide what an event counts as
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
    return {name: _values(column) for name, column in _columns(data).items()}


def blanked(data: bytes, chosen: Collection[int]) -> bytes:
    """Of the chosen events only what they count as is left."""
    places = list(chosen)
    columns = _columns(data)
    for name, column in columns.items():
        if name in COUNTED:
            continue
        if isinstance(column, Coded):
            texts = column.texts()
            for place in places:
                texts[place] = ""
            columns[name] = coded(texts)  # with no value that none of the others has
        elif isinstance(column, Hashes):
            numbers = column.numbers.copy()
            numbers[places] = 0
            columns[name] = Hashes(numbers)
        else:
            numbers_left = column.copy()
            numbers_left[places] = 0
            columns[name] = numbers_left
    return encode(columns)


def _columns(data: bytes) -> dict[str, Column]:
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
    return {one["name"]: _column(one, arrays[one["array"]]) for one in header["columns"]}


def _column(described: Mapping[str, Any], array: bytes) -> Column:
    if described.get("kind") == HASHES:
        return Hashes(np.frombuffer(array, dtype="<u8"))
    if "values" not in described:
        return np.cumsum(np.frombuffer(array, dtype="<i8"))
    values = described["values"]
    return Coded(values, np.frombuffer(array, dtype=_kind(len(values))).astype(np.uint32))


def _version_1(document: Mapping[str, Any]) -> dict[str, Column]:
    columns: dict[str, Column] = {"time_ms": np.array(document["time_ms"], dtype=np.int64)}
    for name, column in document.items():
        if isinstance(column, dict):
            columns[name] = Coded(column["values"], np.array(column["index"], dtype=np.uint32))
    return columns


def _values(column: Column) -> list[Any]:
    if isinstance(column, Coded | Hashes):
        return column.texts()
    numbers: list[int] = column.tolist()
    return numbers


def _narrow(codes: Codes, values: int) -> bytes:
    return codes.astype(_kind(values)).tobytes()


def _kind(values: int) -> str:
    """Codes are as narrow as the number of their values allows."""
    return "<u1" if values <= 1 << 8 else "<u2" if values <= 1 << 16 else "<u4"

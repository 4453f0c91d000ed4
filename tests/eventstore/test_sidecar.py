"""The sidecar: every version ever written is read, and what goes in comes out."""

import struct
from pathlib import Path

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from eventstore.columnar import Coded, coded
from eventstore.processing import sidecar
from eventstore.processing.columns import paired

FIXTURES = Path(__file__).parent.parent / "fixtures" / "sidecars"
TIMES_MS = [1795530600500, 1795530600400, 1795530661000]
int64s = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50)


def fixture(name: str) -> bytes:
    """As its release wrote it; a new version adds files, and changes none."""
    return (FIXTURES / f"{name}.sidecar").read_bytes()


def test_version_1():
    assert sidecar.decode(fixture("v1")) == {
        "time_ms": TIMES_MS,
        "name": ["click", "view", "click"],
        "browser": ["Chrome 126", "Chrome 126", ""],
    }


def test_version_2():
    assert sidecar.decode(fixture("v2")) == {
        "time_ms": TIMES_MS,
        "name": ["click", "view", "click"],
        "browser": ["Chrome 126", "Chrome 126", ""],
        "os": ["Linux", "Linux", ""],
    }
    wide = sidecar.decode(fixture("v2-wide"))
    assert wide["session"] == [f"s{number}" for number in range(300)]
    assert wide["time_ms"] == [1795530600000 + 1000 * number for number in range(300)]


def test_version_2_is_as_the_document_says():
    """Read by hand, from docs/wire-format.md alone."""
    whole = zstandard.ZstdDecompressor().decompress(fixture("v2"))
    magic, head_bytes = struct.unpack_from("<4sI", whole)
    assert magic == b"EVSC"
    header = orjson.loads(whole[8 : 8 + head_bytes])
    assert header == {
        "columns": [
            {"name": "time_ms", "array": 0},
            {"name": "name", "array": 1, "values": ["click", "view"]},
            {"name": "browser", "array": 2, "values": ["Chrome 126", ""]},
            {"name": "os", "array": 2, "values": ["Linux", ""]},
        ],
        "bytes": [24, 3, 3],
    }
    arrays = whole[8 + head_bytes :]
    assert struct.unpack("<3q", arrays[:24]) == (TIMES_MS[0], -100, 60_600)
    assert (arrays[24:27], arrays[27:]) == (b"\0\1\0", b"\0\0\1")


@given(int64s, st.data())
def test_round_trip(numbers: list[int], data: st.DataObject):
    texts = data.draw(st.lists(st.text(max_size=9), min_size=len(numbers), max_size=len(numbers)))
    columns = {"n": np.array(numbers, dtype=np.int64), "t": coded(texts)}
    written = sidecar.encode(columns)
    assert written == sidecar.encode(columns)
    assert sidecar.decode(written) == {"n": numbers, "t": texts}


@pytest.mark.parametrize("distinct", [1, 256, 257, 65_536, 65_537])
def test_codes_are_as_wide_as_they_must(distinct: int):
    texts = [str(number) for number in range(distinct)]
    assert sidecar.decode(sidecar.encode({"t": coded(texts)})) == {"t": texts}


texts = st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=40)


@given(texts, st.data())
def test_columns_are_merged_and_paired_event_by_event(ones: list[str], data: st.DataObject):
    size = len(ones)
    others = data.draw(st.lists(st.sampled_from(["x", "y"]), min_size=size, max_size=size))
    one, other = coded(ones), coded(others)
    merged = one.merged([value.replace("b", "a") for value in one.values])
    assert merged.texts() == [text.replace("b", "a") for text in ones]
    assert len(set(merged.values)) == len(merged.values)
    pairs, codes = paired(one, other)
    assert [pairs[code] for code in codes.tolist()] == list(zip(ones, others, strict=True))
    assert Coded(one.values, one.codes).mapped(str.upper).texts() == [text.upper() for text in ones]

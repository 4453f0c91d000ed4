"""Top-level fields of many JSON objects, column by column: no Python object for any of them.

Only where every field is a text or missing, which is all that most clients send. What is JSON it
reads as json_fields does. It doesn't find out whether something is: collectors have done that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import nanoarrow
import numpy as np
import orjson
from arro3.core import DataType, Field, Schema, Table
from arro3.io import read_json

from eventstore.columnar import Coded, Texts
from eventstore.event import FIELDS
from eventstore.formats.format import Run
from eventstore.times import Int64s, times_in

VALID, PLACES, DATA = range(3)  # the buffers of an Arrow array of texts
CODES = PLACES
CODED = DataType.dictionary(DataType.uint32(), DataType.string())
ROWS_AT_ONCE = 2048  # of more its reader would hold some MiB that it works in
TEXT_OR_NOTHING = {str, type(None)}


@dataclass(frozen=True)
class JsonColumns:
    """batch: an Arrow record batch. names: those of event.FIELDS → its columns'."""

    batch: Any
    names: Mapping[str, str]

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def texts(self, name: str) -> Texts:
        return _texts(self._arrays[self.names[name]])

    def pieces(self, name: str) -> list[bytes]:
        return self.texts(name).pieces()

    def coded(self, name: str) -> Coded:
        own_name = self.names[name]
        if self._arrays[own_name].null_count == len(self):  # what none of the events has
            return Coded([""], np.zeros(len(self), dtype=np.uint32))
        array = nanoarrow.c_array(self.batch.column(own_name).cast(CODED)).view()
        values, codes = _texts(array.dictionary).texts(), np.asarray(array.buffer(CODES))
        if array.null_count:
            if "" not in values:
                values.append("")
            bits = np.asarray(array.buffer(VALID)).view(np.uint8)
            valid = np.unpackbits(bits, count=len(self), bitorder="little")
            codes = np.where(valid, codes, np.uint32(values.index("")))
        return Coded(values, codes)

    def stated_times(self) -> Int64s:
        return times_in(self.texts("time"))

    def agos(self) -> None:
        return None

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """The columns as nanoarrow shows them, all by one call."""
        view = nanoarrow.c_array(self.batch).view()
        return dict(zip(self.batch.column_names, view.children, strict=True))


def read(run: Run) -> JsonColumns | None:
    """Events divided by newlines. None: another value than a text is among them."""
    names = {**FIELDS, **run.names}
    schema = _schema(frozenset(names.values()))
    try:
        first = orjson.loads(run.block[: run.block.index(b"\n")])
        if not {type(first.get(name)) for name in names.values()} <= TEXT_OR_NOTHING:
            return None  # found out before all of them are read
        batches = list(read_json(run.block, schema, batch_size=ROWS_AT_ONCE))
        (batch,) = Table.from_batches(batches).combine_chunks().to_batches()
    except Exception:  # noqa: BLE001 - Arrow's Python library raises nothing more precise
        return None
    return JsonColumns(batch, names) if batch.num_rows == run.count else None


@lru_cache(maxsize=256)
def _schema(names: frozenset[str]) -> Schema:
    return Schema([Field(name, DataType.string(), nullable=True) for name in sorted(names)])


def _texts(array: Any) -> Texts:
    places = np.asarray(array.buffer(PLACES)).astype(np.int64)
    return Texts(bytes(array.buffer(DATA)), places[:-1], places[1:])

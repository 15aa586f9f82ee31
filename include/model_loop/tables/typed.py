"""Typed files: Parquet, and Arrow's own format as a file or as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from model_loop.tables.delimited import require_names
from model_loop.tables.refused import TableFileError
from model_loop.tables.row_blocks import RowBlock

_BATCH_ROWS = 2**17


def read_blocks(
    file: IO[bytes], kind: Literal["parquet", "arrow"], origin: str
) -> Iterator[RowBlock]:
    """Yield the rows of a typed file, batch by batch.

    Raises
    ------
    TableFileError
        If it is damaged, or names a column twice.
    """
    rows = 0
    try:
        for batch in _batches(file, kind):
            require_names(batch.schema.names, origin)
            yield RowBlock(
                {name: _plain(batch.column(name)) for name in batch.schema.names},
                np.arange(rows, rows + batch.num_rows, dtype=np.int64) + 1,
                {},
            )
            rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise TableFileError(
            "damaged", origin, f"is damaged, or was cut off ({error})", "Fetch or write it again."
        ) from error


def _batches(file: IO[bytes], kind: str) -> Iterator[pa.RecordBatch]:
    if kind == "parquet":
        yield from pq.ParquetFile(file).iter_batches(_BATCH_ROWS)
        return
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if is_file:
        with pyarrow.ipc.open_file(file) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
        return
    with contextlib.closing(pyarrow.ipc.open_stream(file)) as stream:
        yield from stream


def _plain(column: pa.Array) -> pa.Array:
    """Return a column without codes and views: the same values in the type that they are of."""
    if pa.types.is_dictionary(column.type):
        return _plain(column.dictionary_decode())
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return column
    return column

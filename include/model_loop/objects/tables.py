"""Bounds of tables that are read; see `limits`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from model_loop.errors import StoredObjectError
from model_loop.objects.limits import refuse

#: Values of a table: so many, and so many besides for each byte of its file.
_VALUES, _VALUES_OF_A_BYTE = 2**26, 50
_COMPRESSIONS = ("SNAPPY", "UNCOMPRESSED")


def bounded_table(data: bytes, name: str) -> pa.Table:
    """Read Parquet into a table of pyarrow's that is not much larger than the file.

    A file holds repeated values once, however often they are there.

    Parameters
    ----------
    name
        Name in errors.

    Raises
    ------
    StoredObjectError
        If it would be larger, or is compressed or nested in a way that is not written here.
    """
    most = _VALUES + _VALUES_OF_A_BYTE * len(data)
    try:
        about, schema = (
            pq.read_metadata(pa.BufferReader(data)),
            pq.read_schema(pa.BufferReader(data)),
        )
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
        if any(chunk.compression not in _COMPRESSIONS for chunk in chunks):
            refuse(name, "columns that are compressed in another way than by Snappy")
        rows = max(about.num_rows, sum(group.num_rows for group in groups))
        width = sum(_words(column.type) for column in schema)
        if max(rows * width, sum(chunk.num_values for chunk in chunks)) > most:
            refuse(name, "far more values than bytes")
        # Texts that are there more than once come as their numbers.
        texts = [column.name for column in schema if _is_text(column.type)]
        table = pq.read_table(pa.BufferReader(data), read_dictionary=texts)
        if sum(_length(table[name]) for name in texts) > 8 * most:
            refuse(name, "texts that are far longer than the file")
        return table.cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise StoredObjectError(name, f"cannot be read ({error})", "Store it anew.") from error


def _is_text(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types here
    return any(is_one(kind) for is_one in (pt.is_string, pt.is_large_string, pt.is_binary))


def _words(kind: Any) -> int:  # noqa: ANN401 - as above
    """Return how many words of eight bytes a value takes at least."""
    try:
        return -(-int(kind.bit_width) // 64)
    except ValueError:
        return 1


def _length(column: Any) -> int:  # noqa: ANN401 - as above
    """Return the length of all texts of a column, each as often as it is there."""
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).cast("int64")
        total += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    return total

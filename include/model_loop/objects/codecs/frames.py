"""DataFrames as Parquet."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from model_loop.errors import StoredObjectError
from model_loop.objects.tables import bounded_table


def encode(frame: pd.DataFrame) -> bytes:
    """Return the bytes of a Parquet file."""
    return to_parquet(frame, {})


def decode(data: bytes) -> pd.DataFrame:
    """Read a Parquet file."""
    return from_parquet(data)[0]


def to_parquet(frame: pd.DataFrame, metadata: dict[bytes, bytes]) -> bytes:
    """Return the bytes of a Parquet file with some metadata.

    Raises
    ------
    StoredObjectError
        If it could not be read back as it is.
    """
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise StoredObjectError(
            "A DataFrame or Series",
            f"cannot be stored as Parquet: {error}",
            "Give every column its own name and values of one type.",
        ) from error
    _refuse_inexact_types(table.schema)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata}), buffer
    )
    # A table that could not be read back is refused by the task that would store it.
    bounded_table(buffer.getvalue(), "A DataFrame or Series")
    return buffer.getvalue()


def _refuse_inexact_types(schema: pa.Schema) -> None:
    """Parquet gives categories back as such only if they are text."""
    text = (pa.string(), pa.large_string())
    for column in schema:
        if pa.types.is_dictionary(column.type) and column.type.value_type not in text:
            raise StoredObjectError(
                f"Column {column.name!r} with categories of type {column.type.value_type}",
                "would not come back as categories",
                "Make its categories text, or store the plain values.",
            )


def from_parquet(data: bytes) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    """Read a Parquet file, with its metadata."""
    table = bounded_table(data, "A stored DataFrame or Series")
    frame = table.to_pandas()
    # pandas 3 reads all text as its own dtype; what was stored as objects stays objects.
    objects = [
        column["name"]
        for column in (table.schema.pandas_metadata or {}).get("columns", ())
        if column["pandas_type"] == "unicode" and column["numpy_type"] == "object"
    ]
    return _as_objects(frame, objects), table.schema.metadata or {}


def _as_objects(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return a frame whose texts are objects, one for all rows that have it; None where missing."""
    for name in names:
        if name in frame.columns:
            codes, texts = pd.factorize(frame[name])
            shared = np.append(texts.to_numpy(dtype=object), [None])[codes]
            frame[name] = pd.Series(shared, index=frame.index, dtype=object)
    return frame

"""Series as Parquet."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from model_loop.errors import StoredObjectError
from model_loop.objects.codecs.frames import from_parquet, to_parquet

_SERIES_NAME = b"model_loop_series_name"
#: Name of the same in files of versions before 0.2.
_FORMER_SERIES_NAME = b"trip_duration_series_name"


def encode(series: pd.Series[Any]) -> bytes:
    """Return the bytes of a Parquet file with one column."""
    if not (series.name is None or type(series.name) in (str, int)):
        raise StoredObjectError(
            f"The name {series.name!r} of a Series",
            "cannot be stored",
            "Name it with text or a whole number, or not at all.",
        )
    name = json.dumps(series.name).encode()
    return to_parquet(series.to_frame("values"), {_SERIES_NAME: name})


def decode(data: bytes) -> pd.Series[Any]:
    """Read a Parquet file with one column."""
    frame, metadata = from_parquet(data)
    return frame["values"].rename(
        json.loads(metadata.get(_SERIES_NAME) or metadata[_FORMER_SERIES_NAME])
    )

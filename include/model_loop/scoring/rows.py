"""Trips as rows of plain numbers: the form in which requests reach the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trip_duration.columns import TRIP_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

#: The columns of a row. Times are seconds since 1970 on the city's clocks; NaN is unknown.
COLUMNS = TRIP_COLUMNS.names
PLACES = TRIP_COLUMNS.places

#: Columns of codes, and of times.
_CODES = {column.name for column in TRIP_COLUMNS.by_kind("category")}
_TIMES = {column.name for column in TRIP_COLUMNS.by_kind("time")}

Rows = npt.NDArray[np.float64]
"""Trips, shape (trips, len(COLUMNS))."""


def from_frame(trips: pd.DataFrame, columns: Sequence[str]) -> Rows:
    """Rows of the given raw columns of trips.

    Raises
    ------
    ContractError
        If a column is missing.
    """
    from model_loop.training_set.encoders.columns import (  # noqa: PLC0415 - servers read no frames
        as_trained,
    )

    trips = as_trained(trips, columns)
    rows = np.full((len(trips), len(COLUMNS)), np.nan)
    for name in columns:
        values = trips[name].to_numpy()
        if name in _TIMES:
            values = values.astype("datetime64[s]").astype(np.int64)
        rows[:, PLACES[name]] = values
    return rows


def to_frame(rows: Rows, columns: Sequence[str]) -> pd.DataFrame:
    """The given raw columns of rows, with the types that models learn from."""
    import pandas as pd  # noqa: PLC0415 - as above

    frame = {}
    for name in columns:
        values: npt.NDArray[np.generic] = rows[:, PLACES[name]]
        if name in _CODES:
            values = values.astype(np.int32)
        elif name in _TIMES:
            values = values.astype(np.int64).astype("datetime64[s]").astype("datetime64[us]")
        frame[name] = values
    return pd.DataFrame(frame)

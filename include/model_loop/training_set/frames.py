"""Frames of declared tables as models take them: numbers and texts, without types of pandas' own.

Numbers and yes/no are float64 with NaN for a missing value; times are seconds since 1970 on the
clocks of the table, as rows of requests have them; categories are texts, and NaN where missing.
Encoders made of scikit-learn's parts alone read such frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Columns

_MICROSECONDS = 1e6


def model_frame(columns: Columns, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as models take them; columns that are no feature stay as they are.

    A frame that is so already is returned with the same values.
    """
    changed = {
        column.name: _as_category(rows[column.name])
        if column.kind == "category"
        else as_numbers(rows[column.name])
        for column in columns
        if column.name in rows
    }
    return rows.assign(**changed)


def clock_times(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the times of a column of a frame, datetime64[us] of shape (rows,), NaT where missing.

    Parameters
    ----------
    values
        Times, or seconds since 1970 on the clocks of the table.
    """
    if values.dtype.kind == "M":
        return values
    seconds = values.to_numpy(dtype=np.float64)
    missing = np.isnan(seconds)
    micros = (np.where(missing, 0.0, seconds) * _MICROSECONDS).astype(np.int64)
    times = micros.astype("datetime64[us]")
    times[missing] = np.datetime64("NaT")
    return pd.Series(times, index=values.index)


def as_numbers(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return numbers as they are, and times as seconds since 1970, NaN where missing."""
    if values.dtype.kind == "M":
        times = values.to_numpy().astype("datetime64[us]")
        seconds = times.astype(np.int64) / _MICROSECONDS
        return np.where(np.isnat(times), np.nan, seconds)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _as_category(values: pd.Series[Any]) -> pd.Series[Any] | npt.NDArray[np.object_]:
    missing = values.isna().to_numpy(dtype=bool)
    if values.dtype == pd.StringDtype(na_value=np.nan) and not missing.all():
        # Texts in the type of pandas: as objects, each would take eight times the memory on the
        # way.
        return values
    if values.dtype.kind in "iuf":
        # Codes that came as numbers are the texts that files have: 74, not 74.0.
        texts = [f"{value:.0f}" if float(value).is_integer() else str(value) for value in values]
        found = np.array(texts, dtype=object)
    else:
        found = values.astype(object).to_numpy(copy=True)
    found[missing] = np.nan
    return found

"""Rows of a table as plain values: the form in which requests reach the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model_loop.errors import ContractError

if TYPE_CHECKING:
    import pandas as pd

    from model_loop.datasets.dataset import Dataset

Rows = npt.NDArray[Any]
"""Values of rows, shape (rows, columns of the table): float64, or objects where there are texts.

Times are seconds since 1970 on the clocks of the table, and NaN is unknown.
"""

_MICROSECONDS = 1e6


def as_rows(dataset: Dataset, cells: Sequence[Sequence[Any]]) -> Rows:
    """Return the cells of rows as one array."""
    rows = np.array(cells, dtype=object if dataset.columns.texts else np.float64)
    return rows.reshape(len(cells), len(dataset.columns))


def from_frame(dataset: Dataset, frame: pd.DataFrame, columns: Sequence[str]) -> Rows:
    """Return rows of the given raw columns.

    Raises
    ------
    ContractError
        If a column is missing that a model cannot do without.
    """
    if (as_trained := dataset.extensions.load("as_trained")) is not None:
        frame = as_trained(frame, columns)
    if missing := [
        name for name in columns if name not in frame and name in dataset.columns.required
    ]:
        raise ContractError(
            f"Rows with the columns {list(frame.columns)}",
            f"lack {', '.join(missing)}",
            f"Give every raw column of the model: {', '.join(columns)}.",
        )
    kind = object if dataset.columns.texts else np.float64
    rows = np.full((len(frame), len(dataset.columns)), np.nan, dtype=kind)
    for name in columns:
        if name in frame:
            place = dataset.columns.places[name]
            rows[:, place] = _plain(frame[name], is_text=name in dataset.columns.texts)
    return rows


def _plain(values: pd.Series[Any], *, is_text: bool) -> npt.NDArray[Any]:
    if is_text:
        texts = values.astype(object).to_numpy(copy=True)
        texts[values.isna().to_numpy(dtype=bool)] = np.nan
        return texts
    if values.dtype.kind == "M":
        times = values.to_numpy().astype("datetime64[us]")
        return np.where(np.isnat(times), np.nan, times.astype(np.int64) / _MICROSECONDS)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def to_frame(dataset: Dataset, rows: Rows, columns: Sequence[str]) -> pd.DataFrame:
    """Return the given raw columns of rows, with the types that models learn from.

    Models of declared tables take what rows hold; those of tables in Python take times of pandas'
    own, and codes as whole numbers.
    """
    import pandas as pd  # noqa: PLC0415 - servers need no frames

    frame = {}
    for name in columns:
        place = dataset.columns.places[name]
        values, column = rows[:, place], dataset.columns[place]
        if column.text:
            frame[name] = values
            continue
        values = values.astype(np.float64)
        if dataset.declaration is None and column.kind == "category":
            values = values.astype(np.int32)
        elif dataset.declaration is None and column.kind == "time":
            values = values.astype(np.int64).astype("datetime64[s]").astype("datetime64[us]")
        frame[name] = values
    return pd.DataFrame(frame)


def known_columns(dataset: Dataset, rows: Sequence[Sequence[Any]]) -> set[str]:
    """Return the columns, by names in frames, whose value every row has."""
    return {
        name
        for place, name in enumerate(dataset.columns.names)
        # Only NaN differs from itself.
        if all(cells[place] == cells[place] for cells in rows)
    }

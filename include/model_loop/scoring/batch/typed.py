"""Numbers and times of CSV files, for an operator's own step: the files hold only texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.reading import shown
from model_loop.scoring.batch.rows import RawRows
from model_loop.scoring.columns import read_numbers, read_times

Kind = Literal["number", "time", "text"]

#: Rows at the beginning of a file that say what its columns hold.
SAMPLE_ROWS = 10_000
#: Share of the given cells that makes a column one of numbers, or of times.
_SHARE = 0.9
#: A code such as a postal code, of which a number would lose the beginning.
_CODE = re.compile(r"\s*[+-]?0\d")


def kinds_of(dataset: Dataset, sample: pd.DataFrame) -> dict[str, Kind]:
    """Return what each column holds, as the first rows of a file say.

    The same for every part of the file, so that a step sees one type wherever the file is cut.
    """
    return {str(name): _kind(dataset, sample[name]) for name in sample.columns}


def _kind(dataset: Dataset, column: pd.Series[Any]) -> Kind:
    given = column[column.notna()]
    if given.empty or given.str.match(_CODE).any():
        return "text"
    if read_numbers(given).size * _SHARE <= np.isfinite(read_numbers(given)).sum():
        return "number"
    return "time" if _times(dataset, given).notna().mean() >= _SHARE else "text"


def _times(dataset: Dataset, given: pd.Series[Any]) -> pd.Series[Any]:
    """Return times on the table's clocks, by its own column of times or else in ISO 8601."""
    columns = dataset.columns.by_kind("time")
    if dataset.declaration is None and columns:
        return read_times(dataset, columns[0], given)
    return pd.to_datetime(given, errors="coerce", format="ISO8601").astype("datetime64[us]")


def typed(dataset: Dataset, raw: RawRows, kinds: Mapping[str, Kind]) -> RawRows:
    """Return rows of numbers (float64), of times on the table's clocks (datetime64) and of text.

    A cell that is of another kind than its column rejects its row, and is missing to the step.
    """
    broken, columns = dict(raw.broken), {}
    for name, given in raw.frame.items():
        kind = kinds[str(name)]
        if kind == "text":
            columns[name] = given
            continue
        numbers = kind == "number"
        found = pd.Series(read_numbers(given), given.index) if numbers else _times(dataset, given)
        for row in np.flatnonzero((found.isna() & given.notna()).to_numpy()).tolist():
            rule = f"is not a {kind}, unlike nearly all of its column"
            broken.setdefault(row, f"{name} = {shown(given.iloc[row])} {rule}")
        columns[name] = found
    return RawRows(pd.DataFrame(columns, index=raw.frame.index), raw.lines, broken)

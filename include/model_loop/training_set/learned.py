"""Ranges and categories of the rows that are learned from; see `datasets.learned`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Column
from model_loop.datasets.learned import ColumnRange, LearnedValues
from model_loop.days import SECONDS_PER_DAY

#: A column with more categories names single things: new ones are no news.
MOST_CATEGORIES = 10_000
#: Interquartile ranges beyond the quartiles from which a number is an outlier, and the share of
#: the rows that outliers may be: where there are more, the column has a long tail.
_FAR, _RARE = 10.0, 0.001
#: Below so many rows, the next value is often a little beyond all of them: by up to this share of
#: their range, it is like them.
_FEW_ROWS, _MARGIN = 1_000, 0.1
#: Days before and after the learned times that are as good as within: as many as those times
#: reach over, within these bounds. Whole years repeat, and the next month is what is asked for.
_DAYS = (31.0, 366.0)


def learned_values(columns: Iterable[Column], rows: pd.DataFrame) -> LearnedValues:
    """Describe the columns of rows that are learned from.

    Parameters
    ----------
    rows
        As models take them; see `training_set.frames`.
    """
    return LearnedValues(tuple(_learned(column, rows[column.name]) for column in columns))


def _learned(column: Column, values: pd.Series[Any]) -> ColumnRange:
    known = values.dropna()
    counts = len(known), len(values) - len(known)
    if column.kind == "category":
        texts = known.astype(str).value_counts()
        some = None if len(texts) > MOST_CATEGORIES else tuple(map(str, texts.index))
        return ColumnRange(column.name, *counts, categories=some)
    if known.empty:
        return ColumnRange(column.name, *counts)
    numbers = known.to_numpy(dtype=np.float64)
    inner = _without_outliers(numbers) if column.kind == "number" else numbers
    first, last = float(inner.min()), float(inner.max())
    margin = _margin(column, len(numbers), last - first)
    return ColumnRange(
        column.name,
        *counts,
        first=first,
        last=last,
        lowest=first - margin,
        highest=last + margin,
        outliers=len(numbers) - len(inner),
    )


def _without_outliers(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Leave out a few numbers that are far from all others: a slip of then hides none of now."""
    low, high = np.quantile(numbers, (0.25, 0.75))
    far = _FAR * (high - low)
    inner = numbers[(numbers >= low - far) & (numbers <= high + far)]
    return inner if len(numbers) - len(inner) <= max(1.0, _RARE * len(numbers)) else numbers


def _margin(column: Column, rows: int, reach: float) -> float:
    if column.kind == "time":
        least, most = (days * SECONDS_PER_DAY for days in _DAYS)
        return min(max(reach, least), most)
    return _MARGIN * reach if column.kind == "number" and rows < _FEW_ROWS else 0.0

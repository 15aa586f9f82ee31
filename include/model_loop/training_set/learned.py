"""Ranges and categories of the rows that are learned from; see `datasets.learned`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Column, Columns
from model_loop.datasets.learned import ColumnRange, LearnedValues
from model_loop.days import SECONDS_PER_DAY
from model_loop.training_set.frames import as_numbers

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


def learned_values(
    columns: Columns, names: Iterable[str], parts: Sequence[pd.DataFrame]
) -> LearnedValues:
    """Describe the columns of rows that are learned from.

    Parameters
    ----------
    names
        Names of the columns in frames.
    parts
        The rows, as models take them; see `training_set.frames`.
    """
    # Column by column: all columns at once would take the memory of the rows a second time.
    return LearnedValues(
        tuple(
            _learned(columns[columns.places[name]], [part[name] for part in parts])
            for name in names
        )
    )


def _learned(column: Column, parts: Sequence[pd.Series[Any]]) -> ColumnRange:
    if column.kind == "category":
        values = pd.concat(parts, ignore_index=True)
        # Texts of the few categories, not of all rows.
        found = values.value_counts()
        counts = int(found.sum()), len(values) - int(found.sum())
        some = None if len(found) > MOST_CATEGORIES else tuple(map(str, found.index))
        return ColumnRange(column.name, *counts, categories=some)
    numbers = np.concatenate([as_numbers(part) for part in parts])
    # Sorting all numbers takes a quarter of the time that np.quantile takes to partition them.
    numbers.sort()
    # Missing values come last.
    given = int(np.searchsorted(numbers, np.nan))
    counts = given, len(numbers) - given
    if not given:
        return ColumnRange(column.name, *counts)
    numbers = numbers[:given]
    inner = _without_outliers(numbers) if column.kind == "number" else numbers
    first, last = float(inner[0]), float(inner[-1])
    margin = _margin(column, given, last - first)
    return ColumnRange(
        column.name,
        *counts,
        first=first,
        last=last,
        lowest=first - margin,
        highest=last + margin,
        outliers=given - len(inner),
    )


def _without_outliers(ordered: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Leave out a few numbers that are far from all others: a slip of then hides none of now."""
    low, high = (_quantile(ordered, share) for share in (0.25, 0.75))
    far = _FAR * (high - low)
    first, end = ordered.searchsorted(low - far), ordered.searchsorted(high + far, side="right")
    few = len(ordered) - (end - first) <= max(1.0, _RARE * len(ordered))
    return ordered[first:end] if few else ordered


def _quantile(ordered: npt.NDArray[np.float64], share: float) -> float:
    """Compute a quantile of numbers in order, to the bit as np.quantile."""
    place = share * (len(ordered) - 1)
    lower = int(place)
    return float(np.quantile(ordered[lower : lower + 2], place - lower))


def _margin(column: Column, rows: int, reach: float) -> float:
    if column.kind == "time":
        least, most = (days * SECONDS_PER_DAY for days in _DAYS)
        return min(max(reach, least), most)
    return _MARGIN * reach if column.kind == "number" and rows < _FEW_ROWS else 0.0

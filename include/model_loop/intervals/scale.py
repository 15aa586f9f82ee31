"""Expected sizes of errors, by what is known of a row: factors in tables, as plain data.

Among rows of one prediction and one hour, some are harder than others: a rare place, a long way.
The expected size of a score is a product of factors: of the prediction, of hour and weekday, of
columns of the row, and of a few pairs of these. A row takes a look-up for each of them, so that
there is no second model to compile and to verify. `scaling` learns them.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from model_loop.days import (
    DAYS_PER_WEEK,
    HOURS_PER_DAY,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    days_of,
    weekday_of,
)
from model_loop.intervals.scores import Numbers

if TYPE_CHECKING:
    import pandas as pd

Feature = Literal["prediction", "hour", "weekday", "number", "category"]
Codes = npt.NDArray[np.int64]

#: Factors are stored as thousandths of their logarithms.
THOUSAND = 1_000
#: Bound of the logarithm of a size around the mean one, to both sides.
MOST = 4.0


@dataclass(frozen=True)
class ScaleBins:
    """Bins of one feature of a row; a missing value, and an unknown category, is in the last one.

    Parameters
    ----------
    feature
        The prediction, hour or weekday of the time of a row, or the type of a column.
    column
        Name of the column; empty of the other features.
    edges
        Of a prediction and of a number: values at which the second bin and those after it begin.
    values
        Of a category: the values that have a bin of their own.
    """

    feature: Feature
    column: str = ""
    edges: tuple[float, ...] = ()
    values: tuple[str | float, ...] = ()

    @property
    def other(self) -> int:
        """Number of the last bin."""
        if self.feature == "hour":
            return HOURS_PER_DAY
        if self.feature == "weekday":
            return DAYS_PER_WEEK
        return len(self.values) if self.feature == "category" else len(self.edges) + 1

    @functools.cached_property
    def places(self) -> dict[str | float, int]:
        """Bins by the values of a category."""
        return {value: place for place, value in enumerate(self.values)}

    def codes(self, predictions: Numbers, times: Numbers | None, rows: pd.DataFrame) -> Codes:
        """Return the bin of each row, shape (rows,); see `ErrorScale.sizes`."""
        if self.feature == "category":
            code, found = rows[self.column].factorize()
            bins = [self.places.get(value, self.other) for value in found]
            codes: Codes = np.array([*bins, self.other])[code]
            return codes
        if self.feature == "prediction":
            numbers = predictions
        elif self.feature == "number":
            numbers = rows[self.column].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            numbers = np.full(len(predictions), np.nan) if times is None else times
        codes, there = np.full(len(numbers), self.other), ~np.isnan(numbers)
        codes[there] = self._codes(numbers[there])
        return codes

    def _codes(self, numbers: Numbers) -> Codes:
        if self.feature == "hour":
            hours: Codes = (numbers // SECONDS_PER_HOUR).astype(np.int64)
            return hours % HOURS_PER_DAY
        if self.feature == "weekday":
            return weekday_of(days_of(numbers))
        return np.asarray(np.searchsorted(np.array(self.edges), numbers, side="right"))


@dataclass(frozen=True)
class ScaleFactors:
    """Factors of the size by one feature, or by two together.

    Parameters
    ----------
    first, second
        Places of their bins in the scale; no second one is -1.
    logarithms
        Logarithms of the factors in thousandths: for each bin of the first feature, those of the
        bins of the second.
    """

    first: int
    second: int
    logarithms: tuple[int, ...]


@dataclass(frozen=True)
class ErrorScale:
    """Product of factors that is the expected size of a score.

    Parameters
    ----------
    mean
        Logarithm of the size that the factors are around.
    bins
        Bins of the features.
    factors
        Factors by feature.
    """

    mean: float
    bins: tuple[ScaleBins, ...]
    factors: tuple[ScaleFactors, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features and columns that have a factor."""
        used = {place for each in self.factors for place in (each.first, each.second)}
        return tuple(
            bins.column or bins.feature for place, bins in enumerate(self.bins) if place in used
        )

    def sizes(self, predictions: Numbers, times: Numbers | None, rows: pd.DataFrame) -> Numbers:
        """Return the expected size of the score of each row, shape (rows,).

        Parameters
        ----------
        times
            Seconds since 1970 on the clocks of the table, NaN where missing.
        rows
            Raw columns of the rows.
        """
        codes = [bins.codes(predictions, times, rows) for bins in self.bins]
        total = np.zeros(len(predictions))
        for factors in self.factors:
            code = codes[factors.first]
            if factors.second >= 0:
                code = code * (self.bins[factors.second].other + 1) + codes[factors.second]
            total += np.array(factors.logarithms)[code] / THOUSAND
        sizes: Numbers = np.exp(self.mean + np.clip(total, -MOST, MOST))
        return sizes

    def of_row(self, places: Mapping[str, int]) -> RowScale:
        """Return what answers one row without NumPy; it is made once for each table.

        Parameters
        ----------
        places
            Places of the columns in the cells of a row.
        """
        key = tuple(places.get(bins.column, -1) for bins in self.bins)
        found = self._of_rows.get(key)
        if found is None:
            found = self._of_rows[key] = RowScale(self, key)
        return found

    @functools.cached_property
    def _of_rows(self) -> dict[tuple[int, ...], RowScale]:
        return {}


class RowScale:
    """Expected size of the score of one row.

    Parameters
    ----------
    scale
        The scale.
    places
        Places in the cells of a row, one for each of its bins.
    """

    def __init__(self, scale: ErrorScale, places: Sequence[int]) -> None:
        self._mean = scale.mean
        self._bins = [
            (bins.feature, place, bins.edges, bins.places, bins.other)
            for bins, place in zip(scale.bins, places, strict=True)
        ]
        self._factors = [
            (
                each.first,
                each.second,
                scale.bins[each.second].other + 1,
                tuple(value / THOUSAND for value in each.logarithms),
            )
            for each in scale.factors
        ]

    def size(self, prediction: float, time: float, cells: Sequence[Any]) -> float:
        """Return the size.

        Parameters
        ----------
        time
            Seconds since 1970 on the clocks of the table, NaN if it is missing.
        cells
            Values of the row.
        """
        codes = []
        for feature, place, edges, values, other in self._bins:
            if feature == "category":
                codes.append(values.get(cells[place], other))
                continue
            if feature == "number":
                value = cells[place]
            else:
                value = prediction if feature == "prediction" else time
            # Only NaN differs from itself.
            if value != value:  # noqa: PLR0124 - as above
                codes.append(other)
            elif feature == "hour":
                codes.append(int(value // SECONDS_PER_HOUR) % HOURS_PER_DAY)
            elif feature == "weekday":
                codes.append(weekday_of(int(value // SECONDS_PER_DAY)))
            else:
                codes.append(bisect_right(edges, value))
        total = 0.0
        for first, second, several, logarithms in self._factors:
            code = codes[first] if second < 0 else codes[first] * several + codes[second]
            total += logarithms[code]
        return math.exp(self._mean + min(max(total, -MOST), MOST))

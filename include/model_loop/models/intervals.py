"""Compute how far off predictions are, with the intervals in which the errors of more days lie.

Rows of a day are not independent: rain, or a holiday, moves all of them. On published months of
data the mean error of a day varies by four to six times what independent rows would make it vary
by. So days are the sample, and rows only say how well each day is known.

Everything comes from five sums a day, so that a database or a stream of batches can add them up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

#: Default confidence of the intervals.
CONFIDENCE = 0.95
#: From so many days on, a window tells by itself how much days differ.
WEEK = 7

#: Correlation of the errors of two days that follow each other, at least. Measured on published
#: months: 0 to 0.37 (benchmarks/monitoring.py). A month is too short to tell it from none.
_LEAST_CORRELATION = 0.2
_MOST_CORRELATION = 0.8
#: Standard deviation between days where none was measured, in parts of the mean absolute or mean
#: squared error; the largest of published months was 0.22 (errors), 0.07 and 0.16.
_ASSUMED = (0.25, 0.1, 0.2)
#: Degrees of freedom of a variance between days that was measured in another month, at most: those
#: of three published months differ as if each came from so many days (0.13, 0.18 and 0.32).
_DAYS = 10

Interval = tuple[float, float]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ErrorSums:
    """Sums over rows, of errors (predicted less actual) in the unit of the target.

    Parameters
    ----------
    rows
        Number of rows.
    errors, absolute, squared, fourth
        Sums of the errors, of their absolute values, and of their second and fourth powers.
    """

    rows: int = 0
    errors: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    fourth: float = 0.0

    @classmethod
    def of(cls, errors: Floats) -> ErrorSums:
        """Add up errors of shape (rows,)."""
        squared = np.square(errors)
        return cls(
            len(errors),
            float(errors.sum()),
            float(np.abs(errors).sum()),
            float(squared.sum()),
            float(np.square(squared).sum()),
        )

    def __add__(self, other: ErrorSums) -> ErrorSums:
        return ErrorSums(
            self.rows + other.rows,
            self.errors + other.errors,
            self.absolute + other.absolute,
            self.squared + other.squared,
            self.fourth + other.fourth,
        )


#: Sums by day, as days since 1970.
DaySums = Mapping[int, ErrorSums]


def sums_by_day(errors: Floats, days: npt.NDArray[np.int64]) -> dict[int, ErrorSums]:
    """Add up errors of shape (rows,) by the day of each row."""
    order = np.argsort(days, kind="stable")
    found, starts = np.unique(days[order], return_index=True)
    parts = np.split(errors[order], starts[1:])
    return {int(day): ErrorSums.of(part) for day, part in zip(found, parts, strict=True)}


@dataclass(frozen=True)
class Spread:
    """Variances of one kind of error.

    Parameters
    ----------
    within
        Variance between rows of the same day.
    between
        Variance between days, beyond the share of their rows.
    correlation
        Correlation of consecutive days.
    """

    within: float
    between: float
    correlation: float


@dataclass(frozen=True)
class DaySpread:
    """Variation of errors between days, in the partitions that a version was tested on.

    Parameters
    ----------
    days, rows
        Numbers of days and rows.
    bias
        Mean error there, in the unit of the target.
    errors, absolute, squared
        Variances of each kind of error.
    """

    days: int
    rows: int
    bias: float
    errors: Spread
    absolute: Spread
    squared: Spread

    @classmethod
    def of(cls, sums: DaySums) -> DaySpread | None:
        """Measure it; None of less than two weeks, which say too little."""
        if len(sums) < 2 * WEEK:
            return None
        kinds = _Kinds.of(sums)
        spreads = (_spread(kinds, number) for number in range(3))
        return cls(len(sums), int(kinds.rows.sum()), kinds.mean(0), *spreads)

    @property
    def spreads(self) -> tuple[Spread, Spread, Spread]:
        """Return the spread of each kind of error."""
        return self.errors, self.absolute, self.squared


@dataclass(frozen=True)
class MeasuredErrors:
    """Errors with their intervals.

    Parameters
    ----------
    rows
        Number of rows.
    bias, mae, rmse
        Mean error (predicted less actual), mean absolute error and root mean squared error, in
        the unit of the target.
    bias_interval, mae_interval, rmse_interval
        Intervals with the given confidence; None below two rows. None holds a negative error.
    deviation
        Standard deviation of the absolute errors; 0 below two rows.
    days
        Number of days.
    """

    rows: int
    bias: float
    mae: float
    rmse: float
    bias_interval: Interval | None
    mae_interval: Interval | None
    rmse_interval: Interval | None
    deviation: float
    days: int = field(default=0, kw_only=True)


def measured_errors(
    sums: DaySums, spread: DaySpread | None = None, confidence: float = CONFIDENCE
) -> MeasuredErrors:
    """Measure the errors of at least one row, with their intervals.

    Of a week or more, days are the sample: the standard error of a mean over rows is that of a
    ratio of sums of days (cluster-robust; Cameron and Miller, "A practitioner's guide to
    cluster-robust inference", Journal of Human Resources 50, 2015), with Student's t. Of fewer days
    the variance between days is that of the test part; where it was not measured, a large one is
    assumed. Both allow for days that resemble the day before.

    Parameters
    ----------
    sums
        Sums of each day.
    spread
        Variation between days in the test part.
    """
    kinds = _Kinds.of(sums)
    rows = int(kinds.rows.sum())
    bias, mae, mse = (float(total.sum() / rows) for total in kinds.sums)
    if rows < 2:  # noqa: PLR2004 - one row has no spread
        return MeasuredErrors(rows, bias, mae, math.sqrt(mse), None, None, None, 0.0, days=1)
    halves = [_half(kinds, number, spread, confidence) for number in range(3)]
    # An error is never negative, even if a symmetric interval of a few rows is.
    low, high = not_negative(around(mse, halves[2]))
    return MeasuredErrors(
        rows=rows,
        bias=bias,
        mae=mae,
        rmse=math.sqrt(mse),
        bias_interval=around(bias, halves[0]),
        mae_interval=not_negative(around(mae, halves[1])),
        rmse_interval=(math.sqrt(low), math.sqrt(high)),
        deviation=math.sqrt(kinds.within(1)),
        days=len(sums),
    )


def around(value: float, half: float) -> Interval:
    """Return an interval around a value."""
    return (value - half, value + half)


def not_negative(interval: Interval) -> Interval:
    """Return the part of an interval that is not negative."""
    return (max(interval[0], 0.0), max(interval[1], 0.0))


def quantile(confidence: float, freedom: float) -> float:
    """Return how many standard errors an interval reaches to both sides, by Student's t."""
    from scipy.special import stdtrit  # noqa: PLC0415 - servers need SciPy for errors alone

    return float(stdtrit(freedom, (1 + confidence) / 2))


@dataclass(frozen=True)
class _Kinds:
    """Sums by day as arrays: errors, absolute errors, squared errors."""

    days: npt.NDArray[np.int64]
    rows: Floats
    sums: tuple[Floats, Floats, Floats]
    squares: tuple[float, float, float]

    @classmethod
    def of(cls, sums: DaySums) -> _Kinds:
        days = sorted(sums)
        table = np.array(
            [[sums[d].rows, sums[d].errors, sums[d].absolute, sums[d].squared] for d in days]
        )
        # The squares of errors and of absolute errors are the same; those of squares are fourths.
        squared = float(table[:, 3].sum())
        fourth = sum(one.fourth for one in sums.values())
        return cls(
            np.array(days),
            table[:, 0],
            (table[:, 1], table[:, 2], table[:, 3]),
            (squared, squared, float(fourth)),
        )

    def mean(self, number: int) -> float:
        return float(self.sums[number].sum() / self.rows.sum())

    def within(self, number: int) -> float:
        """Return the variance of rows, as if all were of one day."""
        rows = self.rows.sum()
        left = self.squares[number] - self.sums[number].sum() ** 2 / rows
        return float(max(left, 0.0) / (rows - 1))


def _half(kinds: _Kinds, number: int, known: DaySpread | None, confidence: float) -> float:
    """Return half the width of the interval of a mean over rows."""
    rows, days = kinds.rows.sum(), len(kinds.days)
    independent = kinds.within(number) / rows
    if days >= WEEK:
        correlation = known.spreads[number].correlation if known else _LEAST_CORRELATION
        residuals = kinds.sums[number] - kinds.mean(number) * kinds.rows
        variance = days / (days - 1) * float(np.square(residuals).sum()) / rows**2
        variance *= _inflation(correlation, days)
        freedom = _freedom(days, correlation)
        # Days that differ by less than their rows do so by chance.
        return quantile(confidence, freedom) * math.sqrt(max(variance, independent))
    spread = known.spreads[number] if known else _assumed(kinds, number)
    weights = kinds.rows / rows
    apart = np.abs(kinds.days[:, None] - kinds.days[None, :])
    shared = float(weights @ spread.correlation**apart @ weights)
    freedom = min(_freedom(known.days, spread.correlation) if known else _DAYS, _DAYS)
    return quantile(confidence, freedom) * math.sqrt(independent + spread.between * shared)


def reference_half(known: DaySpread, number: int, confidence: float = CONFIDENCE) -> float:
    """Return half the width of the interval of a mean over the test part itself.

    Parameters
    ----------
    number
        0 of errors, 1 of absolute errors, 2 of squared errors.
    """
    spread = known.spreads[number]
    correlated = _whole(spread.correlation, known.days) * spread.between / known.days
    error = math.sqrt(spread.within / known.rows + correlated)
    return quantile(confidence, _freedom(known.days, spread.correlation)) * error


def _assumed(kinds: _Kinds, number: int) -> Spread:
    mean = kinds.mean(2 if number == 2 else 1)  # noqa: PLR2004 - squared errors
    return Spread(kinds.within(number), (_ASSUMED[number] * mean) ** 2, _LEAST_CORRELATION)


def _whole(correlation: float, days: int) -> float:
    """Return by what a correlation raises the variance of a mean over days (AR(1))."""
    steps = np.arange(1, days)
    return 1 + 2 * float(((1 - steps / days) * correlation**steps).sum())


def _inflation(correlation: float, days: int) -> float:
    """Return the same for a variance that was measured on these days, and so is too small."""
    whole = _whole(correlation, days)
    return whole * (days - 1) / (days - whole)


def _freedom(days: int, correlation: float) -> float:
    """Return the degrees of freedom of a variance over correlated days (Bartlett)."""
    return max(days * (1 - correlation**2) / (1 + correlation**2) - 1, 1.0)


def _spread(kinds: _Kinds, number: int) -> Spread:
    """Estimate variances within and between days (one-way analysis of variance)."""
    rows, days, mean = kinds.rows, len(kinds.days), kinds.mean(number)
    total, means = rows.sum(), kinds.sums[number] / rows
    among = float((rows * np.square(means - mean)).sum())
    all_squares = kinds.within(number) * (total - 1)
    within = max(all_squares - among, 0.0) / max(total - days, 1.0)
    size = (total - np.square(rows).sum() / total) / (days - 1)
    between = max(among / (days - 1) - within, 0.0) / size
    away = means - means.mean()
    follow = np.diff(kinds.days) == 1
    squares = float(np.square(away).sum())
    found = float((away[1:] * away[:-1])[follow].sum()) / squares if squares else 0.0
    # An estimate from so few days is too small (Kendall).
    corrected = found + (1 + 3 * found) / days
    correlation = min(max(corrected, _LEAST_CORRELATION), _MOST_CORRELATION)
    # Correlated days differ less among themselves than they vary.
    between *= (days - 1) / (days - _whole(correlation, days))
    return Spread(float(within), float(between), correlation)

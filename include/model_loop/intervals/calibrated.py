"""Calibrated intervals: limits around predictions by their size and the hour, as plain data.

The fitted intervals are one small document. `Intervals.at` makes its lookup for a level, which
answers a row without NumPy in about a microsecond, and many rows by arrays.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model_loop.days import HOURS_PER_DAY, SECONDS_PER_HOUR
from model_loop.intervals.adaptive import NO_CORRECTION, Correction
from model_loop.intervals.grid import MIDDLE, STEPS, outer_step, tail_of
from model_loop.intervals.scale import ErrorScale
from model_loop.intervals.scores import Numbers, Shape, scores_of

if TYPE_CHECKING:
    import pandas as pd

#: Steps of the tail from which scores beyond the grid go on.
_TEN = 10
_ROUNDING = 1e-9
#: Exponent beyond which a limit is infinite.
_MOST_EXPONENT = 700.0
#: Lookups that are kept.
_MOST_BANDS = 64


@dataclass(frozen=True)
class Exceedance:
    """Probability that a true value lies above a threshold, from both sides.

    Parameters
    ----------
    at_least, at_most
        Bounds of the probability, from 0 to 1. To be on the safe side of a risk, plan with
        `at_most`.
    """

    at_least: float
    at_most: float


@dataclass(frozen=True)
class Intervals:
    """Order statistics of scores by cell: a bin of the prediction, and a group of hours in it.

    Parameters
    ----------
    shape, floor
        Scores, and the least prediction of a ratio; see `scores`.
    edges
        Predictions at which the second bin and those after it begin.
    groups
        Group of each hour of the day, 24 numbers; empty if hours make no difference.
    cells
        Scores at the steps of the grid from *first* on, rising, for each cell, in units of
        ``10**-digits``: the first one, then differences. The cells of a bin are its groups, then
        all of its rows together, for a row without a time.
    digits
        Decimal digits of the scores, rounded away from the middle.
    first
        First step of the grid that so few rows have; no score stands for those before it, so that
        their limit is infinite.
    lowest, highest
        Bounds of a true value, at which limits end; None if there is none.
    part, rows, digest
        Part whose residuals these are, their number, and the digest of the rows.
    days
        Days that they are of, as ISO 8601; empty if there is no time.
    half_life
        Days in which the weight of a row falls by half; None if all weigh the same.
    scale
        Expected sizes of errors, by which scores are divided; None if scores stand as they are.
    """

    shape: Shape
    floor: float | None
    edges: tuple[float, ...]
    groups: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    digits: int
    first: int
    lowest: float | None
    highest: float | None
    part: str
    rows: int
    digest: str
    days: tuple[str, ...] = ()
    half_life: float | None = None
    scale: ErrorScale | None = None

    def at(self, level: float, correction: Correction = NO_CORRECTION) -> Band:
        """Return the lookup of a level; those that were asked before are kept.

        Raises
        ------
        InvalidInputError
            If the level is not from 50 to 99.
        """
        key = (level, correction)
        band = self._bands.get(key)
        if band is None:
            band = self._band(level, correction)
            if len(self._bands) >= _MOST_BANDS:
                # Callers may ask any level.
                self._bands.clear()
            self._bands[key] = band
        return band

    @functools.cached_property
    def _bands(self) -> dict[tuple[float, Correction], Band]:
        return {}

    def _band(self, level: float, correction: Correction) -> Band:
        tail, cells = tail_of(level), range(len(self.cells))
        lower = (self._limit(cell, correction.lower * tail) for cell in cells)
        upper = (self._limit(cell, correction.upper * tail, above=True) for cell in cells)
        bias = correction.bias
        return Band(self, tuple(low + bias for low in lower), tuple(high + bias for high in upper))

    def sizes(
        self, predictions: Numbers, times: Numbers | None, rows: pd.DataFrame
    ) -> Numbers | None:
        """Return the expected sizes of the scores of rows, shape (rows,); None without a scale.

        Parameters
        ----------
        times
            Seconds since 1970 on the clocks of the table, NaN where missing.
        rows
            Raw columns of the rows.
        """
        return None if self.scale is None else self.scale.sizes(predictions, times, rows)

    def exceedance(
        self,
        prediction: float,
        hour: int | None,
        threshold: float,
        bias: float = 0.0,
        size: float = 1.0,
    ) -> Exceedance:
        """Bound the probability that the true value lies above a threshold.

        The size is the expected one of the score; see `sizes`.

        A score below the lower order statistic of step i has at most i / 200 of all below it; one
        that reaches the upper one of step i, at least as many. Between them lies the weight of one
        row, which is at most that of `first` steps.
        """
        values = (np.array([threshold]), np.array([prediction]))
        (score,) = (self.scores(*values, np.array([size])) - bias).tolist()
        steps = self._tables[self.cell(prediction, hour)]
        reached = self.first + bisect_right(steps, score)
        below, above = reached - 1, reached
        # Steps below the middle are lower order statistics, the others upper ones.
        most = below if below >= MIDDLE else below - self.first
        least = above if above < MIDDLE else above + self.first
        if reached == self.first:
            most = 0
        if reached > STEPS - self.first:
            least = STEPS
        return Exceedance(max(1 - least / STEPS, 0.0), min(1 - max(most, 0) / STEPS, 1.0))

    def scores(self, actual: Numbers, predicted: Numbers, sizes: Numbers | None = None) -> Numbers:
        """Return the signed scores of true values, shape (rows,); see `scores.scores_of`.

        Parameters
        ----------
        sizes
            Expected sizes of the scores, by which they are divided; see `sizes`.

        Raises
        ------
        TypeError
            If the intervals have a scale, and no sizes are given.
        """
        self.require_sizes(sizes)
        found = scores_of(actual, predicted, self.shape, self._floor)
        return found if sizes is None else found / sizes

    def require_sizes(self, sizes: Numbers | None) -> None:
        """Refuse to answer without the sizes of errors where limits are given in them.

        Raises
        ------
        TypeError
            If the intervals have a scale, and no sizes are given.
        """
        if self.scale is not None and sizes is None:
            raise TypeError("these limits are multiples of sizes of errors, and none are given")

    def spread(self, level: float) -> float:
        """Return how far apart the limits of a level are at most, in the unit of scores."""
        tail, cells = tail_of(level), range(len(self.cells))
        return max(self._limit(cell, tail, above=True) - self._limit(cell, tail) for cell in cells)

    def cell(self, prediction: float, hour: int | None) -> int:
        """Return the number of the cell of a row."""
        several = self._groups_of_bin
        group = several - 1 if hour is None or not self.groups else self.groups[hour]
        return bisect_right(self.edges, prediction) * several + group

    def cells_of(self, predictions: Numbers, times: Numbers | None) -> npt.NDArray[np.int64]:
        """Return the number of the cell of each row, shape (rows,).

        Parameters
        ----------
        times
            Seconds since 1970 on the clocks of the table, NaN where missing.
        """
        several = self._groups_of_bin
        group = np.full(len(predictions), several - 1)
        if self.groups and times is not None:
            there = np.isfinite(times)
            group[there] = np.array(self.groups)[hours_of(times[there])]
        bins = np.searchsorted(np.array(self.edges), predictions, side="right")
        return np.asarray(bins * several + group)

    @functools.cached_property
    def _groups_of_bin(self) -> int:
        return max(self.groups, default=-1) + 2

    @property
    def _floor(self) -> float:
        return -math.inf if self.floor is None else self.floor

    @functools.cached_property
    def _tables(self) -> tuple[tuple[float, ...], ...]:
        unit = 10.0**self.digits
        return tuple(tuple(value / unit for value in accumulate(cell)) for cell in self.cells)

    def _limit(self, cell: int, tail: float, *, above: bool = False) -> float:
        """Return the score of a cell that leaves a tail; infinite where the rows are too few.

        A tail that is smaller than a step of the grid comes of a correction alone. Its score goes
        on as from a tail of ten steps to that of one, in the logarithm of the tail: the tail of an
        exponential distribution.
        """

        def score(step: int) -> float:
            if step < self.first:
                return math.inf if above else -math.inf
            return self._tables[cell][-1 - step + self.first if above else step - self.first]

        end = score(outer_step(tail))
        beyond = -math.log(tail * STEPS) / math.log(_TEN)
        if beyond <= _ROUNDING or math.isinf(end):
            return end
        return end + beyond * (end - score(_TEN))


class Band:
    """Limits of one level.

    Parameters
    ----------
    intervals
        The intervals that it is of.
    lower, upper
        Scores of the limits of each cell.
    """

    def __init__(
        self, intervals: Intervals, lower: tuple[float, ...], upper: tuple[float, ...]
    ) -> None:
        self._intervals = intervals
        self._ratio = intervals.shape == "log ratio"
        self._sized = intervals.scale is not None
        if self._ratio and not self._sized:
            lower, upper = (tuple(map(_exp, scores)) for scores in (lower, upper))
        self._lower, self._upper = lower, upper
        self._floor = -math.inf if intervals.floor is None else intervals.floor
        # For a positive target, a prediction of zero or less lowers no limit.
        self._least = 0.0 if self._ratio else -math.inf
        self._lowest = -math.inf if intervals.lowest is None else intervals.lowest
        self._highest = math.inf if intervals.highest is None else intervals.highest

    def limits(
        self, prediction: float, hour: int | None = None, size: float = 1.0
    ) -> tuple[float, float]:
        """Return the lower and the upper limit for a row: around its prediction, within the bounds.

        Parameters
        ----------
        hour
            Hour of its time, from 0 to 23, on the clocks of the table.
        size
            Expected size of its score, where the intervals have a scale.
        """
        cell = self._intervals.cell(prediction, hour)
        low, high = self._lower[cell], self._upper[cell]
        if self._sized:
            low, high = size * low, size * high
            if self._ratio:
                low, high = _exp(low), _exp(high)
        if self._ratio:
            base = max(prediction, self._floor)
            low, high = base * low, base * high
        else:
            low, high = prediction + low, prediction + high
        # Scores of a biased model may lie on one side.
        if prediction > self._least:
            low = min(low, prediction)
        high = max(high, prediction)
        return (
            min(max(low, self._lowest), self._highest),
            min(max(high, self._lowest), self._highest),
        )

    def limits_of(
        self, predictions: Numbers, times: Numbers | None = None, sizes: Numbers | None = None
    ) -> tuple[Numbers, Numbers]:
        """Return the lower and the upper limits of rows, each of shape (rows,).

        Parameters
        ----------
        times
            Seconds since 1970 on the clocks of the table, NaN where missing.
        sizes
            Expected sizes of the scores; see `Intervals.sizes`.

        Raises
        ------
        TypeError
            If the intervals have a scale, and no sizes are given.
        """
        self._intervals.require_sizes(sizes)
        cells = self._intervals.cells_of(predictions, times)
        low, high = np.array(self._lower)[cells], np.array(self._upper)[cells]
        if sizes is not None:
            low, high = sizes * low, sizes * high
            if self._ratio:
                low, high = np.exp(low), np.exp(high)
        if self._ratio:
            base = np.maximum(predictions, self._floor)
            low, high = base * low, base * high
        else:
            low, high = predictions + low, predictions + high
        low = np.where(predictions > self._least, np.minimum(low, predictions), low)
        return (
            np.clip(low, self._lowest, self._highest),
            np.clip(np.maximum(high, predictions), self._lowest, self._highest),
        )


def hours_of(times: Numbers) -> npt.NDArray[np.int64]:
    """Return the hours of the day of times in seconds since 1970, from 0 to 23."""
    hours: npt.NDArray[np.int64] = (times // SECONDS_PER_HOUR).astype(np.int64)
    return hours % HOURS_PER_DAY


def _exp(score: float) -> float:
    return math.inf if score > _MOST_EXPONENT else math.exp(score)

"""Learn the expected sizes of errors, and keep them only where they make intervals sharper.

Absolute scores are explained by a product of factors (Bailey, "Insurance Rates with Minimum Bias",
1963): each table of factors in turn is set to what the others leave, drawn towards 1 where rows are
few. Features and pairs are chosen on every other day, by tables learned on the days between.

Scores that calibrate are divided by sizes of a scale that has learned from other days (five folds
of days), and the scale that answers has learned from all of them, as folds do it for predictions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from model_loop.days import days_of
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import ScoreSizes, calibrate
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals, part_of
from model_loop.intervals.scale import THOUSAND, Codes, ErrorScale, ScaleBins, ScaleFactors
from model_loop.intervals.scores import Numbers, floor_of, scores_of, shape_of

if TYPE_CHECKING:
    import pandas as pd

ScaledKind = Literal["number", "category"]

#: Least gain of the interval score on each of two successive halves of the days.
GAIN = 0.03
#: Parts of the days, each of which is judged by the others; days of all of them, and rows of each,
#: below which nothing is compared.
QUARTERS, LEAST_DAYS, QUARTER_ROWS = 4, 28, 1_500
#: Folds of days.
FOLDS = 5
#: Bins of a prediction and of a number, and rows of a category that has a bin of its own.
BINS, ROWS_OF_VALUE = 24, 30
#: Features, pairs of features, and bins that a pair has at most.
FEATURES, PAIRS, BINS_OF_PAIR = 10, 3, 30_000
#: Rows of average size that each factor is drawn by, of one feature and of a pair.
_DRAWN, _DRAWN_PAIR = 20.0, 50.0
_ROUNDS = 6
#: Share of the absolute scores above which they count as that one.
_CAP = 0.99
#: Factors that matter change the logarithm of the likelihood of a row by so much at least.
_MATTERS = 2e-4

Table = tuple[int, ...]


@dataclass(frozen=True)
class _Learned:
    """Absolute scores of rows around a mean of 1, their days, and the bins of their features."""

    absolute: Numbers
    days: Codes
    bins: tuple[ScaleBins, ...]
    codes: tuple[Codes, ...]

    def code(self, table: Table) -> Codes:
        """Return the place of the factor of each row, for a feature or for a pair."""
        first, *second = table
        if not second:
            return self.codes[first]
        return self.codes[first] * (self.bins[second[0]].other + 1) + self.codes[second[0]]

    def count(self, table: Table) -> int:
        """Return the number of factors."""
        return int(np.prod([self.bins[place].other + 1 for place in table]))

    def factors(self, table: Table, sizes: Numbers, rows: npt.NDArray[np.bool_]) -> Numbers:
        """Return the logarithms of the factors that other sizes leave for some rows."""
        code, several = self.code(table)[rows], self.count(table)
        drawn = _DRAWN if len(table) == 1 else _DRAWN_PAIR
        found = np.bincount(code, self.absolute[rows] / sizes[rows], minlength=several)
        logarithms: Numbers = np.log(
            (found + drawn) / (np.bincount(code, minlength=several) + drawn)
        )
        return logarithms


def learn_scale(
    residuals: Residuals, rows: pd.DataFrame, kinds: Mapping[str, ScaledKind], *, by_hour: bool
) -> ErrorScale | None:
    """Learn the sizes of errors; None where there are none, or nothing explains them.

    Parameters
    ----------
    rows
        Raw columns of the residuals, shape (rows, columns).
    kinds
        Type of each column that a version is asked with, but for the time.
    by_hour
        Whether predictions will come with the hour of their time.
    """
    shape = shape_of(residuals.actual)
    floor = floor_of(residuals.actual, shape)
    absolute = np.abs(scores_of(residuals.actual, residuals.predicted, shape, floor))
    absolute = np.minimum(absolute, np.quantile(absolute, _CAP))
    mean = float(absolute.mean())
    if not mean or residuals.times is None:
        return None
    bins = tuple(_bins(residuals, rows, kinds, by_hour=by_hour))
    codes = tuple(each.codes(residuals.predicted, residuals.times, rows) for each in bins)
    days = days_of(residuals.times)
    known = _Learned(absolute / mean, days, bins, codes)
    tables = _best(known, [(place,) for place in range(len(bins))], [], FEATURES)
    pairs = [
        (first, second)
        for first in range(len(bins))
        for second in range(first + 1, len(bins))
        if {(first,), (second,)} <= {*tables} and _may_pair(known, first, second)
    ]
    tables += _best(known, pairs, tables, PAIRS)
    if not tables:
        return None
    fitted = _fitted(known, tables, np.ones(len(absolute), dtype=bool))
    kept = sorted({place for table in tables for place in table})
    factors = tuple(
        ScaleFactors(
            kept.index(table[0]),
            kept.index(table[1]) if len(table) > 1 else -1,
            tuple(np.round(logarithms * THOUSAND).astype(int).tolist()),
        )
        for table, logarithms in zip(tables, fitted, strict=True)
    )
    return ErrorScale(float(np.log(mean)), tuple(bins[place] for place in kept), factors)


def _bins(
    residuals: Residuals, rows: pd.DataFrame, kinds: Mapping[str, ScaledKind], *, by_hour: bool
) -> list[ScaleBins]:
    """Return the bins of all features."""
    found = [ScaleBins("prediction", edges=_edges(residuals.predicted))]
    if by_hour:
        found += [ScaleBins("hour"), ScaleBins("weekday")]
    for name, kind in kinds.items():
        if kind == "number":
            numbers = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
            found.append(ScaleBins("number", name, edges=_edges(numbers[np.isfinite(numbers)])))
            continue
        counts = rows[name].value_counts()
        often = counts.index[counts >= ROWS_OF_VALUE].tolist()
        values = [value if isinstance(value, str) else float(value) for value in often]
        found.append(ScaleBins("category", name, values=tuple(sorted(values, key=str))))
    return found


def _edges(values: Numbers) -> tuple[float, ...]:
    if not len(values):
        return ()
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    return tuple(edges[edges > values.min()].tolist())


def _may_pair(known: _Learned, first: int, second: int) -> bool:
    """Return whether a pair is tried: of the prediction and a number, or of two categories."""
    features = known.bins[first].feature, known.bins[second].feature
    if known.count((first, second)) > BINS_OF_PAIR:
        return False
    return features in {("prediction", "number"), ("category", "category")}


def _best(
    known: _Learned, candidates: Sequence[Table], given: list[Table], most: int
) -> list[Table]:
    """Return the tables that explain the days between, learned from every other day.

    Beside what is given; by the likelihood of exponential scores, the best first.
    """
    learned = known.days % 2 == 0
    if not candidates or learned.all() or not learned.any():
        return []
    sizes = _sizes(known, given, _fitted(known, given, learned))
    gains = {}
    for table in candidates:
        logarithms = known.factors(table, sizes, learned)[known.code(table)[~learned]]
        left = known.absolute[~learned] / sizes[~learned]
        gains[table] = float(np.mean(left - left / np.exp(logarithms) - logarithms))
    order = sorted(candidates, key=lambda table: -gains[table])
    return [table for table in order[:most] if gains[table] > _MATTERS]


def _fitted(known: _Learned, tables: Sequence[Table], rows: npt.NDArray[np.bool_]) -> list[Numbers]:
    """Return the logarithms of the factors of tables, each given the others."""
    found = [np.zeros(known.count(table)) for table in tables]
    codes = [known.code(table) for table in tables]
    total = np.zeros(len(known.absolute))
    for _ in range(_ROUNDS):
        for number, table in enumerate(tables):
            total -= found[number][codes[number]]
            found[number] = known.factors(table, np.exp(total), rows)
            total += found[number][codes[number]]
    return found


def _sizes(known: _Learned, tables: Sequence[Table], fitted: Sequence[Numbers]) -> Numbers:
    total = np.zeros(len(known.absolute))
    for table, logarithms in zip(tables, fitted, strict=True):
        total += logarithms[known.code(table)]
    sizes: Numbers = np.exp(total)
    return sizes


@dataclass(frozen=True)
class CalibrationSettings:
    """Options of the intervals of a table; see `calibration.calibrate`."""

    half_life: float | None = None
    by_hour: bool = False
    lowest: float = -math.inf
    highest: float = math.inf

    def calibrate(self, residuals: Residuals, sized: ScoreSizes | None = None) -> Intervals:
        """Make intervals of residuals."""
        return calibrate(
            residuals,
            sized,
            half_life=self.half_life,
            by_hour=self.by_hour,
            lowest=self.lowest,
            highest=self.highest,
        )


def calibrate_scaled(
    residuals: Residuals,
    rows: pd.DataFrame,
    kinds: Mapping[str, ScaledKind],
    settings: CalibrationSettings,
) -> Intervals | None:
    """Make intervals in sizes of errors; None where nothing explains these.

    Parameters
    ----------
    rows, kinds
        As of `learn_scale`.
    """
    times, by_hour = residuals.times, settings.by_hour
    if times is None:
        return None
    scale = learn_scale(residuals, rows, kinds, by_hour=by_hour)
    if scale is None:
        return None
    fold, sizes = days_of(times) % FOLDS, np.empty(len(rows))
    for number in range(FOLDS):
        held = fold == number
        if not held.any():
            continue
        if held.all():
            return None
        others = learn_scale(part_of(residuals, ~held), rows[~held], kinds, by_hour=by_hour)
        if others is None:
            return None
        sizes[held] = others.sizes(residuals.predicted[held], times[held], rows[held])
    return settings.calibrate(residuals, ScoreSizes(scale, sizes))


def sharper_intervals(
    residuals: Residuals,
    rows: pd.DataFrame,
    kinds: Mapping[str, ScaledKind],
    settings: CalibrationSettings,
) -> Intervals | None:
    """Make intervals in sizes of errors; None where they are not sharper by enough.

    Parameters
    ----------
    rows, kinds
        As of `learn_scale`.
    """
    if not scale_gains(residuals, rows, kinds, settings).kept:
        return None
    return calibrate_scaled(residuals, rows, kinds, settings)


@dataclass(frozen=True)
class ScaleGains:
    """Shares by which intervals in sizes of errors were better; none where it was not tried."""

    shares: tuple[float, ...] = ()

    @property
    def kept(self) -> bool:
        """True if they are worth it."""
        return bool(self.shares) and min(self.shares) >= GAIN


def scale_gains(
    residuals: Residuals,
    rows: pd.DataFrame,
    kinds: Mapping[str, ScaledKind],
    settings: CalibrationSettings,
) -> ScaleGains:
    """Compare both ways on the first and on the second half of the days.

    Each quarter of the days is judged by what has learned from the other three, so that neither way
    knows the rows that it is judged by.
    """
    times = residuals.times
    if times is None:
        return ScaleGains()
    day = days_of(times)
    parts = [np.isin(day, some) for some in np.array_split(np.unique(day), QUARTERS)]
    if len(np.unique(day)) < LEAST_DAYS or min(part.sum() for part in parts) < QUARTER_ROWS:
        return ScaleGains()
    scores = []
    for held in parts:
        known, judged = part_of(residuals, ~held), part_of(residuals, held)
        scaled = calibrate_scaled(known, rows[~held], kinds, settings)
        if scaled is None:
            return ScaleGains()
        ways = (settings.calibrate(known), scaled)
        scores.append([held.sum() * _score(way, judged, rows[held]) for way in ways])
    halves = np.split(np.array(scores), 2)
    shares = [1 - new / now if now else 0.0 for now, new in (half.sum(axis=0) for half in halves)]
    return ScaleGains(tuple(float(share) for share in shares))


def _score(intervals: Intervals, part: Residuals, rows: pd.DataFrame) -> float:
    sizes = intervals.sizes(part.predicted, part.times, rows)
    limits = intervals.at(DEFAULT_LEVEL).limits_of(part.predicted, part.times, sizes)
    return measure_intervals(*limits, part.actual, DEFAULT_LEVEL).score

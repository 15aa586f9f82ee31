"""Calibrate intervals: split conformal prediction on residuals, by bin, weighted by age.

- Lower and upper order statistics of signed scores of n residuals, with the rank that n + 1 values
  give (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al.,
  "Distribution-Free Predictive Inference for Regression", 2018).
- By bin, so that each holds its level (Mondrian; Vovk et al., "Mondrian Confidence Machine", 2003):
  bins of equally many predictions, and in each of them groups of hours of like noise.
- Weights by age: weighted quantiles in which the new row has its own weight, at infinity
  (Tibshirani et al., "Conformal Prediction Under Covariate Shift", 2019; Barber et al., "Conformal
  Prediction Beyond Exchangeability", 2023).

A cell of too few rows for the whole grid uses the limits of its parent.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.days import HOURS_PER_DAY, SECONDS_PER_DAY
from model_loop.intervals.calibrated import Intervals, hours_of
from model_loop.intervals.grid import MIDDLE, STEPS
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scale import ErrorScale
from model_loop.intervals.scores import Numbers, floor_of, scores_of, shape_of

#: Most bins of the prediction, and rows (by weight) that each holds at least.
BINS, ROWS_OF_BIN = 6, 500
#: Rows (by weight) for which every step of the grid has an order statistic.
ROWS_OF_GRID = STEPS - 1
#: Most groups of hours, mean rows of each in a bin, rows of an hour below which it counts as one of
#: the noisiest, and how many times as noisy the noisiest group has to be as the calmest.
GROUPS, ROWS_OF_GROUP, ROWS_OF_HOUR, NOISIER = 3, 300, 50, 1.1
#: Digits of scores: steps between half the rows.
_DIGITS = 3
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ScoreSizes:
    """Expected sizes of the scores that calibrate.

    Parameters
    ----------
    scale
        The scale that answers.
    sizes
        Size of each score, shape (rows,), by a scale that has not learned from its row.
    """

    scale: ErrorScale
    sizes: Numbers


def calibrate(
    residuals: Residuals,
    sized: ScoreSizes | None = None,
    *,
    half_life: float | None = None,
    by_hour: bool = False,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Intervals:
    """Make intervals of residuals.

    Parameters
    ----------
    sized
        Sizes by which scores are divided; None if they stand as they are.
    half_life
        Days in which the weight of a row falls by half, where rows have times; None weighs all the
        same.
    by_hour
        Whether predictions will come with the hour of their time.
    lowest, highest
        Bounds of a true value.
    """
    actual, predicted, times = residuals.actual, residuals.predicted, residuals.times
    shape = shape_of(actual)
    floor = floor_of(actual, shape)
    scores = scores_of(actual, predicted, shape, floor)
    if sized is not None:
        scores = scores / sized.sizes
    if times is None:
        half_life = None
    weights = weights_by_age(times, half_life, len(scores))
    edges = _edges(predicted, weights)
    bins = np.searchsorted(edges, predicted, side="right")
    groups = _groups(scores, bins, times) if by_hour and times is not None else ()
    whole, first = order_statistics(scores, weights), _first(weights)
    tables = []
    for number in range(len(edges) + 1):
        inside = bins == number
        of_bin = _table(scores, weights, inside, whole)
        if groups and times is not None:
            group_of_row = np.array(groups)[hours_of(times)]
            tables += [
                _table(scores, weights, inside & (group_of_row == group), of_bin)
                for group in range(max(groups) + 1)
            ]
        tables.append(of_bin)
    digits = _digits(scores)
    return Intervals(
        shape=shape,
        floor=floor if math.isfinite(floor) else None,
        edges=tuple(edges.tolist()),
        groups=groups,
        cells=tuple(_packed(table, first, digits) for table in tables),
        digits=digits,
        first=first,
        lowest=lowest if math.isfinite(lowest) else None,
        highest=highest if math.isfinite(highest) else None,
        part=residuals.part,
        rows=len(scores),
        digest=residuals.rows,
        days=_days(times),
        half_life=half_life,
        scale=None if sized is None else sized.scale,
    )


def order_statistics(scores: Numbers, weights: Numbers) -> Numbers:
    """Return the order statistics of scores at the steps 1 to 199 of the grid, shape (199,).

    Below the middle they are lower ones: a new score of weight 1 lies below that of step i with a
    probability of i / 200 at most. From the middle on they are upper ones: it lies above with
    1 - i / 200 at most. If there are too few rows for that, they are infinite.
    """
    order = np.argsort(scores, kind="stable")
    scores, weights = scores[order], weights[order]
    total = weights.sum() + 1.0
    shares = np.arange(1, STEPS) / STEPS
    lower, upper = shares[: MIDDLE - 1], shares[MIDDLE - 1 :]
    rising, falling = np.cumsum(weights), np.cumsum(weights[::-1])
    margin = _ROUNDING * total
    place = np.searchsorted(rising, upper * total - margin)
    high = np.append(scores, np.inf)[place]
    place = np.searchsorted(falling, (1 - lower) * total - margin)
    low = np.append(scores[::-1], -np.inf)[place]
    return np.concatenate([low, high])


def weights_by_age(times: Numbers | None, half_life: float | None, rows: int) -> Numbers:
    """Return the weight of each row, shape (rows,): 1 on the last day, half a half-life before."""
    if times is None or half_life is None:
        return np.ones(rows)
    days = np.floor(times / SECONDS_PER_DAY)
    weights: Numbers = 0.5 ** ((days.max() - days) / half_life)
    return weights


def _first(weights: Numbers) -> int:
    """Return the first step of the grid for which the rows suffice."""
    return min(math.ceil(STEPS / (float(weights.sum()) + 1.0) - _ROUNDING), MIDDLE)


def _edges(predicted: Numbers, weights: Numbers) -> Numbers:
    """Return where bins of equally many predictions begin, without the first."""
    bins = int(min(max(weights.sum() // ROWS_OF_BIN, 1), BINS))
    edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins))
    return np.asarray(edges[edges > predicted.min()])


def _groups(scores: Numbers, bins: npt.NDArray[np.int64], times: Numbers) -> tuple[int, ...]:
    """Group the hours of the day by noise: that of their scores, relative to those of their bins.

    There are no groups where those of every other day do not differ on the days between: estimates
    of equal noise differ as well.
    """
    noise = np.empty(len(scores))
    for number in np.unique(bins):
        inside = bins == number
        around = np.abs(scores[inside] - np.median(scores[inside]))
        noise[inside] = around / (np.mean(around) or 1.0)
    hours = hours_of(times)
    even = (times // SECONDS_PER_DAY) % 2 == 0
    if even.all() or not even.any():
        return ()
    fewest = ROWS_OF_GROUP * int(bins.max() + 1)
    group = _by_noise(noise[even], hours[even], fewest // 2)
    of_row = group[hours[~even]]
    rows = np.bincount(of_row)
    means = np.bincount(of_row, noise[~even])[rows > 0] / rows[rows > 0]
    if means.max() < NOISIER * means.min():
        return ()
    return tuple(_by_noise(noise, hours, fewest).tolist())


def _by_noise(noise: Numbers, hours: npt.NDArray[np.int64], fewest: int) -> npt.NDArray[np.int64]:
    """Return the group of each hour, shape (24,), the calmest first: natural breaks of their noise.

    An hour of hardly any rows counts as one of the noisiest.

    Parameters
    ----------
    fewest
        Rows that each group holds at least, so that its cells need not answer as their bins do.
    """
    rows = np.bincount(hours, minlength=HOURS_PER_DAY)
    (there,) = np.nonzero(rows >= ROWS_OF_HOUR)
    means = np.bincount(hours, noise, minlength=HOURS_PER_DAY)[there] / rows[there]
    order = there[np.argsort(means, kind="stable")]
    means, weights = np.sort(means), rows[order]
    before = np.concatenate([[0], np.cumsum(weights)])
    possible = [
        cuts
        for several in range(GROUPS)
        for cuts in itertools.combinations(range(1, len(there)), several)
        if np.diff(before[[0, *cuts, len(there)]]).min() >= fewest
    ]
    cuts = min(possible, key=lambda cuts: _within(means, weights, cuts), default=())
    group = np.full(HOURS_PER_DAY, len(cuts))
    group[order] = np.searchsorted(cuts, np.arange(len(order)), side="right")
    return group


def _within(means: Numbers, weights: npt.NDArray[np.int64], cuts: tuple[int, ...]) -> float:
    """Return the weighted sum of squares within the groups that cuts make of sorted means."""
    pairs = zip(np.split(means, cuts), np.split(weights, cuts), strict=True)
    return sum(
        float(np.sum(rows * (values - np.average(values, weights=rows)) ** 2))
        for values, rows in pairs
    )


def _table(
    scores: Numbers, weights: Numbers, inside: npt.NDArray[np.bool_], parent: Numbers
) -> Numbers:
    """Return the order statistics of a cell, or its parent's where its rows are too few."""
    if weights[inside].sum() < ROWS_OF_GRID:
        return parent
    return order_statistics(scores[inside], weights[inside])


def _digits(scores: Numbers) -> int:
    low, high = np.quantile(scores, [0.25, 0.75])
    spread = float(high - low) or float(np.ptp(scores)) or 1.0
    return math.ceil(_DIGITS - math.log10(spread))


def _packed(table: Numbers, first: int, digits: int) -> tuple[int, ...]:
    """Return order statistics in whole units, rounded away from the middle, by differences."""
    units = table * 10.0**digits
    units = np.concatenate([np.floor(units[: MIDDLE - 1]), np.ceil(units[MIDDLE - 1 :])])
    kept = units[first - 1 : STEPS - first].astype(np.int64)
    return (int(kept[0]), *np.diff(kept).tolist())


def _days(times: Numbers | None) -> tuple[str, ...]:
    """Return the first and the last day of times."""
    if times is None:
        return ()
    days = (np.array([times.min(), times.max()]) // SECONDS_PER_DAY).astype(np.int64)
    return tuple(np.datetime_as_string(days.astype("datetime64[D]")).tolist())

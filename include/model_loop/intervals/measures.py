"""Measure intervals on rows with their true values: coverage, misses, width and interval score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_loop.intervals.grid import tail_of
from model_loop.intervals.scores import Numbers


@dataclass(frozen=True)
class IntervalMeasures:
    """Measures of intervals on some rows.

    Parameters
    ----------
    rows
        Number of rows.
    coverage, below, above
        Shares of the true values within, below and above their intervals.
    width
        Mean width, in the unit of the target.
    score
        Mean interval score (Gneiting and Raftery, "Strictly Proper Scoring Rules", 2007), in the
        unit of the target: the width, and for each miss its distance by 2 / (1 - level). Less is
        better.
    """

    rows: int
    coverage: float
    below: float
    above: float
    width: float
    score: float


def measure_intervals(
    lower: Numbers, upper: Numbers, actual: Numbers, level: float
) -> IntervalMeasures:
    """Measure intervals of a level on at least one row; each array has shape (rows,)."""
    scores = interval_scores(lower, upper, actual, level)
    below, above = float(np.mean(actual < lower)), float(np.mean(actual > upper))
    return IntervalMeasures(
        rows=len(actual),
        coverage=1 - below - above,
        below=below,
        above=above,
        width=float(np.mean(upper - lower)),
        score=float(np.mean(scores)),
    )


def interval_scores(lower: Numbers, upper: Numbers, actual: Numbers, level: float) -> Numbers:
    """Return the interval score of each row, shape (rows,)."""
    missed = np.maximum(lower - actual, 0.0) + np.maximum(actual - upper, 0.0)
    # An infinite limit is never missed.
    return upper - lower + missed / tail_of(level)

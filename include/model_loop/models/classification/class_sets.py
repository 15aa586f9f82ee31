"""Conformal sets of classes: with a level of 90, nine of ten true classes lie in their set.

Split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman, "Least
Ambiguous Set-Valued Classifiers with Bounded Error Levels", 2019): the score of a row is 1 less the
probability of its true class, and a set holds each class whose score is not above the order
statistic of the calibrating rows. Of all sets that hold their level these are the smallest on
average. Adaptive prediction sets, which are larger, hold it more evenly across easy and hard rows;
they are not made. The most probable class is always in the set, so that none is empty. Closed days
correct the share of misses that sets allow; see `intervals.adaptive`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.intervals.grid import LOWEST_LEVEL

#: Levels in percent that have a score of their own: 50 to 99.5 by half a percent.
LEVELS = tuple(LOWEST_LEVEL + step / 2 for step in range(100))
_ROUNDING = 1e-9

Numbers = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldSets:
    """Measures of sets on some rows.

    Parameters
    ----------
    coverage
        Share of the true classes that lie in their set.
    size
        Mean number of classes in a set.
    single
        Share of the sets with a single class.
    """

    coverage: float
    size: float
    single: float


def set_scores(actual: Numbers, predicted: Numbers) -> tuple[float, ...]:
    """Return the highest score in a set at each of `LEVELS`; 1, for all classes, of too few rows.

    Parameters
    ----------
    actual, predicted
        Codes of the true classes, shape (rows,), and probabilities, shape (rows, classes), of rows
        that the classifier has not learned from.
    """
    scores = np.sort(1 - predicted[np.arange(len(actual)), actual.astype(np.int64)])
    ranks = [math.ceil((len(scores) + 1) * level / 100 - _ROUNDING) for level in LEVELS]
    return tuple(float(scores[rank - 1]) if rank <= len(scores) else 1.0 for rank in ranks)


def sets_at(
    level: float, scores: Sequence[float], predicted: Numbers, allowed: float = 1.0
) -> Inside:
    """Return which classes lie in the set of each row, shape (rows, classes).

    Parameters
    ----------
    level
        Percentage from 50 to 99.5; between two of `LEVELS` it is the higher one.
    scores
        Scores by level; see `set_scores`.
    predicted
        Probabilities, shape (rows, classes).
    allowed
        Factor of the share of misses that a level allows: 0.5 makes sets of 90 % those of 95 %.
        Below all of `LEVELS` no miss is allowed, and a set holds every class.
    """
    step = math.ceil((100 - (100 - level) * allowed - LEVELS[0]) * 2 - _ROUNDING)
    most = scores[max(step, 0)] if step < len(scores) else 1.0
    inside: Inside = 1 - predicted <= most
    inside[np.arange(len(predicted)), predicted.argmax(axis=1)] = True
    return inside


def measure_sets(inside: Inside, actual: Numbers) -> HeldSets:
    """Measure sets of at least one row."""
    sizes = inside.sum(axis=1)
    held = inside[np.arange(len(actual)), actual.astype(np.int64)]
    return HeldSets(float(held.mean()), float(sizes.mean()), float((sizes == 1).mean()))

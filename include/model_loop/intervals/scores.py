"""Scores of true values: how far off a prediction was, on the scale on which errors are alike.

Errors of a positive, heavy-tailed target (a duration, an amount) grow with the prediction, so that
their score is the logarithm of true value / prediction; that of any other is the difference.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Shape = Literal["log ratio", "difference"]
Numbers = npt.NDArray[np.float64]

#: Quantiles of the target that say how heavy its upper tail is, and how much further from the
#: median than the lower one the upper one has to lie.
_TAILS, _HEAVY = (0.05, 0.5, 0.95), 1.5
#: Quantile of the target below which predictions of ratios are raised to it: a ratio to a
#: prediction of nearly nothing, or less, says nothing.
_LEAST = 0.001


def shape_of(actual: Numbers) -> Shape:
    """Return the shape of scores that suits a target, shape (rows,).

    It is the log ratio if each value is positive and the upper tail is heavy: the 95 % quantile
    lies at least 1.5 times as far above the median as the 5 % quantile below it.
    """
    low, middle, high = np.quantile(actual, _TAILS)
    heavy = high - middle >= _HEAVY * (middle - low) and high > low
    return "log ratio" if actual.min() > 0 and heavy else "difference"


def floor_of(actual: Numbers, shape: Shape) -> float:
    """Return the prediction to which smaller ones are raised; -inf for differences."""
    return float(np.quantile(actual, _LEAST)) if shape == "log ratio" else -np.inf


def scores_of(actual: Numbers, predicted: Numbers, shape: Shape, floor: float) -> Numbers:
    """Return signed scores, shape (rows,): positive where the true value is above."""
    if shape == "difference":
        return actual - predicted
    with np.errstate(divide="ignore"):
        # It is -inf for a threshold that no value of the target lies below.
        return np.log(np.maximum(actual, 0.0) / np.maximum(predicted, floor))

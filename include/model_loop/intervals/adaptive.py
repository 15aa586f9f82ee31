"""Correction of intervals by the outcomes of closed days, as data that is kept by day.

After a shift, intervals of older residuals miss too often. Each day whose true values are there
moves the limits: the bias by the day's median score, and the tail of each side by adaptive
conformal inference (Gibbs and Candès, "Adaptive Conformal Inference Under Distribution Shift",
2021): a side that was missed too often gets a smaller tail. Tails move by factors, so that none
becomes negative. All is bounded, so that a day of nonsense moves little. Conformal sets of classes
have one share of misses alone, that of `upper`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Correction:
    """Correction of the limits of all levels.

    Parameters
    ----------
    bias
        Added to the scores of limits, in their unit.
    lower, upper
        Factors of the tails below and above the limits.
    version
        Number of changes: by the gate, and by each day that it has learned from.
    day
        The last of them, as ISO 8601; empty if there is none.
    """

    bias: float = 0.0
    lower: float = 1.0
    upper: float = 1.0
    version: int = 0
    day: str = ""


NO_CORRECTION = Correction()


@dataclass(frozen=True)
class ClosedDay:
    """Outcomes of a day whose true values are there.

    Parameters
    ----------
    day
        As ISO 8601.
    rows
        Number of rows with a true value.
    bias
        Median score of its rows, without any correction.
    below, above
        Shares of the true values below and above the corrected interval of the day.
    """

    day: str
    rows: int
    bias: float
    below: float
    above: float


@dataclass(frozen=True)
class CorrectionRules:
    """Steps and bounds of a correction.

    Parameters
    ----------
    tail
        Share of true values that may lie on each side: 0.05 at 90 %.
    step, most
        Logarithm of the factor by which a day without a miss enlarges a tail, and that by which a
        day changes it at most.
    bias_step
        Share of the way that a day moves the bias.
    most_bias
        Bound of the bias to both sides, in the unit of scores.
    smallest, largest
        Bounds of the factors of the tails.
    full
        Rows from which a day counts in full; one of fewer moves limits by its share of them.
    """

    tail: float = 0.05
    step: float = 0.3
    most: float = 1.0
    bias_step: float = 0.3
    most_bias: float = float("inf")
    smallest: float = 0.001
    largest: float = 2.0
    full: int = 100


def corrected(state: Correction, closed: ClosedDay, rules: CorrectionRules) -> Correction:
    """Return the correction after one more day; the same where the day came before.

    The days of a correction come in their order, each once, so that reading a day again changes
    nothing.
    """
    if closed.day <= state.day or not closed.rows:
        return state
    share = min(closed.rows / rules.full, 1.0)
    bias = state.bias + share * rules.bias_step * (closed.bias - state.bias)

    def moved(factor: float, missed: float) -> float:
        change = share * rules.step * (rules.tail - missed) / rules.tail
        factor *= math.exp(max(change, -rules.most))
        return min(max(factor, rules.smallest), rules.largest)

    return dataclasses.replace(
        state,
        bias=min(max(bias, -rules.most_bias), rules.most_bias),
        lower=moved(state.lower, closed.below),
        upper=moved(state.upper, closed.above),
        version=state.version + 1,
        day=closed.day,
    )

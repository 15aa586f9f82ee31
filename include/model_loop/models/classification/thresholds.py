"""Thresholds: the probability from which on a row is called positive, and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_loop.datasets.classes import HALF, cheapest_threshold
from model_loop.models.classification.clusters import Numbers
from model_loop.models.classification.decision import Origin

#: Positive rows below which their best threshold is chance. A rough one is better than one half
#: where one row in a hundred is positive, which then none is called.
LEAST_POSITIVE = 10


@dataclass(frozen=True)
class Threshold:
    """Probability from which on a row is called positive.

    Parameters
    ----------
    value
        The probability.
    origin
        How it was chosen.
    reason
        The same in words.
    """

    value: float
    origin: Origin
    reason: str


def choose_threshold(
    actual: Numbers,
    predicted: Numbers,
    *,
    declared: float | None = None,
    cost: tuple[float, float] | None = None,
    noun: str = "rows",
) -> Threshold:
    """Choose a threshold: the declared one, the cheapest, the one with the best F1, or 0.5.

    Parameters
    ----------
    actual, predicted
        Codes 0 and 1 and calibrated probabilities of validation rows, each of shape (rows,).
    declared
        Threshold of the dataset, if it states any.
    cost
        Cost of a false alarm and of a miss, if the dataset states them.
    noun
        Word for rows.
    """
    if declared is not None:
        return Threshold(declared, "declared", "the dataset states it")
    if cost is not None:
        false_alarm, miss = cost
        return Threshold(
            cheapest_threshold(false_alarm, miss),
            "cost",
            f"a false alarm costs {false_alarm:g} and a miss {miss:g}: from this probability on "
            f"an alarm is the cheaper of the two",
        )
    positive = int((actual > 0).sum())
    if min(positive, len(actual) - positive) < LEAST_POSITIVE:
        return Threshold(
            HALF,
            "default",
            f"{positive:,} positive {noun} of {len(actual):,} in validation say too little to "
            f"choose by: {LEAST_POSITIVE} of each class are needed",
        )
    value, score = best_f1(actual, predicted)
    return Threshold(
        value, "validation", f"it has the best F1 of {len(actual):,} validation {noun}, {score:.3f}"
    )


def best_f1(actual: Numbers, predicted: Numbers) -> tuple[float, float]:
    """Return the threshold with the highest F1, halfway to the next lower score, and that F1."""
    order = np.argsort(-predicted, kind="stable")
    scores, hits = predicted[order], np.cumsum(actual[order] > 0)
    # Rows of the same score are called alike: each threshold lies behind the last of them.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    f1 = 2 * hits[ends] / (ends + 1 + hits[-1])
    best = int(f1.argmax())
    below = scores[ends[best] + 1] if ends[best] + 1 < len(scores) else 0.0
    return float((scores[ends[best]] + below) / 2), float(f1[best])


def cost_of(
    actual: Numbers, predicted: Numbers, threshold: float, cost: tuple[float, float]
) -> Numbers:
    """Return the cost of each row at a threshold, shape (rows,).

    Parameters
    ----------
    cost
        Cost of a false alarm and of a miss.
    """
    called = predicted >= threshold
    false_alarms, misses = called & (actual == 0), ~called & (actual > 0)
    costs: Numbers = false_alarms * cost[0] + misses * cost[1]
    return costs

"""Decide from the differences of days, valid at every look.

An e-process is a bet against "there is no difference": its expectation never exceeds 1 while that
holds, so that it exceeds 20 at any time, ever, with a probability of at most 1/20 (Ville). A test
of a fixed size that is repeated daily is wrong in every third comparison of two equal versions.

Here it is the t e-process with a Gaussian mixture (Wang and Ramdas, "Anytime-valid t-tests and
confidence sequences for Gaussian means with unknown variance", 2023, Theorem 4.9), which needs no
variance to be known. Its assumption is that days are independent and alike. Days that follow each
other are not: the part that the day before predicts is subtracted from each, with a coefficient of
earlier days only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.models.intervals import CONFIDENCE, Floats, Interval

#: Parameter of the mixture: least is lost on a difference that shows in about so many days.
MIXTURE = 9.0
#: Fewer days are too few to measure how well a day predicts the next one.
_LEAST_DAYS = 7
_MOST_CORRELATION = 0.8
_MOST_DAYS = 365


@dataclass(frozen=True)
class Evidence:
    """Evidence on a mean of days, after the latest of them.

    Parameters
    ----------
    days
        Number of days.
    mean
        Mean of the days.
    e_value
        Evidence against a mean of 0; 1 means none.
    interval
        Confidence sequence of the mean: it holds the true one after every day at once, with the
        confidence. Infinite after the first days.
    decided_after
        Number of days after which the evidence sufficed for the first time; None if it never has.
    """

    days: int
    mean: float
    e_value: float
    interval: Interval
    decided_after: int | None


def evidence_of(
    differences: npt.ArrayLike, confidence: float = CONFIDENCE, mixture: float = MIXTURE
) -> Evidence:
    """Weigh the differences of days, in their order.

    Parameters
    ----------
    differences
        One number for each day that is complete, shape (days,). A day never changes any more.
    confidence
        Of two equal versions, a share of at most 1 - *confidence* is ever decided.
    mixture
        See `MIXTURE`.
    """
    days = np.asarray(differences, dtype=np.float64)
    if not len(days):
        return Evidence(0, 0.0, 1.0, (-math.inf, math.inf), None)
    foretold = _foretold(days)
    weights = 1.0 - foretold
    freed = days - foretold * np.concatenate([[0.0], days[:-1]])
    numbers = np.arange(1.0, len(days) + 1)
    logs = _log_evidence(np.cumsum(freed), np.cumsum(freed**2), numbers, mixture)
    (enough,) = np.nonzero(logs >= -math.log1p(-confidence))
    return Evidence(
        len(days),
        float(days.mean()),
        float(np.exp(min(logs[-1], 700.0))),
        _interval(freed, weights, confidence, mixture),
        int(enough[0]) + 1 if len(enough) else None,
    )


def days_needed(
    difference: float, deviation: float, confidence: float = CONFIDENCE, mixture: float = MIXTURE
) -> int | None:
    """Return after how many days a difference is usually decided; None if after no year.

    Parameters
    ----------
    difference, deviation
        The mean of the days, and their standard deviation.
    """
    numbers = np.arange(1.0, _MOST_DAYS + 1)
    mean, square = numbers * difference, numbers * (difference**2 + deviation**2)
    logs = _log_evidence(mean, square, numbers, mixture)
    (enough,) = np.nonzero(logs >= -math.log1p(-confidence))
    return int(enough[0]) + 1 if len(enough) else None


def _foretold(days: Floats) -> Floats:
    """Return the share of the day before that each day repeats, by the days before both.

    The correlation of few days is too low by about (1 + 4 r) / n (Kendall, 1954).
    """
    shares = np.zeros(len(days))
    for number in range(_LEAST_DAYS, len(days)):
        past = days[:number] - days[:number].mean()
        spread = float(past @ past)
        if spread:
            measured = float(past[1:] @ past[:-1]) / spread
            measured += (1 + 4 * measured) / number
            shares[number] = min(max(measured, 0.0), _MOST_CORRELATION)
    return shares


def _log_evidence(sums: Floats, squares: Floats, numbers: Floats, mixture: float) -> Floats:
    """Return the logarithm of the e-process after each day; 0 while all days are 0."""
    scale = numbers + mixture
    with np.errstate(divide="ignore", invalid="ignore"):
        # At most a day's share: sums**2 <= numbers * squares.
        share = np.where(squares > 0, sums**2 / (scale * squares), 0.0)
    found: Floats = 0.5 * np.log(mixture / scale) - numbers / 2 * np.log1p(-share)
    return np.where(squares > 0, found, 0.0)


def _interval(freed: Floats, weights: Floats, confidence: float, mixture: float) -> Interval:
    """Return the means against which there is less evidence than needed: a quadratic inequality."""
    number = len(freed)
    scale = number + mixture
    needed = -math.log1p(-confidence) + 0.5 * math.log(scale / mixture)
    # (1 - share)^(-number / 2) < exp(needed), for freed - mean * weights in place of freed.
    limit = -math.expm1(-2 * needed / number) * scale
    total, weight = float(freed.sum()), float(weights.sum())
    squared = weight**2 - limit * float(weights @ weights)
    linear = limit * float(weights @ freed) - total * weight
    constant = total**2 - limit * float(freed @ freed)
    if squared <= 0:
        return -math.inf, math.inf
    center, spread = -linear / squared, linear**2 - squared * constant
    reach = math.sqrt(max(spread, 0.0)) / squared
    return center - reach, center + reach

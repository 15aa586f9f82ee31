"""Population stability index, and how much of it is chance.

``PSI = sum((a - e) * ln(a / e))`` over bins, with *e* the share of a bin at training and *a* its
share now (Siddiqi, *Credit Risk Scorecards*, 2006): the symmetric Kullback-Leibler divergence. A
share of zero, of which there is no logarithm, counts as 0.0001: as in Evidently, unless another
share is smaller still, where Evidently takes a millionth of that one.

Of two samples of *n* and *m* rows that are drawn from the same distribution, PSI is not zero: for
*B* bins its mean is about ``(B - 1) * (1 / n + 1 / m)``, because it then follows a chi-squared
distribution with *B - 1* degrees of freedom, times ``1 / n + 1 / m`` (Yurdakul and Naranjo,
*Statistical properties of the population stability index*, Journal of Risk Model Validation 14,
2020). That mean is subtracted, so small windows are judged like large ones.
"""

from __future__ import annotations

import numpy as np

from model_loop.monitoring.features import Counts, Floats

_NONE = 0.0001


def psi(expected: Counts, actual: Counts) -> float:
    """PSI between counts of the same bins, shape (bins,); NaN where one of them is of no rows."""
    if not expected.sum() or not actual.sum():
        return float("nan")
    used = (expected > 0) | (actual > 0)
    then, now = _shares(expected[used]), _shares(actual[used])
    return float(np.sum((now - then) * np.log(now / then)))


def psi_by_chance(expected: Counts, actual: Counts) -> float:
    """The mean of PSI if nothing had changed; NaN where one of them is of no rows."""
    if not expected.sum() or not actual.sum():
        return float("nan")
    used = np.count_nonzero((expected > 0) | (actual > 0))
    return float((used - 1) * (1 / expected.sum() + 1 / actual.sum()))


def psi_beyond_chance(expected: Counts, actual: Counts) -> float:
    """Return the PSI in excess of chance, at least 0; NaN where one of them is of no rows."""
    return float(np.maximum(psi(expected, actual) - psi_by_chance(expected, actual), 0.0))


def _shares(counts: Counts) -> Floats:
    return np.where(counts > 0, counts / counts.sum(), _NONE)

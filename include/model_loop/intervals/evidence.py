"""Evidence that intervals do not hold, valid at every look.

An e-process is a bet against "the coverage of a day is expected to be at least so high": while that
holds, its expectation never exceeds 1, so that it exceeds 20 at any time, ever, with a probability
of at most 1/20 (Ville). Days are the sample, and nothing is assumed of how they differ or follow
each other but their expectation (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", 2024). The stake is chosen by the days before, so that days on which
intervals hold cost next to nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Distance below the level at which coverage is accepted, as at the gate.
TOLERANCE = 0.02
#: Evidence that suffices: at most one false alarm in twenty versions, ever.
ENOUGH = 20.0
#: Weights of the last day in what is expected of the next one, and in how much days differ.
_RECENT, _SLOW = 0.15, 0.05
#: Standard deviation of the coverage of days before any was seen.
_DEVIATION = 0.03
#: Share of the evidence that a day may take away at most.
_RISKED = 0.75


def coverage_evidence(coverage: npt.ArrayLike, level: float) -> npt.NDArray[np.float64]:
    """Return the evidence after each day, shape (days,); 1 means none, and `ENOUGH` suffices.

    Parameters
    ----------
    coverage
        Shares of the true values within their intervals, of closed days in their order.
    level
        Level of the intervals, in per cent.
    """
    least = level / 100 - TOLERANCE
    days = np.asarray(coverage, dtype=np.float64)
    found, evidence = np.empty(len(days)), 1.0
    # Before any day, intervals are expected to hold.
    lack, variance = -TOLERANCE, _DEVIATION**2
    for number, missed in enumerate(least - days):
        stake = min(max(lack / variance, 0.0), _RISKED / (1 - least))
        evidence *= 1 + stake * missed
        variance += _SLOW * ((missed - lack) ** 2 - variance)
        lack += _RECENT * (missed - lack)
        found[number] = evidence
    return found

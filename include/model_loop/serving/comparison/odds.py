"""Decide from counts whether odds differ from the expected ones, valid at every look.

Each unit is a hit with an expected probability. If the odds of a hit were a constant multiple of
the expected ones, the likelihood ratio of all units so far would be a nonnegative martingale while
they are not: its mixture over many multiples exceeds 100 at any time, ever, with a probability of
at most 1/100 (Ville). That is the sequential test of Lindon and Malek ("Anytime-valid inference for
multinomial count data", 2022), with a mixture over multiples in place of their Dirichlet prior: one
multiple holds while shares change, as the share of lost requests does. The mixture is over the step
at which the odds begin to differ as well, so that a fault of today shows after weeks without one.
For multiples above 1 alone, the ratio is a supermartingale for smaller odds too, so that an
expected probability may be a bound.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_loop.models.intervals import Floats

#: Evidence that decides.
ENOUGH = 100.0
#: Logarithms of the multiples: from 0.5 percent more to practically always.
_LOGS = np.geomspace(0.005, 10.0, 40)


def evidence_of_odds(
    hits: npt.ArrayLike, units: npt.ArrayLike, expected: npt.ArrayLike, *, more_alone: bool = False
) -> Floats:
    """Return the evidence after each step, shape (steps,); 1 means none, and `ENOUGH` decides.

    Parameters
    ----------
    hits, units
        Counts of each step, in their order, shape (steps,).
    expected
        Probability of a hit, above 0 and below 1; the same for all steps, or shape (steps,).
    more_alone
        Whether odds below the expected ones are as they should be.
    """
    logs = _LOGS if more_alone else np.concatenate([-_LOGS, _LOGS])
    given, of, share = np.broadcast_arrays(*map(np.asarray, (hits, units, expected)))
    # For one unit: log(multiple) if it is a hit, less log(1 - expected + multiple * expected).
    spent = np.log1p(share[:, None].astype(np.float64) * np.expm1(logs))
    steps = given[:, None] * logs - of[:, None] * spent
    ratios = np.cumsum(steps, axis=0)
    # They begin to differ at step n with the weight 1 / (n (n + 1)), and else later, at 1.
    numbers = np.arange(1.0, len(ratios) + 1)
    weights = -np.log(numbers * (numbers + 1))
    since = ratios + np.logaddexp.accumulate(weights[:, None] - (ratios - steps), axis=0)
    mixed = np.logaddexp.reduce(since, axis=1) - np.log(len(logs))
    evidence: Floats = np.exp(np.minimum(mixed, 700.0)) + 1 / (numbers + 1)
    return evidence

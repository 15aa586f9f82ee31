"""Rates of a classifier by group of rows: a description of its answers, and no verdict on them.

Intervals are those of Wilson ("Probable inference, the law of succession, and statistical
inference", 1927), which hold for few rows too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

#: Sentences that stand beside every report by group.
DISCLAIMER = (
    "This describes the answers of the model for each group; it is no verdict on whether they are "
    "fair. Groups may differ in what they need and in how they were recorded, and equal rates of "
    "one kind often exclude those of another."
)
#: Rows that a rate is of, at least: of fewer, it is said to rest on few.
FEW = 30
_CONFIDENCE = 0.95

#: Rates of a group, with their names for people.
RATES = {
    "selection": "selection rate",
    "recall": "recall",
    "false_positive": "false-positive rate",
    "observed": "observed share",
}

_Flags = npt.NDArray[np.bool_]


def wilson(count: int, rows: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share: *count* of *rows*, at least one."""
    interval = binomtest(count, rows).proportion_ci(_CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Rate:
    """A share of rows with its interval.

    Parameters
    ----------
    count, rows
        Rows that are counted, and those of which they are a share.
    value, low, high
        The share and the ends of its 95 % interval; None of no rows.
    """

    count: int
    rows: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, counted: _Flags) -> Rate:
        """Count rows; of shape (rows,)."""
        count, rows = int(counted.sum()), len(counted)
        if not rows:
            return cls(0, 0)
        return cls(count, rows, count / rows, *wilson(count, rows))


@dataclass(frozen=True)
class GroupRates:
    """Rates of the rows of a group.

    Parameters
    ----------
    group
        Name of the group; empty of all rows.
    rows
        Number of its rows.
    selection
        Share of the rows that are called positive.
    recall
        Share of the positive rows that are called positive (true-positive rate).
    false_positive
        Share of the negative rows that are called positive.
    observed
        Share of the rows that are positive.
    probability
        Mean probability of being positive, to compare with `observed`; None of no rows.
    """

    group: str
    rows: int
    selection: Rate
    recall: Rate
    false_positive: Rate
    observed: Rate
    probability: float | None

    @property
    def gap(self) -> float | None:
        """Mean probability less observed share: below 0, probabilities are too low."""
        if self.probability is None or self.observed.value is None:
            return None
        return self.probability - self.observed.value


def rates_of(
    group: str, positive: _Flags, called: _Flags, probability: npt.NDArray[np.float64]
) -> GroupRates:
    """Measure the rows of a group.

    Parameters
    ----------
    positive, called, probability
        Whether each row is positive, whether the model calls it so, and the probability that it
        gives; each of shape (rows,).
    """
    return GroupRates(
        group=group,
        rows=len(positive),
        selection=Rate.of(called),
        recall=Rate.of(called[positive]),
        false_positive=Rate.of(called[~positive]),
        observed=Rate.of(positive),
        probability=float(probability.mean()) if len(positive) else None,
    )


def rates_by_group(
    groups: pd.Series, positive: _Flags, called: _Flags, probability: npt.NDArray[np.float64]
) -> list[GroupRates]:
    """Measure all rows, and then each group that has rows.

    Parameters
    ----------
    groups
        Name of the group of each row, shape (rows,); a categorical gives their order.
    positive, called, probability
        See `rates_of`.
    """
    codes = groups.reset_index(drop=True).astype("category").cat
    names: Iterable[object] = codes.categories
    chosen = codes.codes.to_numpy()
    found = [rates_of("", positive, called, probability)]
    for code, name in enumerate(names):
        rows = chosen == code
        if rows.any():
            found.append(rates_of(str(name), positive[rows], called[rows], probability[rows]))
    return found


def as_records(rates: Sequence[GroupRates]) -> list[dict[str, Any]]:
    """Return rates as plain JSON, with the difference of each to that of all rows."""
    everything = rates[0]
    return [
        {**asdict(each), "gap": each.gap, "differences": _differences(each, everything)}
        for each in rates
    ]


def _differences(rates: GroupRates, everything: GroupRates) -> dict[str, float | None]:
    return {name: _less(getattr(rates, name), getattr(everything, name)) for name in RATES}


def _less(one: Rate, other: Rate) -> float | None:
    return None if one.value is None or other.value is None else one.value - other.value

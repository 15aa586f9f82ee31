"""Clusters of rows: sets of rows that are not independent, and are resampled together.

Rows of a group (a patient that comes twice) and rows of a day resemble each other, so that a mean
of them varies by more than as many independent rows would make it vary by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from model_loop.datasets.dataset import Dataset
from model_loop.days import SECONDS_PER_DAY
from model_loop.training_set.frames import as_numbers

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

#: Days below which their variation says too little, so that rows are resampled.
_LEAST_DAYS = 14


@dataclass(frozen=True)
class Clusters:
    """Cluster of each row.

    Parameters
    ----------
    kind
        Description of a cluster.
    codes
        Number of each row's cluster, from 0 without gaps, shape (rows,). Days rise with time.
    """

    kind: Literal["rows", "groups", "days"]
    codes: Codes

    @classmethod
    def of_rows(cls, rows: int) -> Clusters:
        """Return independent rows."""
        return cls("rows", np.arange(rows))

    @property
    def number(self) -> int:
        """Number of clusters."""
        return int(self.codes.max(initial=-1)) + 1

    def draw(self, random: np.random.Generator) -> Numbers:
        """Draw as many clusters as there are; return how often each row is among them."""
        picked = random.integers(0, self.number, self.number)
        times: Numbers = np.bincount(picked, minlength=self.number).astype(np.float64)
        return times[self.codes]

    def folds(self, number: int, seed: int) -> Codes:
        """Return the fold of each row, shape (rows,): each cluster lies in a single fold.

        Days are cut into stretches of consecutive days; other clusters are shuffled.
        """
        order = np.arange(self.number)
        if self.kind != "days":
            order = np.random.default_rng(seed).permutation(order)
        rows = np.bincount(self.codes, minlength=self.number)[order]
        middles = np.cumsum(rows) - rows / 2
        fold = np.empty(self.number, dtype=np.int64)
        fold[order] = np.minimum(middles * number // max(rows.sum(), 1), number - 1)
        return fold[self.codes]


def clusters_of(rows: pd.DataFrame, dataset: Dataset) -> Clusters:
    """Return the clusters of raw rows: their groups, else their days, else the rows themselves."""
    groups = groups_of(rows, dataset)
    if groups is not None:
        return Clusters("groups", np.unique(groups, return_inverse=True)[1])
    times = as_numbers(rows[dataset.time]) if dataset.time in rows else None
    return clusters_by_day(times, len(rows))


def clusters_by_day(times: Numbers | None, rows: int) -> Clusters:
    """Return the days of rows, or the rows where there are no times or hardly any days.

    Parameters
    ----------
    times
        Seconds since 1970, shape (rows,); None if there are none.
    """
    if times is not None and np.isfinite(times).all():
        days = np.unique((times // SECONDS_PER_DAY).astype(np.int64), return_inverse=True)[1]
        if len(days) and days.max() + 1 >= _LEAST_DAYS:
            return Clusters("days", days)
    return Clusters.of_rows(rows)


def groups_of(rows: pd.DataFrame, dataset: Dataset) -> Codes | None:
    """Number the groups of the rows; None where rows are independent, or do not tell their group.

    A row of an unknown group is a group by itself.
    """
    if dataset.group is None or dataset.group not in rows:
        return None
    codes = pd.factorize(rows[dataset.group])[0].astype(np.int64)
    unknown = codes < 0
    codes[unknown] = codes.max(initial=-1) + 1 + np.arange(unknown.sum())
    return codes


def mean_of_clusters(values: Numbers, codes: Codes) -> tuple[float, float, int]:
    """Return the mean over rows, its standard error with clusters as the sample, their number."""
    dense = np.unique(codes, return_inverse=True)[1]
    rows, sums = np.bincount(dense), np.bincount(dense, weights=values)
    mean, several = float(values.mean()), len(rows)
    squares = float(np.square(sums - mean * rows).sum())
    return mean, math.sqrt(several / max(several - 1, 1) * squares) / len(values), several


def chance_below(values: Numbers, codes: Codes) -> float:
    """Return how probable a mean so far below 0 is if the true mean is 0, by clusters."""
    mean, error, several = mean_of_clusters(values, codes)
    if not error:
        return 0.0 if mean < 0 else 1.0
    return float(stats.t.cdf(mean / error, several - 1))

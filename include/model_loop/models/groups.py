"""Rates of a classifier by group of rows: a description of its answers, and no verdict on them.

Intervals are those of Wilson ("Probable inference, the law of succession, and statistical
inference", 1927), which hold for few rows too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.models.class_metrics import decide
from model_loop.models.slices import cut_of
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)

_CONFIDENCE = 0.95
#: Classes of several that are reported, the most frequent ones.
_MOST_CLASSES = 5

#: Rates of a group.
_RATES = ("selection", "recall", "false_positive", "observed")

_Flags = npt.NDArray[np.bool_]


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
        interval = binomtest(count, rows).proportion_ci(_CONFIDENCE, method="wilson")
        return cls(count, rows, count / rows, float(interval.low), float(interval.high))


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


def group_reports(
    training_set: TrainingSet, predicted: Targets, threshold: float
) -> list[dict[str, Any]]:
    """Report the test rows by the groups of each column that the dataset marks.

    Numbers are cut into bands that the train rows give; see `slices.cut_of`.

    Parameters
    ----------
    predicted
        Probabilities of the test rows: of the positive class, shape (rows,), or of each class,
        shape (rows, classes).
    threshold
        Probability from which a row is called positive; of two classes alone.

    Returns
    -------
    list
        ``column``, ``class`` and ``rates`` of each column, and of several classes of each of the
        most frequent; see `as_records`.
    """
    classes, rows = training_set.target.labels, training_set.test_rows
    actual, decided = training_set.test_target.astype(np.int64), decide(predicted, threshold)
    chances = predicted[:, np.newaxis] if predicted.ndim == 1 else predicted
    frequent = np.argsort(-np.bincount(actual, minlength=len(classes.labels)), kind="stable")
    codes = [1] if classes.is_binary else sorted(frequent[:_MOST_CLASSES].tolist())
    reports = []
    for column in _reported(training_set.dataset, rows):
        learned = training_set.train_rows
        values = rows if learned is None or column.name not in learned else learned
        groups = pd.Series(cut_of(values[column.name], column)(rows[column.name]))
        for code in codes:
            probability = chances[:, 0 if classes.is_binary else code]
            rates = rates_by_group(groups, actual == code, decided == code, probability)
            report = {"column": column.name, "class": classes.texts[code]}
            reports.append({**report, "rates": as_records(rates)})
    return reports


def _reported(dataset: Dataset, rows: pd.DataFrame) -> Iterator[Column]:
    """Yield the columns that the dataset marks and the rows have."""
    marked = dataset.declaration.columns if dataset.declaration else {}
    for column in dataset.columns:
        if column.name not in marked or not marked[column.name].group_report:
            continue
        if column.kind == "time" or column.name not in rows:
            logger.warning("No report by %s: the test rows do not have it as groups", column.name)
            continue
        yield column


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
    return {name: _less(getattr(rates, name), getattr(everything, name)) for name in _RATES}


def _less(one: Rate, other: Rate) -> float | None:
    return None if one.value is None or other.value is None else one.value - other.value

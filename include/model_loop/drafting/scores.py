"""Scores by which columns are ranked: how much of the target each says, and how much it adds.

Every score lies between 0 (nothing) and 1 (all of the target) and is measured on rows that the
estimate has not seen. They rank; none of them is a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from model_loop.datasets.classes import TWO
from model_loop.drafting.values import ColumnValues, Floats, Mask, Places, probe

#: Rows that are scored.
ROWS = 20_000
#: Bins of a number at most, rows that each has at least, folds, and rows that weigh as much as the
#: overall mean.
_BINS, _ROWS_OF_BIN, _FOLDS, _PRIOR = 64, 8, 4, 3.0
#: Cells of the joint model, and rows for which it is fitted at all.
_CELLS, _JOINT_ROWS, _LEAST_JOINT = 2_000_000, 12_000, 100
#: Columns that the joint model is tried without.
_MOST_PERMUTED = 120
#: Share below which a class is rare, its rows that are scored at least and at most, leaves of the
#: tree that ranks by one column, and the rows of each.
_RARE, _LEAST_OF_RARE, _ROWS_OF_RARE, _LEAVES, _ROWS_OF_LEAF = 0.1, 10, 500, 32, 3
#: Rows without a value from which their pattern says something.
_ENOUGH_MISSING = 10


@dataclass(frozen=True)
class Score:
    """Share that a column says about the target.

    Parameters
    ----------
    alone
        Share of the target's variance that it explains by itself.
    added
        Share that a model of all columns loses without it.
    absent
        Agreement of the rows without a value with the rows without a target.
    absent_value
        Share of the target's variance that the bare presence of a value explains.
    ranking
        Average precision with which a column finds the rarer of two classes, from 0, that of
        chance, to 1; 0 where no class is rare. Where one row in a hundred is of a class, bins of
        equal size hold as many rows of the other one, and explain half of the variance at most.
    """

    alone: float
    added: float = 0.0
    absent: float = 0.0
    absent_value: float = 0.0
    ranking: float = 0.0

    @property
    def rank(self) -> float:
        """The highest of the scores."""
        return max(self.alone, self.added, self.absent, self.absent_value, self.ranking)


def score_columns(
    columns: Sequence[ColumnValues], target: ColumnValues, *, classes: bool
) -> dict[str, Score]:
    """Return the score of each column.

    Parameters
    ----------
    columns
        Columns without the target.
    classes
        Whether the target is a class; then the variance is that of its indicators.
    """
    known = np.flatnonzero(target.present)
    rows = probe(known, ROWS)
    rare = _rare_class(target) if classes else None
    if rare is not None:
        rows = np.union1d(rows, probe(np.flatnonzero(target.numbers == rare), _ROWS_OF_RARE))
    outcome = _outcome(target.numbers[rows], classes=classes)
    folds = np.random.default_rng(7).permutation(len(rows)) % _FOLDS
    alone = {column.name: _alone(column, rows, outcome, folds) for column in columns}
    added = _added(columns, rows, outcome)
    scores = {}
    for column in columns:
        gaps = ~column.present[rows]
        by_gaps = (
            _explained(gaps.astype(np.intp), 2, outcome, folds)
            if min(gaps.sum(), (~gaps).sum()) >= _ENOUGH_MISSING
            else 0.0
        )
        scores[column.name] = Score(
            alone[column.name],
            added.get(column.name, 0.0),
            agreement(~column.present, ~target.present),
            by_gaps,
            0.0 if rare is None else _ranking(column, rows, target.numbers[rows] == rare, folds),
        )
    return scores


def _rare_class(target: ColumnValues) -> float | None:
    """Return the code of the rarer of two classes, if it is rare and has enough rows to score."""
    levels, counts = np.unique(target.numbers[target.present], return_counts=True)
    place = int(np.argmin(counts))
    scored = len(levels) == TWO and _LEAST_OF_RARE <= counts[place] < _RARE * counts.sum()
    return float(levels[place]) if scored else None


def _ranking(column: ColumnValues, rows: Places, positive: Mask, folds: Places) -> float:
    """Return the average precision of a column by itself, as its share of the way from chance to 1.

    A small tree ranks the rows of each fold by what the others say, so that positives between two
    values are found as well as those at an end.
    """
    x = np.empty((len(rows), 1))
    ranked = np.zeros(len(rows))
    for fold in range(_FOLDS):
        held = folds == fold
        fitted = np.flatnonzero(~held)
        if not positive[held].any() or not positive[fitted].any():
            return 0.0
        x[:, 0] = _ordered(column, rows, positive.astype(float), fitted)
        tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, min_samples_leaf=_ROWS_OF_LEAF)
        tree.fit(x[fitted], positive[fitted])
        ranked[held] = tree.predict_proba(x[held])[:, 1]
    chance = float(positive.mean())
    precision = float(average_precision_score(positive, ranked))
    return max((precision - chance) / (1 - chance), 0.0)


def agreement(one: Mask, other: Mask) -> float:
    """Return the correlation of two patterns of missing values; 0 where there is too little."""
    if min(one.sum(), other.sum(), (~one).sum(), (~other).sum()) < _ENOUGH_MISSING:
        return 0.0
    return max(float(np.corrcoef(one, other)[0, 1]), 0.0)


def bins_of(column: ColumnValues, rows: Places) -> tuple[Places, int]:
    """Return the bin of each row, and how many bins there are; the last holds missing values."""
    values = column.numbers[rows]
    present = ~np.isnan(values)
    codes = np.zeros(len(rows), dtype=np.intp)
    if not present.any():
        return codes, 1
    levels, places = np.unique(values[present], return_inverse=True)
    bins = min(_BINS, max(int(present.sum()) // _ROWS_OF_BIN, 2))
    if not column.labels and len(levels) > bins:
        edges = np.unique(np.quantile(values[present], np.linspace(0, 1, bins + 1)[1:-1]))
        places, count = np.searchsorted(edges, values[present], side="right"), len(edges) + 1
    else:
        count = len(levels)
    codes[present] = places
    codes[~present] = count
    return codes, count + 1


def _outcome(values: Floats, *, classes: bool) -> Floats:
    """Return what is explained, shape (rows, outputs): the number, or an indicator for a class."""
    if not classes:
        # Far values would decide alone: ranks of a heavy tail say as much about columns.
        low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 0.0)
        return np.clip(values, low, high)[:, None]
    levels, counts = np.unique(values, return_counts=True)
    common = levels[np.argsort(-counts)][:20]
    return np.asarray(values[:, None] == common[None, :], dtype=float)


def _alone(column: ColumnValues, rows: Places, outcome: Floats, folds: Places) -> float:
    codes, count = bins_of(column, rows)
    return _explained(codes, count, outcome, folds)


def _explained(codes: Places, count: int, outcome: Floats, folds: Places) -> float:
    """Return the explained share of variance, each row predicted from the other folds."""
    total = float(((outcome - outcome.mean(axis=0)) ** 2).sum())
    if total == 0 or count < 2:  # noqa: PLR2004 - one bin says nothing
        return 0.0
    left = 0.0
    for fold in range(_FOLDS):
        held = folds == fold
        if not held.any() or held.all():
            continue
        size = np.bincount(codes[~held], minlength=count)
        overall = outcome[~held].mean(axis=0)
        for output in range(outcome.shape[1]):
            sums = np.bincount(codes[~held], outcome[~held, output], minlength=count)
            means = (sums + _PRIOR * overall[output]) / (size + _PRIOR)
            left += float(((outcome[held, output] - means[codes[held]]) ** 2).sum())
    return min(max(1 - left / total, 0.0), 1.0)


def _added(columns: Sequence[ColumnValues], rows: Places, outcome: Floats) -> dict[str, float]:
    """Return the share of variance that a model of all columns loses without each of them."""
    size = min(_JOINT_ROWS, max(_CELLS // max(len(columns), 1), 1_000))
    chosen = probe(np.arange(len(rows)), size)
    if len(chosen) < _LEAST_JOINT or not columns:
        return {}
    y = outcome[chosen, 0]
    shuffled = np.random.default_rng(3).permutation(len(chosen))
    fitted, held = shuffled[: len(chosen) * 2 // 3], shuffled[len(chosen) * 2 // 3 :]
    x = np.empty((len(chosen), len(columns)))
    for place, column in enumerate(columns):
        x[:, place] = _ordered(column, rows[chosen], y, fitted)
    if y[held].var() == 0:
        return {}
    model = HistGradientBoostingRegressor(
        max_iter=60, learning_rate=0.2, max_leaf_nodes=15, early_stopping=False, random_state=0
    )
    # Its threads wait for each other at each of many small steps: one alone is faster.
    with threadpool_limits(1):
        model.fit(x[fitted], y[fitted])
        return _lost(model, columns, x[held], y[held])


def _lost(
    model: HistGradientBoostingRegressor,
    columns: Sequence[ColumnValues],
    given: Floats,
    y: Floats,
) -> dict[str, float]:
    """Return the share of variance that a model loses where a column is shuffled."""
    base = float(((y - model.predict(given)) ** 2).mean())
    order = np.random.default_rng(5).permutation(len(y))
    # Without a split on it, a column adds nothing, and need not be tried.
    losses = {}
    for place in _used(model)[:_MOST_PERMUTED]:
        before = given[:, place].copy()
        given[:, place] = before[order]
        loss = float(((y - model.predict(given)) ** 2).mean()) - base
        given[:, place] = before
        # Shuffling counts a column twice: once as its own part, once as noise.
        losses[columns[place].name] = min(max(loss / (2 * float(y.var())), 0.0), 1.0)
    return losses


def _used(model: HistGradientBoostingRegressor) -> list[int]:
    """Return the columns that a model splits on, those of the largest gain first."""
    gains: dict[int, float] = {}
    for (tree,) in model._predictors:  # noqa: SLF001 - scikit-learn publishes no gains of it
        for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
            place = int(node["feature_idx"])
            gains[place] = gains.get(place, 0.0) + float(node["gain"])
    return sorted(gains, key=lambda place: -gains[place])


def _ordered(column: ColumnValues, rows: Places, y: Floats, fitted: Places) -> Floats:
    """Return numbers as they are, and codes in the order of their mean targets."""
    values = column.numbers[rows]
    if not column.labels:
        return values
    codes = np.where(np.isnan(values), len(column.labels), values).astype(np.intp)
    count = len(column.labels) + 1
    size = np.bincount(codes[fitted], minlength=count)
    sums = np.bincount(codes[fitted], y[fitted], minlength=count)
    means = (sums + 10 * y[fitted].mean()) / (size + 10)
    ordered: Floats = means[codes]
    return ordered

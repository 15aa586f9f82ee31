"""Feature selection: the columns of a design matrix that a family is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import chi2, mutual_info_regression, r_regression
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.search import FeatureSelection, SelectionMethod
from model_loop.training_set.matrices import Matrix, Targets, as_dense

#: Rows that mutual information and permutation are computed from, at most.
_SAMPLE_ROWS = 5_000
#: Equally large groups of targets that chi² tells apart.
_GROUPS = 10
#: Columns that are shuffled: those that the judge's trees gain most by.
_SHUFFLED = 200

Scores = npt.NDArray[np.float64]


class ColumnSelector(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Keeps some columns of a design matrix.

    Parameters
    ----------
    names
        Names of the columns, in their order.
    places
        Positions in the design matrix.
    """

    def __init__(self, names: list[str] | None = None, places: list[int] | None = None) -> None:
        self.names = names
        self.places = places

    def fit(self, X: Matrix, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Nothing is learned."""
        return self

    def transform(self, X: Matrix) -> Matrix:
        """The columns."""
        return X[:, self.places or []]

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - scikit-learn's interface
        """Names of the columns."""
        return np.asarray(self.names or [], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        """It is ready as it is made."""
        return True


def score_columns(
    rule: FeatureSelection, matrix: Matrix, target: Targets, names: npt.ArrayLike, seed: int
) -> pd.DataFrame | None:
    """Score the columns of the train rows; None if all are kept anyway.

    Parameters
    ----------
    matrix, target, names
        Design matrix of shape (rows, columns), targets, and names of the columns.
    seed
        Seed of samples and of the shuffling.

    Returns
    -------
    pandas.DataFrame
        ``column``, ``score`` (higher is more telling) and ``kept``, in the order of the matrix.
    """
    if rule.method == "none":
        return None
    scores = _SCORES[rule.method](matrix, target, seed)
    # A constant column has no information, even if rounding makes it vary.
    scores = np.where(_spread(matrix) > 0, scores, 0.0)
    kept = np.zeros(len(scores), dtype=bool)
    number = max(1, round(rule.share * len(scores)))
    kept[np.argsort(-scores, kind="stable")[:number]] = True
    return pd.DataFrame({"column": np.asarray(names, dtype=str), "score": scores, "kept": kept})


def selector(table: pd.DataFrame, names: npt.ArrayLike) -> ColumnSelector:
    """The step that keeps the chosen columns of a matrix whose columns have these names."""
    places = {str(name): place for place, name in enumerate(np.asarray(names))}
    kept = sorted(table.loc[table.kept, "column"], key=places.__getitem__)
    return ColumnSelector(kept, [places[name] for name in kept])


def _spread(matrix: Matrix) -> Scores:
    """Largest less smallest value of each column."""
    highest, lowest = matrix.max(axis=0), matrix.min(axis=0)
    if issparse(matrix):
        highest, lowest = highest.toarray().ravel(), lowest.toarray().ravel()
    spread: Scores = np.asarray(highest - lowest, dtype=np.float64)
    return spread


def _correlation(matrix: Matrix, target: Targets, _seed: int) -> Scores:
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: Scores = np.abs(r_regression(matrix, target))
    return scores


def _chi2(matrix: Matrix, target: Targets, _seed: int) -> Scores:
    """Chi² between a column, scaled to [0, 1], and ten equally large groups of targets."""
    scaler = MaxAbsScaler() if issparse(matrix) else MinMaxScaler()
    groups = pd.qcut(target, _GROUPS, labels=False, duplicates="drop")
    scores: Scores = chi2(scaler.fit_transform(matrix), groups)[0]
    return scores


def _mutual_information(matrix: Matrix, target: Targets, seed: int) -> Scores:
    rows = _sample(len(target), seed)
    scores: Scores = mutual_info_regression(matrix[rows], target[rows], random_state=seed)
    return scores


def _permutation(matrix: Matrix, target: Targets, seed: int) -> Scores:
    """Measure how much shuffling a column costs a small XGBoost on unseen rows (Breiman, 2001)."""
    known, unseen = train_test_split(np.arange(len(target)), test_size=0.2, random_state=seed)
    settings = {"max_depth": 6, "learning_rate": 0.2}
    judge = BoosterRegressor(settings, rounds=60, random_state=seed)
    gains = judge.fit(matrix[known], target[known]).gains(matrix.shape[1])
    shuffled = np.argsort(-gains, kind="stable")[:_SHUFFLED]
    shuffled = shuffled[gains[shuffled] > 0]
    few = as_dense(matrix[:, shuffled])
    judge = BoosterRegressor(settings, rounds=60, random_state=seed)
    judge.fit(few[known], target[known])
    rows = unseen[_sample(len(unseen), seed)]
    scores = np.zeros(matrix.shape[1])
    scores[shuffled] = permutation_importance(
        judge,
        few[rows],
        target[rows],
        scoring="neg_root_mean_squared_error",
        n_repeats=3,
        random_state=seed,
    ).importances_mean
    return scores


def _sample(rows: int, seed: int) -> npt.NDArray[np.int64]:
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[:_SAMPLE_ROWS])


_SCORES: Mapping[SelectionMethod, Callable[[Matrix, Targets, int], Scores]] = MappingProxyType(
    {
        "correlation": _correlation,
        "chi2": _chi2,
        "mutual_information": _mutual_information,
        "permutation": _permutation,
    }
)

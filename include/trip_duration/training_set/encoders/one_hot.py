"""One-hot encoding: a column for each pair of zones, and the numbers beside it."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from trip_duration.training_set.encoders import columns as read
from trip_duration.training_set.recipes import Recipe, get_recipe

#: Zone ids below this are looked up in a table; TLC's highest is 265.
_TABLE_SIZE = 512

_UNKNOWN = -1


class OneHotTripEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Sparse design matrix, column by column what a ``DictVectorizer`` makes of the same trips.

    For the recipe `pair_distance` the matrix equals that of scikit-learn's ``DictVectorizer`` on
    dicts of ``PU_DO`` (such as ``"74_75"``) and ``trip_distance``, as the course project builds
    it, but it is assembled from integer codes and has int32 indices, which scikit-learn's
    coordinate descent requires.

    Other recipes append one-hot hours and weekdays, and their attributes as numbers.

    Parameters
    ----------
    recipe
        Name of the recipe: which raw columns are read.
    clip_distance
        Longest distance in miles; None leaves distances as they are.

    Attributes
    ----------
    pairs_ : ndarray of shape (pairs, 2), int32
        Pick-up and drop-off zone of each one-hot column, in the order of the columns: sorted as
        text, as ``DictVectorizer`` sorts its feature names.
    table_ : ndarray of shape (512, 512), int32
        Column of each pair of zones, -1 for a pair that was not seen.
    """

    def __init__(self, recipe: str = "pair_distance", clip_distance: float | None = None) -> None:
        self.recipe = recipe
        self.clip_distance = clip_distance

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Learn the pairs of zones of trips of shape (trips, raw columns)."""
        read.require_columns(X, get_recipe(self.recipe).columns)
        self._learn(*_known_zones(X))
        return self

    def transform(self, X: pd.DataFrame) -> csr_matrix:
        """Encode trips as a CSR matrix of shape (trips, columns), float64 with int32 indices.

        A pair that was not seen in `fit` has no one-hot entry.
        """
        check_is_fitted(self)
        recipe = get_recipe(self.recipe)
        read.require_columns(X, recipe.columns)
        pair = self._pair_columns(*_known_zones(X))
        return _assemble(
            [pair, *self._further_columns(X, recipe)],
            [np.ones(len(X)), *self._further_values(X, recipe)],
            width=self.width_,
        )

    @property
    def width_(self) -> int:
        """Number of columns of the design matrix."""
        return len(self.get_feature_names_out())

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - scikit-learn's interface
        """Names of the columns, as ``DictVectorizer`` writes them: ``PU_DO=74_75``."""
        check_is_fitted(self)
        recipe = get_recipe(self.recipe)
        names = [f"PU_DO={pickup}_{dropoff}" for pickup, dropoff in self.pairs_.tolist()]
        if recipe.knows_time:
            names += [f"hour={hour}" for hour in range(read.HOURS_PER_DAY)]
            names += [f"weekday={day}" for day in range(read.DAYS_PER_WEEK)]
        names += recipe.attributes
        if recipe.knows_distance:
            names.append("trip_distance")
        return np.asarray(names, dtype=object)

    def _learn(self, pickup: read.IntArray, dropoff: read.IntArray) -> None:
        seen = np.zeros(_TABLE_SIZE * _TABLE_SIZE, dtype=bool)
        seen[pickup * _TABLE_SIZE + dropoff] = True
        codes = np.flatnonzero(seen)
        pairs = np.column_stack(np.divmod(codes, _TABLE_SIZE)).astype(np.int32)
        names = [f"{first}_{second}" for first, second in pairs.tolist()]
        order = sorted(range(len(names)), key=names.__getitem__)
        self.pairs_ = pairs[order]
        self.table_ = np.full((_TABLE_SIZE, _TABLE_SIZE), _UNKNOWN, dtype=np.int32)
        self.table_[self.pairs_[:, 0], self.pairs_[:, 1]] = np.arange(len(pairs), dtype=np.int32)

    def _pair_columns(self, pickup: read.IntArray, dropoff: read.IntArray) -> npt.NDArray[np.int32]:
        columns: npt.NDArray[np.int32] = self.table_.ravel()[pickup * _TABLE_SIZE + dropoff]
        return columns

    def _further_columns(self, trips: pd.DataFrame, recipe: Recipe) -> list[npt.NDArray[np.int32]]:
        first = len(self.pairs_)
        columns = []
        if recipe.knows_time:
            columns.append(first + read.hour_of_day(trips).astype(np.int32))
            first += read.HOURS_PER_DAY
            columns.append(first + read.weekday(trips).astype(np.int32))
            first += read.DAYS_PER_WEEK
        numbers = len(recipe.attributes) + recipe.knows_distance
        columns += [np.full(len(trips), first + i, dtype=np.int32) for i in range(numbers)]
        return columns

    def _further_values(self, trips: pd.DataFrame, recipe: Recipe) -> list[read.FloatArray]:
        values = [np.ones(len(trips))] * (2 * recipe.knows_time)
        values += [read.attribute(trips, name) for name in recipe.attributes]
        if recipe.knows_distance:
            values.append(read.distance(trips, self.clip_distance))
        return values


def _known_zones(trips: pd.DataFrame) -> tuple[read.IntArray, read.IntArray]:
    """Zone ids, with 0 (which TLC does not use) for what cannot be a zone."""
    pickup, dropoff = read.zones(trips)
    possible = (pickup > 0) & (pickup < _TABLE_SIZE) & (dropoff > 0) & (dropoff < _TABLE_SIZE)
    if possible.all():
        return pickup, dropoff
    return np.where(possible, pickup, 0), np.where(possible, dropoff, 0)


def _assemble(
    columns: list[npt.NDArray[np.int32]], values: list[read.FloatArray], *, width: int
) -> csr_matrix:
    """Interleave one entry per trip from each source; the pair's entry may be missing."""
    trips, entries = len(columns[0]), len(columns)
    indices = np.empty((trips, entries), dtype=np.int32)
    data = np.empty((trips, entries), dtype=np.float64)
    for position, (column, value) in enumerate(zip(columns, values, strict=True)):
        indices[:, position] = column
        data[:, position] = value
    known = indices[:, 0] != _UNKNOWN
    if known.all():
        starts = np.arange(0, trips * entries + 1, entries, dtype=np.int32)
        return csr_matrix((data.ravel(), indices.ravel(), starts), shape=(trips, width))
    starts = np.zeros(trips + 1, dtype=np.int32)
    np.cumsum(entries - 1 + known, out=starts[1:])
    stored = indices.ravel() != _UNKNOWN
    return csr_matrix((data.ravel()[stored], indices.ravel()[stored], starts), shape=(trips, width))

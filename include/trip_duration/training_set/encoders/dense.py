"""A few numbers per trip, for trees: zone codes, time, distance and target encodings."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import check_is_fitted

from trip_duration.training_set.encoders import columns as read
from trip_duration.training_set.recipes import Recipe, get_recipe

FOLDS = 5

#: Pick-up zone in the upper half, drop-off zone in the lower: no two pairs share a code.
_PAIR_SHIFT = np.int64(2**32)


class DenseTripEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Dense design matrix: zone ids as numbers, their mean durations, time and distance.

    Mean durations by pick-up zone, drop-off zone and pair are scikit-learn's
    `sklearn.preprocessing.TargetEncoder`: `fit_transform` encodes each trip by means that leave
    out its own fold (cross fitting), so that no trip is described by its own duration, while
    `transform` uses the means of all trips of `fit`.

    Parameters
    ----------
    recipe
        Name of the recipe: which raw columns are read.
    clip_distance
        Longest distance in miles; None leaves distances as they are.
    random_state
        Seed of the folds.

    Attributes
    ----------
    means_ : TargetEncoder
        Mean duration (minutes) by pick-up zone, drop-off zone and pair, shrunk towards the mean
        of all by empirical Bayes (Micci-Barreca, 2001).
    """

    def __init__(
        self,
        recipe: str = "rich",
        clip_distance: float | None = None,
        random_state: int = 42,
    ) -> None:
        self.recipe = recipe
        self.clip_distance = clip_distance
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Learn the mean durations; *X* has shape (trips, raw columns), *y* minutes."""
        read.require_columns(X, get_recipe(self.recipe).columns)
        self.means_ = self._target_encoder().fit(_categories(X), y)
        return self

    def fit_transform(self, X: pd.DataFrame, y: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Learn the mean durations and encode the same trips by cross fitting."""
        read.require_columns(X, get_recipe(self.recipe).columns)
        self.means_ = self._target_encoder()
        return self._stack(X, self.means_.fit_transform(_categories(X), y))

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Encode trips as a matrix of shape (trips, columns); unseen zones get the overall mean."""
        check_is_fitted(self)
        read.require_columns(X, get_recipe(self.recipe).columns)
        return self._stack(X, self.means_.transform(_categories(X)))

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - scikit-learn's interface
        """Names of the columns."""
        means = ["mean_duration_pickup", "mean_duration_dropoff", "mean_duration_pair"]
        recipe = get_recipe(self.recipe)
        time = ["hour", "weekday"] if recipe.knows_time else []
        distance = ["trip_distance"] if recipe.knows_distance else []
        names = ["PULocationID", "DOLocationID", *time, *recipe.attributes, *distance, *means]
        return np.asarray(names, dtype=object)

    def _target_encoder(self) -> TargetEncoder:
        folds = KFold(FOLDS, shuffle=True, random_state=self.random_state)
        return TargetEncoder(target_type="continuous", smooth="auto", cv=folds)

    def _stack(
        self, trips: pd.DataFrame, means: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32]:
        known = _plain_columns(trips, get_recipe(self.recipe), self.clip_distance)
        return np.column_stack([*known, means]).astype(np.float32)


def _plain_columns(
    trips: pd.DataFrame, recipe: Recipe, clip_distance: float | None
) -> list[npt.NDArray[np.float64] | npt.NDArray[np.int64]]:
    columns: list[npt.NDArray[np.float64] | npt.NDArray[np.int64]] = [*read.zones(trips)]
    if recipe.knows_time:
        columns += [read.hour_of_day(trips), read.weekday(trips)]
    columns += [read.attribute(trips, name) for name in recipe.attributes]
    if recipe.knows_distance:
        columns.append(read.distance(trips, clip_distance))
    return columns


def _categories(trips: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Pick-up zone, drop-off zone and their pair, shape (trips, 3)."""
    pickup, dropoff = read.zones(trips)
    return np.column_stack([pickup, dropoff, pickup * _PAIR_SHIFT + dropoff])

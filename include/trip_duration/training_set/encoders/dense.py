"""A few numbers per trip, for trees: zones, the map, time, distance and target encodings."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import check_is_fitted

from trip_duration import geometry
from trip_duration.recipes import DEFAULT_RECIPE, TripRecipe, get_recipe
from trip_duration.services import DROPOFF_ZONE, PICKUP_ZONE
from trip_duration.training_set.encoders import columns as read
from trip_duration.training_set.encoders.limits import MISSING, SHORTEST_DISTANCE
from trip_duration.training_set.encoders.sources import sources

FOLDS = 5

#: Minutes per mile that are learned from: 120 to 2 miles per hour.
_PACES = (0.5, 30.0)

#: Number of codes that a zone, an hour or a weekday may have.
CODES = np.int64(2**20)

_ZONE_CATEGORIES = ("pickup", "dropoff", "pair")
_TIME_CATEGORIES = ("pickup_hour", "dropoff_hour", "weekday_hour")


class DenseTripEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Dense design matrix: zones, what the map says of them, time, distance, and target encodings.

    Two things are learned by category, with scikit-learn's `sklearn.preprocessing.TargetEncoder`:
    the mean duration, and, where the recipe knows the distance, the mean logarithm of the pace
    (minutes per mile), from which follows how long the metered distance takes at that pace. The
    categories are the zones, their pair, and, where the recipe knows the time, each zone and the
    weekday with the hour. `fit_transform` encodes each trip by means that leave out its own fold
    (cross fitting), so that no trip is described by its own duration, while `transform` uses the
    means of all trips of `fit`.

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
    durations_ : TargetEncoder
        Mean duration (minutes) by category, shrunk towards the mean of all by empirical Bayes
        (Micci-Barreca, 2001).
    paces_ : TargetEncoder or None
        The same of the logarithm of minutes per mile.
    """

    def __init__(
        self,
        recipe: str = DEFAULT_RECIPE,
        clip_distance: float | None = None,
        random_state: int = 42,
    ) -> None:
        self.recipe = recipe
        self.clip_distance = clip_distance
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Learn from trips; *X* has shape (trips, raw columns), *y* minutes."""
        X, recipe = self._checked(X)
        categories, minutes = _categories(X, recipe), np.asarray(y, dtype=np.float64)
        self.durations_ = self._target_encoder().fit(categories, minutes)
        self.paces_ = None
        if recipe.knows_distance:
            self.paces_ = self._target_encoder().fit(categories, self._paces(X, minutes))
        return self

    def fit_transform(self, X: pd.DataFrame, y: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Learn from trips and encode the same trips by cross fitting."""
        X, recipe = self._checked(X)
        categories, minutes = _categories(X, recipe), np.asarray(y, dtype=np.float64)
        self.durations_, self.paces_ = self._target_encoder(), None
        durations, paces = self.durations_.fit_transform(categories, minutes), None
        if recipe.knows_distance:
            self.paces_ = self._target_encoder()
            paces = self.paces_.fit_transform(categories, self._paces(X, minutes))
        return self._stack(X, durations, paces)

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Encode trips as a matrix of shape (trips, columns); unseen zones get the overall mean."""
        check_is_fitted(self)
        X, recipe = self._checked(X)
        categories = _categories(X, recipe)
        paces = None if self.paces_ is None else self.paces_.transform(categories)
        return self._stack(X, self.durations_.transform(categories), paces)

    @staticmethod
    def sources(column: str) -> tuple[str, ...]:
        """Return the features that one of its columns is computed from."""
        return sources(column)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - scikit-learn's interface
        """Names of the columns."""
        recipe = get_recipe(self.recipe)
        time = ["hour", "weekday", "is_holiday"] if recipe.knows_time else []
        distance = ["trip_distance", "detour"] if recipe.knows_distance else []
        no_zone = np.zeros(1, dtype=np.int64)
        known = [
            PICKUP_ZONE,
            DROPOFF_ZONE,
            *geometry.features(no_zone, no_zone),
            *time,
            *recipe.attributes,
            *distance,
        ]
        learned = ["mean_duration", *(["log_pace", "minutes_at_pace"] * recipe.knows_distance)]
        names = [f"{what}_{category}" for what in learned for category in _category_names(recipe)]
        return np.asarray([*known, *names], dtype=object)

    def _checked(self, trips: pd.DataFrame) -> tuple[pd.DataFrame, TripRecipe]:
        recipe = get_recipe(self.recipe)
        return read.as_trained(trips, recipe.columns), recipe

    def _target_encoder(self) -> TargetEncoder:
        folds = KFold(FOLDS, shuffle=True, random_state=self.random_state)
        return TargetEncoder(target_type="continuous", smooth="auto", cv=folds)

    def _paces(self, trips: pd.DataFrame, minutes: read.FloatArray) -> read.FloatArray:
        miles = np.maximum(read.distance(trips, self.clip_distance), SHORTEST_DISTANCE)
        paces: read.FloatArray = np.log(np.clip(minutes / miles, *_PACES))
        return paces

    def _stack(
        self,
        trips: pd.DataFrame,
        durations: read.FloatArray,
        paces: read.FloatArray | None,
    ) -> npt.NDArray[np.float32]:
        known = _plain_columns(trips, get_recipe(self.recipe), self.clip_distance)
        learned = [durations]
        if paces is not None:
            miles = read.distance(trips, self.clip_distance)
            learned += [paces, np.exp(paces) * miles[:, np.newaxis]]
        return np.column_stack([*known, *learned]).astype(np.float32)


def _plain_columns(
    trips: pd.DataFrame, recipe: TripRecipe, clip_distance: float | None
) -> list[read.FloatArray | read.IntArray]:
    pickup, dropoff = read.zones(trips)
    columns: list[read.FloatArray | read.IntArray] = [pickup, dropoff]
    columns += geometry.features(pickup, dropoff).values()
    if recipe.knows_time:
        columns += [read.hour_of_day(trips), read.weekday(trips), read.is_holiday(trips)]
    columns += [read.attribute(trips, name) for name in recipe.attributes]
    if recipe.knows_distance:
        miles = read.distance(trips, clip_distance)
        columns += [miles, _detour(miles, geometry.centroid_miles(pickup, dropoff))]
    return columns


def _detour(miles: read.FloatArray, centroid_miles: read.FloatArray) -> read.FloatArray:
    """Metered miles for each mile between the centroids, which may be of the same zone."""
    known = centroid_miles >= 0
    return np.where(known, miles / (np.abs(centroid_miles) + SHORTEST_DISTANCE), MISSING)


def _category_names(recipe: TripRecipe) -> tuple[str, ...]:
    return (*_ZONE_CATEGORIES, *(_TIME_CATEGORIES if recipe.knows_time else ()))


def _categories(trips: pd.DataFrame, recipe: TripRecipe) -> read.IntArray:
    """Codes of the categories, shape (trips, categories)."""
    pickup, dropoff = read.zones(trips)
    codes = [pickup, dropoff, pickup * CODES + dropoff]
    if recipe.knows_time:
        hour = read.hour_of_day(trips).astype(np.int64)
        codes += [part * CODES + hour for part in (pickup, dropoff, read.weekday(trips))]
    return np.column_stack(codes)

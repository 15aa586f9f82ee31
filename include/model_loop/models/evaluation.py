"""Errors of predictions, overall, by slice and by zone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.pipeline import Pipeline

from model_loop.models.search import ErrorMetrics
from model_loop.training_set.matrices import Targets
from trip_duration.services import DISTANCE, DURATION, PICKUP_TIME, PICKUP_ZONE
from trip_duration.zones import zones

#: Lower bounds of the bands that errors are shown by.
_MILES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
_MINUTES = (0.0, 5.0, 10.0, 20.0, 40.0)


def measure(actual: Targets, predicted: npt.ArrayLike) -> ErrorMetrics:
    """Compare predicted with actual minutes, each of shape (trips,).

    Raises
    ------
    ValueError
        If a prediction is not finite.
    """
    predictions = np.asarray(predicted, dtype=np.float64)
    mse = float(mean_squared_error(actual, predictions))
    mae = float(mean_absolute_error(actual, predictions))
    spread = actual - np.mean(actual)
    with np.errstate(divide="ignore", invalid="ignore"):
        # If all trips take equally long, there is no spread to compare with.
        rae = float(np.float64(mae) / np.abs(spread).mean())
        rse = float(np.float64(mse) / np.square(spread).mean())
    return ErrorMetrics(
        rmse=mse**0.5, mse=mse, mae=mae, r2=float(r2_score(actual, predictions)), rae=rae, rse=rse
    )


@dataclass(frozen=True)
class Evaluation:
    """Errors and predictions of a model on trips that it has never seen.

    Parameters
    ----------
    metrics
        Errors of all trips.
    naive
        Errors of always saying the median duration of the trips that were learned from.
    slices
        Errors by part of the trips; see `errors_by_slice`.
    predictions
        ``actual`` and ``predicted`` minutes of each trip.
    zones
        Errors by the zone of the pick-up; see `errors_by_zone`. None in evaluations of earlier
        versions of this package.
    """

    metrics: ErrorMetrics
    naive: ErrorMetrics
    slices: pd.DataFrame
    predictions: pd.DataFrame
    zones: pd.DataFrame | None = None


def evaluate(model: Pipeline, trips: pd.DataFrame, learned: Targets) -> Evaluation | None:
    """Judge a model on raw trips with their durations; None where there are no trips.

    Parameters
    ----------
    learned
        Durations of the trips that the model has learned from.
    """
    if trips.empty:
        return None
    actual = trips[DURATION].to_numpy(dtype=np.float64)
    predicted = np.asarray(model.predict(trips.drop(columns=DURATION)), dtype=np.float64)
    return Evaluation(
        metrics=measure(actual, predicted),
        naive=measure(actual, np.full_like(actual, np.median(learned))),
        slices=errors_by_slice(trips, actual, predicted, described=True),
        predictions=pd.DataFrame({"actual": actual, "predicted": predicted}, dtype=np.float32),
        zones=errors_by_zone(trips, actual, predicted),
    )


def errors_by_zone(trips: pd.DataFrame, actual: Targets, predicted: Targets) -> pd.DataFrame:
    """Errors by the zone where trips begin.

    Returns
    -------
    pandas.DataFrame
        ``zone``, ``trips``, ``mae`` and ``bias`` (minutes).
    """
    errors = pd.DataFrame({"zone": trips[PICKUP_ZONE].to_numpy(), "error": predicted - actual})
    errors["absolute"] = errors.error.abs()
    return (
        errors.groupby("zone")
        .agg(trips=("error", "size"), mae=("absolute", "mean"), bias=("error", "mean"))
        .reset_index()
    )


def errors_by_slice(
    trips: pd.DataFrame, actual: Targets, predicted: Targets, *, described: bool = False
) -> pd.DataFrame:
    """Compute errors by borough and hour of the pick-up, and by distance.

    Slices that the trips do not tell, because the recipe has no such column, are left out.

    Parameters
    ----------
    described
        Add slices by the actual duration, for a description alone. Nothing is judged by them: they
        are chosen by the outcome, so that a model that predicts the mean of what can happen looks
        biased in each of them, and one that knows more does not look better in all.

    Returns
    -------
    pandas.DataFrame
        ``slice``, ``value``, ``trips``, ``rmse`` and ``mae`` (minutes), and ``bias``: the mean of
        predicted less actual minutes.
    """
    errors = pd.DataFrame({"error": predicted - actual})
    errors["squared"], errors["absolute"] = errors.error**2, errors.error.abs()
    parts = []
    slices = slices_of(trips)
    if described:
        slices["duration"] = _bands(actual, _MINUTES, "minutes")
    for name, values in slices.items():
        found = errors.groupby(pd.Series(values), observed=True).agg(
            trips=("error", "size"),
            rmse=("squared", "mean"),
            mae=("absolute", "mean"),
            bias=("error", "mean"),
        )
        found["rmse"] **= 0.5
        found.insert(0, "value", found.index.astype(str))
        found.insert(0, "slice", name)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def slices_of(trips: pd.DataFrame) -> dict[str, Any]:
    """Return the slice of each trip, by the name of the slices, from what is known beforehand.

    A trip whose pick-up time or distance is unknown belongs to no such slice.
    """
    boroughs = zones().borough.reindex(trips[PICKUP_ZONE]).fillna("Unknown").to_numpy()
    slices: dict[str, Any] = {"borough": boroughs}
    if PICKUP_TIME in trips:
        # Hours stay whole numbers where one is unknown.
        slices["hour"] = trips[PICKUP_TIME].dt.hour.astype("Int64").array
    if DISTANCE in trips:
        slices["distance"] = _bands(trips[DISTANCE].to_numpy(), _MILES, "miles")
    return slices


def _bands(values: npt.NDArray[np.float64], bounds: Sequence[float], unit: str) -> pd.Categorical:
    names = [f"{low:g} to {high:g} {unit}" for low, high in itertools.pairwise(bounds)]
    names.append(f"{bounds[-1]:g} {unit} and more")
    return pd.cut(values, [*bounds, np.inf], labels=names, right=False)

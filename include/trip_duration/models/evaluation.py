"""How far predictions are off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.pipeline import Pipeline

from trip_duration.models.search import Metrics
from trip_duration.training_set.types import Minutes
from trip_duration.trips.services import DURATION


def measure(actual: Minutes, predicted: npt.ArrayLike) -> Metrics:
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
        # Where all trips take equally long there is no spread to compare with.
        rae = float(np.float64(mae) / np.abs(spread).mean())
        rse = float(np.float64(mse) / np.square(spread).mean())
    return Metrics(
        rmse=mse**0.5, mse=mse, mae=mae, r2=float(r2_score(actual, predictions)), rae=rae, rse=rse
    )


def evaluate(model: Pipeline, trips: pd.DataFrame) -> Metrics | None:
    """Judge a model on raw trips with their durations; None where there are no trips."""
    if trips.empty:
        return None
    return measure(
        trips[DURATION].to_numpy(dtype=np.float64), model.predict(trips.drop(columns=DURATION))
    )

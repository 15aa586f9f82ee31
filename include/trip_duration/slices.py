"""Slices of trips: by borough and hour of the pick-up, by distance and by duration."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trip_duration.services import DISTANCE, PICKUP_TIME, PICKUP_ZONE
from trip_duration.zones import zones

#: Lower bounds of the bands that errors are shown by.
_MILES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
_MINUTES = (0.0, 5.0, 10.0, 20.0, 40.0)


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


def duration_bands(minutes: npt.NDArray[np.float64]) -> pd.Categorical:
    """Return the band of each duration."""
    return _bands(minutes, _MINUTES, "minutes")


def errors_by_zone(
    trips: pd.DataFrame, actual: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]
) -> dict[str, pd.DataFrame]:
    """Return errors by the zone where trips begin, as the table ``zones``.

    Returns
    -------
    dict
        ``zone``, ``trips``, ``mae`` and ``bias`` (minutes).
    """
    errors = pd.DataFrame({"zone": trips[PICKUP_ZONE].to_numpy(), "error": predicted - actual})
    errors["absolute"] = errors.error.abs()
    by_zone = errors.groupby("zone").agg(
        trips=("error", "size"), mae=("absolute", "mean"), bias=("error", "mean")
    )
    return {"zones": by_zone.reset_index()}


def _bands(values: npt.NDArray[np.float64], bounds: Sequence[float], unit: str) -> pd.Categorical:
    names = [f"{low:g} to {high:g} {unit}" for low, high in itertools.pairwise(bounds)]
    names.append(f"{bounds[-1]:g} {unit} and more")
    return pd.cut(values, [*bounds, np.inf], labels=names, right=False)

"""Durations that predictions are judged by: those of the published trips that they were made for.

A published month names no predictions: its trips are those that were predicted where all that was
asked is what was published.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from trip_duration.batches import TripBatch
from trip_duration.cleaning import Selection, TripArrays, take_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth
from trip_duration.contract.rules import MINUTES_PER_DAY, Mask
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    DURATION,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
    get_service,
)

#: Columns by which a trip is found; without one of them a prediction cannot be matched.
_PLACE_AND_TIME = (PICKUP_ZONE, DROPOFF_ZONE, PICKUP_TIME)
#: Further columns that have to agree, where the request had them.
_FURTHER = (DISTANCE, PASSENGERS, VENDOR, TRIP_TYPE)
#: Distances are published to the hundredth; a request may have rounded its binary form.
_TOLERANCE = 1e-6
_MICROSECONDS = 1_000_000
#: More than any zone.
_ZONES = 512


def find_labels(
    asked: pd.DataFrame, month: CheckedMonth
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the durations of the trips of a month that predictions were made for.

    A prediction meets a trip where pick-up zone, drop-off zone and pick-up time (to the second) are
    the same, and so is whatever else was asked. The month is read in batches: memory depends on the
    predictions alone.

    Parameters
    ----------
    asked
        Raw columns of the predictions.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Minutes of a trip that agrees with each prediction; and how many trips agree with it, -1 of
        predictions whose zones or time were not logged, or whose pick-up lies in another month.

    Raises
    ------
    ContractError
        If the file is damaged, or there is none.
    """
    # A pair of zones and the moment; trips of a month outside of it cannot be distinguished.
    open_rows = np.flatnonzero(_is_placed(asked, month))
    placed = asked.iloc[open_rows].reset_index(drop=True)
    keys = _keys(placed)
    service = get_service(month.raw.service)
    candidates = _TripCandidates(
        TripArrays(service, (*_PLACE_AND_TIME, *_FURTHER, DURATION), month.report.rows),
        np.unique(keys),
    )
    # The longest trips too: among all that agree, one must not pass for the only one.
    selection = Selection((*_PLACE_AND_TIME, *_FURTHER), CleaningRules(0.0, MINUTES_PER_DAY))
    take_month(month, service, selection, candidates)
    minutes, agreeing = np.full(len(asked), np.nan), np.full(len(asked), -1)
    minutes[open_rows], agreeing[open_rows] = _meet(placed, keys, candidates.trips.frame())
    return minutes, agreeing


@dataclass(frozen=True)
class _TripCandidates:
    """Takes the trips of a month that begin where and when one was predicted.

    Parameters
    ----------
    trips
        Takes them.
    wanted
        Keys of what was predicted, sorted.
    """

    trips: TripArrays
    wanted: npt.NDArray[np.int64]

    def append(self, batch: TripBatch, wanted: Mask) -> None:
        """Take what may be meant of a batch."""
        if not len(self.wanted):
            return
        keys = _pack(*(batch[name] for name in _PLACE_AND_TIME))
        places = np.minimum(np.searchsorted(self.wanted, keys), len(self.wanted) - 1)
        self.trips.append(batch, wanted & (self.wanted[places] == keys))


def _is_placed(trips: pd.DataFrame, month: CheckedMonth) -> npt.NDArray[np.bool_]:
    """Return whether zones and time are present and the pick-up is in the month, shape (trips,)."""
    if any(name not in trips for name in _PLACE_AND_TIME):
        return np.zeros(len(trips), dtype=bool)
    begins = trips[PICKUP_TIME].dt.strftime("%Y-%m") == month.raw.month
    known = trips[list(_PLACE_AND_TIME)].notna().all(axis=1)
    placed: npt.NDArray[np.bool_] = (begins & known).to_numpy()
    return placed


def _keys(trips: pd.DataFrame) -> npt.NDArray[np.int64]:
    if trips.empty:
        return np.empty(0, dtype=np.int64)
    moments = trips[PICKUP_TIME].to_numpy().astype("datetime64[us]").astype(np.int64)
    return _pack(trips[PICKUP_ZONE].to_numpy(), trips[DROPOFF_ZONE].to_numpy(), moments)


def _pack(
    pickup: npt.NDArray[np.generic],
    dropoff: npt.NDArray[np.generic],
    microseconds: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """One whole number for two zones and a second."""
    seconds = microseconds // _MICROSECONDS
    return (seconds * _ZONES + pickup.astype(np.int64)) * _ZONES + dropoff.astype(np.int64)


def _meet(
    asked: pd.DataFrame, keys: npt.NDArray[np.int64], trips: pd.DataFrame
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Minutes of a trip that agrees with each prediction, and how many agree with it."""
    ours = asked.reindex(columns=_FURTHER).assign(key=keys, number=np.arange(len(asked)))
    theirs = trips[[*_FURTHER, DURATION]].assign(key=_keys(trips))
    pairs = ours.merge(theirs, on="key", suffixes=("", "_published"))
    agree = np.ones(len(pairs), dtype=bool)
    for name in _FURTHER:
        mine, published = (pairs[one].to_numpy(np.float64) for one in (name, f"{name}_published"))
        agree &= np.isnan(mine) | (np.abs(mine - published) <= _TOLERANCE)
    found = pairs[agree]
    minutes = np.full(len(asked), np.nan)
    minutes[found["number"]] = found[DURATION]
    return minutes, np.bincount(found["number"], minlength=len(asked))

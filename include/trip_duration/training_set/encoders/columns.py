"""Numbers read off the raw columns, shared by the encoders."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from model_loop.days import SECONDS_PER_DAY, weekday_of
from model_loop.errors import ContractError
from trip_duration.columns import ATTRIBUTES, LARGEST_NUMBER
from trip_duration.services import DISTANCE, DROPOFF_ZONE, LAST_ZONE, PICKUP_TIME, PICKUP_ZONE
from trip_duration.values import FIRST_YEAR, LAST_YEAR, TIME_FORMS, TIME_ZONE, read_time

_EPOCH_YEAR = 1970
_EARLIEST, _END = np.datetime64(f"{FIRST_YEAR}-01-01"), np.datetime64(f"{LAST_YEAR + 1}-01-01")
_TIME_RULE = f"not a time in the years {FIRST_YEAR} to {LAST_YEAR}"

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ZoneArray = npt.NDArray[np.int32] | npt.NDArray[np.int64]
Trips = pd.DataFrame | Mapping[str, pd.api.extensions.ExtensionArray]
"""Columns by name."""

ZONES = (PICKUP_ZONE, DROPOFF_ZONE)


def as_trained(trips: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return trips with the columns of a recipe in the types of prepared months.

    People's frames hold nullable whole numbers, times as text, or no passenger count. A frame that
    has the types already is returned as it is.

    Raises
    ------
    ContractError
        If a column is missing that a trip cannot do without, or holds what no trip has: an answer
        to that would be a wrong number without a word.
    """
    missing = [name for name in columns if name not in trips.columns and name not in ATTRIBUTES]
    if missing:
        raise ContractError(
            f"Trips with the columns {list(trips.columns)}",
            f"lack {', '.join(missing)}",
            f"Give every raw column of the recipe: {', '.join(columns)}.",
        )
    if twice := [name for name in columns if list(trips.columns).count(name) > 1]:
        raise ContractError(
            f"The column {twice[0]}", "is there more than once", "Give each column once."
        )
    changed: dict[str, Any] = {}
    for name in columns:
        if name not in trips.columns:
            changed[name] = math.nan
        elif name == PICKUP_TIME:
            if trips[name].dtype.kind != "M" or isinstance(trips[name].dtype, pd.DatetimeTZDtype):
                changed[name] = _as_times(trips[name])
        elif not isinstance(trips[name].dtype, np.dtype) or trips[name].dtype.kind not in "iuf":
            changed[name] = _as_numbers(trips[name])
    found = trips.assign(**changed) if changed else trips
    for name in columns:
        _require_possible(name, found[name].to_numpy())
    return found


def _as_numbers(values: pd.Series[Any]) -> FloatArray:
    truths = pd.api.types.is_bool_dtype(values.dtype) or (
        values.dtype == object and any(isinstance(value, bool | np.bool_) for value in values)
    )
    if truths:
        # NumPy would count them.
        raise ContractError(
            f"The column {values.name}",
            "holds a value that is not a number (true or false)",
            "Give numbers.",
        )
    try:
        return values.to_numpy(dtype=np.float64, na_value=math.nan)
    except (ValueError, TypeError) as error:
        raise ContractError(
            f"The column {values.name}",
            f"holds a value that is not a number ({error})",
            "Give numbers.",
        ) from error


def _require_possible(name: str, values: npt.NDArray[Any]) -> None:
    """Refuse what the contract drops from months: no model has learned anything of it."""
    if name == PICKUP_TIME:
        # NaT is neither.
        wrong, rule = ~((values >= _EARLIEST) & (values < _END)), _TIME_RULE
    elif name in ZONES:
        wrong = ~((values >= 1) & (values <= LAST_ZONE))
        if values.dtype.kind == "f":
            wrong |= values != np.floor(values)
        rule = f"not a zone, a whole number from 1 to {LAST_ZONE}"
    elif name == DISTANCE:
        wrong, rule = ~((values >= 0) & (values < np.inf)), "not a distance of 0 miles or more"
    else:
        # NaN, for what is not known, is neither.
        wrong = (values < 0) | (values > LARGEST_NUMBER)
        rule = f"not a number from 0 to {LARGEST_NUMBER:,.0f}"
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    raise ContractError(
        f"The column {name}",
        f"holds {values[first]} in row {first + 1}, which is {rule}; "
        f"so {np.count_nonzero(wrong)} of {len(values)} rows cannot be predicted",
        "Leave them out, or let model-loop score predict a file: it sets such rows apart.",
    )


def _as_times(values: pd.Series[Any]) -> pd.Series[Any]:
    """Read ISO times; those with a distance from Greenwich become New York's."""
    try:
        read = [pd.Timestamp(_as_time(value)) for value in values]
    except (ValueError, TypeError) as error:
        raise ContractError(
            f"The column {values.name}",
            f"holds a time that cannot be read ({error})",
            f"Give times as {TIME_FORMS}.",
        ) from error
    local = [
        time if time.tzinfo is None else time.tz_convert(TIME_ZONE).tz_localize(None)
        for time in read
    ]
    return pd.Series(local, index=values.index, dtype="datetime64[us]")


def _as_time(value: Any) -> Any:  # noqa: ANN401 - a cell of any kind
    """Return a moment; days and numbers, which pandas would take for one, are none."""
    if isinstance(value, str):
        try:
            return read_time(value)
        except ValueError as error:
            message = f"{value!r} {error}"
            raise ValueError(message) from error
    if isinstance(value, dt.datetime | np.datetime64) or pd.isna(value):
        return value
    message = f"{value} is not a time"
    raise ValueError(message)


def zones(trips: Trips) -> tuple[IntArray, IntArray]:
    """Pick-up and drop-off zone ids, each of shape (trips,)."""
    return (
        trips[PICKUP_ZONE].to_numpy(dtype=np.int64),
        trips[DROPOFF_ZONE].to_numpy(dtype=np.int64),
    )


def narrow_zones(trips: Trips) -> tuple[ZoneArray, ZoneArray]:
    """Return the zones as int32; without a copy where both are, as in prepared months."""
    pickup, dropoff = (trips[name] for name in ZONES)
    if pickup.dtype == dropoff.dtype == np.int32:
        return pickup.to_numpy(dtype=np.int32), dropoff.to_numpy(dtype=np.int32)
    return zones(trips)


def distance(trips: Trips, clip_distance: float | None) -> FloatArray:
    """Distance in miles, shape (trips,), no longer than *clip_distance* where that is given."""
    miles = trips[DISTANCE].to_numpy(dtype=np.float64)
    return miles if clip_distance is None else np.minimum(miles, clip_distance)


def hour_of_day(trips: Trips) -> FloatArray:
    """Pick-up time as hours since midnight with minutes as a fraction, shape (trips,)."""
    return (_pickup_seconds(trips) % SECONDS_PER_DAY) / 3_600


def weekday(trips: Trips) -> IntArray:
    """Day of the week of the pick-up, Monday = 0, shape (trips,)."""
    return weekday_of(_pickup_seconds(trips) // SECONDS_PER_DAY)


def is_holiday(trips: Trips) -> FloatArray:
    """Return 1 where the pick-up is on a federal holiday of the United States, else 0."""
    days = trips[PICKUP_TIME].to_numpy().astype("datetime64[D]")
    if not len(days):
        return np.empty(0)
    years = days.astype("datetime64[Y]").astype(np.int64) + _EPOCH_YEAR
    known = holidays_between(int(years.min()), int(years.max()))
    return np.isin(days, known).astype(np.float64)


@functools.cache
def holidays_between(first_year: int, last_year: int) -> npt.NDArray[np.datetime64]:
    """Federal holidays of the United States in some years, as days."""
    days = USFederalHolidayCalendar().holidays(f"{first_year}-01-01", f"{last_year}-12-31")
    found: npt.NDArray[np.datetime64] = days.to_numpy().astype("datetime64[D]")
    return found


def attribute(trips: Trips, column: str) -> FloatArray:
    """A small whole number known at the start; 0, which no trip means, where it is missing."""
    values = trips[column].to_numpy(dtype=np.float64)
    return np.where(np.isnan(values), 0.0, values)


def _pickup_seconds(trips: Trips) -> IntArray:
    return trips[PICKUP_TIME].to_numpy().astype("datetime64[s]").astype(np.int64)

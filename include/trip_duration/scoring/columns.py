"""From rows as they are given to the raw columns of a model, and what is wrong with the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trip_duration.errors import InvalidInputError
from trip_duration.trips.services import (
    DISTANCE,
    DROPOFF_ZONE,
    LAST_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    SERVICES,
    TRIP_TYPE,
    VENDOR,
)

#: TLC's times are New York's, without a zone.
TIME_ZONE = "America/New_York"

_ZONES = (PICKUP_ZONE, DROPOFF_ZONE)
_ATTRIBUTES = (PASSENGERS, VENDOR, TRIP_TYPE)
_FRIENDLY = {PICKUP_TIME: "pickup_at", PICKUP_ZONE: "pickup_zone", DROPOFF_ZONE: "dropoff_zone"}

#: A time that says how far it is from Greenwich.
_WITH_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})\s*$")


def _names() -> Mapping[str, tuple[str, ...]]:
    ours = (PICKUP_TIME, *_ZONES, DISTANCE, *_ATTRIBUTES)
    return MappingProxyType(
        {
            name: tuple(
                dict.fromkeys(
                    (
                        name,
                        *((_FRIENDLY[name],) if name in _FRIENDLY else ()),
                        *(service.columns.get(name, name) for service in SERVICES.values()),
                    )
                )
            )
            for name in ours
        }
    )


#: By which names each raw column may be given: ours, the friendly one, and those of the services.
NAMES = _names()


@dataclass(frozen=True)
class CheckedRows:
    """Rows, of which some can be predicted.

    Parameters
    ----------
    trips
        The raw columns of the model, of the rows that can be; its index counts the rows given.
    reasons
        Why the others cannot, shape (rows given,); None for those that can.
    """

    trips: pd.DataFrame
    reasons: npt.NDArray[np.object_]


def find_columns(given: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Which of the given columns holds each that a model wants.

    Raises
    ------
    InvalidInputError
        If one is lacking, or is given twice.
    """
    present, found, missing = list(given), {}, []
    for name in wanted:
        names = [other for other in NAMES.get(name, (name,)) if other in present]
        if len(names) > 1 and name not in names:
            raise InvalidInputError(
                f"The columns {' and '.join(names)}", f"both mean {name}", "Give one of them."
            )
        if names:
            found[name] = names[0]
        elif name not in _ATTRIBUTES:
            missing.append(name)
    if missing:
        called = "; ".join(" or ".join(NAMES.get(name, (name,))) for name in missing)
        raise InvalidInputError(
            f"The input with the columns {', '.join(map(str, present))}",
            f"lacks {', '.join(missing)}",
            f"The model needs {called}.",
        )
    return found


def check_rows(rows: pd.DataFrame, wanted: Sequence[str]) -> CheckedRows:
    """Read the raw columns of a model off rows of numbers, times or text.

    A number of passengers, vendor or trip type that is not given is unknown to the model, as it is
    in TLC's own files.

    Raises
    ------
    InvalidInputError
        If a column is lacking, or is given twice.
    """
    names = find_columns(map(str, rows.columns), wanted)
    reasons: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    columns: dict[str, Any] = {}
    for name in wanted:
        if name not in names:
            columns[name] = np.full(len(rows), np.nan)
        else:
            columns[name] = _read(name, rows[names[name]].reset_index(drop=True), reasons)
    trips = pd.DataFrame(columns)[pd.isna(reasons)]
    zones = {name: np.int32 for name in _ZONES if name in columns}
    return CheckedRows(trips.astype(zones), reasons)


def _read(name: str, given: pd.Series[Any], reasons: npt.NDArray[np.object_]) -> Any:  # noqa: ANN401 - an array of any kind
    if name == PICKUP_TIME:
        times = _times(given)
        _refuse(reasons, times.isna(), given, "is no time", needed=True)
        return times.to_numpy()
    if name not in NAMES:
        return given.to_numpy()
    numbers = _numbers(given)
    no_number = np.isnan(numbers) & given.notna().to_numpy()
    _refuse(reasons, no_number, given, "is no number")
    if name in _ZONES:
        wrong = ~((numbers >= 1) & (numbers <= LAST_ZONE) & (numbers == np.floor(numbers)))
        _refuse(reasons, wrong, given, f"is no zone from 1 to {LAST_ZONE}", needed=True)
    elif name == DISTANCE:
        wrong = ~((numbers >= 0) & (numbers < np.inf))
        _refuse(reasons, wrong, given, "is no distance of 0 miles or more", needed=True)
    else:
        _refuse(reasons, np.isinf(numbers), given, "is infinite")
    return numbers


def _refuse(
    reasons: npt.NDArray[np.object_],
    wrong: Any,  # noqa: ANN401 - a mask, of NumPy's or of pandas'
    given: pd.Series[Any],
    rule: str,
    *,
    needed: bool = False,
) -> None:
    """Say why the wrong rows cannot be predicted; the first reason of a row stands."""
    rows = np.flatnonzero(np.asarray(wrong) & pd.isna(reasons))
    for row, value in zip(rows, given.iloc[rows], strict=True):
        missing = needed and pd.isna(value)
        reasons[row] = f"{given.name} is missing" if missing else f"{given.name} = {value} {rule}"


def _numbers(given: pd.Series[Any]) -> npt.NDArray[np.float64]:
    numbers = pd.to_numeric(given, errors="coerce")
    found: npt.NDArray[np.float64] = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def _times(given: pd.Series[Any]) -> pd.Series[Any]:
    """Times as microseconds of New York's clocks; NaT for what is none."""
    if isinstance(given.dtype, pd.DatetimeTZDtype):
        local: pd.Series[Any] = given.dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
        return local.astype("datetime64[us]")
    if pd.api.types.is_datetime64_dtype(given.dtype):
        return given.astype("datetime64[us]")
    text = given.astype("string").str.strip()
    elsewhere = text.str.contains(_WITH_OFFSET).fillna(value=False).astype(bool)
    times: pd.Series[Any] = pd.to_datetime(
        text.where(~elsewhere), errors="coerce", format="ISO8601"
    ).astype("datetime64[us]")
    if elsewhere.any():
        moments = pd.to_datetime(text[elsewhere], errors="coerce", format="ISO8601", utc=True)
        times[elsewhere] = moments.dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    return times

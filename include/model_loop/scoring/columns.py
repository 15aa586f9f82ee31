"""From rows as they are given to the raw columns of a model, and what is wrong with the others."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.errors import InvalidInputError
from model_loop.trips.services import (
    ATTRIBUTES,
    DISTANCE,
    DROPOFF_ZONE,
    LAST_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
    SERVICES,
)
from model_loop.trips.values import (
    FIRST_YEAR,
    LARGEST_NUMBER,
    LAST_YEAR,
    LONGEST_DISTANCE,
    PLAIN,
    TIME_ZONE,
    outside,
    read_time,
)
from model_loop.trips.zone_names import known_zone

_ZONES = (PICKUP_ZONE, DROPOFF_ZONE)
_FRIENDLY = {PICKUP_TIME: "pickup_at", PICKUP_ZONE: "pickup_zone", DROPOFF_ZONE: "dropoff_zone"}

_LARGEST_FLOAT = sys.float_info.max
#: Characters of a value that a reason shows.
_SHOWN = 60
_EARLIEST = np.datetime64(f"{FIRST_YEAR}-01-01")
_END = np.datetime64(f"{LAST_YEAR + 1}-01-01")
#: A time with its distance from Greenwich, in forms that pandas reads at once.
_WITH_OFFSET = rf"({PLAIN})(?:Z|([+-]\d{{2}}:?\d{{2}}))"


def _names() -> Mapping[str, tuple[str, ...]]:
    ours = (PICKUP_TIME, *_ZONES, DISTANCE, *ATTRIBUTES)
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


def given_columns(names: Iterable[str]) -> set[str]:
    """Return the raw columns that are given under any of their names."""
    named = set(names)
    return {name for name, others in NAMES.items() if named & set(others)}


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
        elif name not in ATTRIBUTES:
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
        times = read_times(given)
        _refuse(reasons, times.isna(), given, _wrong_time, needed=True)
        return times.to_numpy()
    if name not in NAMES:
        return given.to_numpy()
    numbers = read_numbers(given)
    no_number = np.isnan(numbers) & given.notna().to_numpy()
    if name in _ZONES:
        numbers[no_number] = _named(given[no_number])
        no_name = np.isnan(numbers) & no_number
        _refuse(reasons, no_name, given, "is no number and no name of a zone")
        wrong = ~((numbers >= 1) & (numbers <= LAST_ZONE) & (numbers == np.floor(numbers)))
        _refuse(reasons, wrong, given, f"is no zone from 1 to {LAST_ZONE}", needed=True)
        return numbers
    _refuse(reasons, no_number, given, "is no number")
    if name == DISTANCE:
        wrong = ~((numbers >= 0) & (numbers < np.inf))
        _refuse(reasons, wrong, given, "is no distance of 0 miles or more", needed=True)
        far = numbers > LONGEST_DISTANCE
        _refuse(reasons, far, given, f"is more than {LONGEST_DISTANCE:,.0f} miles")
    else:
        _refuse(reasons, np.isinf(numbers), given, "is infinite")
        odd = (numbers < 0) | (numbers > LARGEST_NUMBER)
        _refuse(reasons, odd, given, f"is no number from 0 to {LARGEST_NUMBER:,.0f}")
    return numbers


def _refuse(
    reasons: npt.NDArray[np.object_],
    wrong: Any,  # noqa: ANN401 - a mask, of NumPy's or of pandas'
    given: pd.Series[Any],
    rule: str | Callable[[object], str],
    *,
    needed: bool = False,
) -> None:
    """Say why the wrong rows cannot be predicted; the first reason of a row stands."""
    rows = np.flatnonzero(np.asarray(wrong) & pd.isna(reasons))
    for row, value in zip(rows, given.iloc[rows], strict=True):
        if needed and pd.isna(value):
            reasons[row] = f"{given.name} is missing"
        else:
            broken = rule if isinstance(rule, str) else rule(value)
            reasons[row] = f"{given.name} = {shown(value)} {broken}"


def shown(value: Any) -> str:  # noqa: ANN401 - a cell of any kind
    """Return a value for people, on one line: what is written is counted in lines."""
    if isinstance(value, pd.Timestamp) and not dt.MINYEAR <= value.year <= dt.MAXYEAR:
        # Python writes no such year; NumPy does.
        value = value.asm8
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        # Python writes none of more than 4,300 digits.
        return f"a whole number of more than {_SHOWN} digits"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def read_numbers(given: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return numbers; NaN for what is none."""
    if isinstance(given.dtype, pd.CategoricalDtype):
        given = given.astype(object)
    kinds = pd.api.types
    if kinds.is_object_dtype(given.dtype):
        given = given if kinds.infer_dtype(given) == "string" else given.map(_number)
    elif kinds.is_bool_dtype(given.dtype) or not (
        kinds.is_numeric_dtype(given.dtype) or kinds.is_string_dtype(given.dtype)
    ):
        # Arrow and pandas would count truths, moments and spans of time.
        return np.full(len(given), np.nan)
    numbers = pd.to_numeric(given, errors="coerce")
    # A copy: names of zones are written into it.
    found: npt.NDArray[np.float64] = numbers.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    return found


def _number(value: object) -> object:
    """Return a number or a text as it is, and None for what is neither: a truth, a list, a time."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_FLOAT:
        # A number that no float can hold is out of any bounds all the same.
        return math.copysign(_LARGEST_FLOAT, value > 0 or -1)
    numeric = isinstance(value, str | bytes | Real | Decimal)
    return value if numeric and not isinstance(value, bool | np.bool_) else None


def _named(given: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return the numbers of zones that are given by name; NaN for names of none, or of several."""
    names = [name if isinstance(name, str) else "" for name in given]
    known = {name: known_zone(name) for name in set(names)}
    return np.array([known[name] or np.nan for name in names], dtype=np.float64)


def read_times(given: pd.Series[Any]) -> pd.Series[Any]:
    """Return times as microseconds of New York's clocks; NaT for what is none, or out of bounds."""
    if isinstance(given.dtype, pd.DatetimeTZDtype):
        # Bounds first, a day wide: the clocks of a far year cannot be converted.
        day = np.timedelta64(1, "D")
        moments = given.dt.tz_convert("UTC").dt.tz_localize(None)
        near = given.where(_within(moments, _EARLIEST - day, _END + day))
        local = near.dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    elif pd.api.types.is_datetime64_dtype(given.dtype):
        local = given
    else:
        local = _times_of_text(given.astype("string").str.strip())
    times: pd.Series[Any] = local.where(_within(local, _EARLIEST, _END)).astype("datetime64[us]")
    return times


def _within(times: pd.Series[Any], first: np.datetime64, end: np.datetime64) -> pd.Series[Any]:
    """Return which times lie within bounds, without a conversion that a far year would break."""
    return (times >= first) & (times < end)


def _times_of_text(text: pd.Series[Any]) -> pd.Series[Any]:
    """Return New York's times of texts: of the usual forms at once, of others one by one."""
    plain = text.str.fullmatch(PLAIN).fillna(value=False).astype(bool)
    times: pd.Series[Any] = pd.to_datetime(text.where(plain), errors="coerce", format="ISO8601")
    others = text[~plain & text.notna()]
    if others.empty:
        return times
    times = times.astype("datetime64[us]")
    usual = others.str.fullmatch(_WITH_OFFSET).astype(bool)
    if usual.any():
        moments = pd.to_datetime(others[usual], errors="coerce", format="ISO8601", utc=True)
        times[moments.index] = moments.dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    found = {text: _time(text) for text in others[~usual].unique()}
    singly = others[~usual].map(found)
    times[singly.index] = singly.astype("datetime64[us]")
    return times


def _time(text: str) -> dt.datetime | None:
    try:
        return read_time(text)
    except ValueError:
        return None


def _wrong_time(value: object) -> str:
    """Return which rule a time breaks."""
    if not isinstance(value, str):
        return outside() if isinstance(value, pd.Timestamp) else _wrong_time(str(value))
    try:
        read_time(value)
    except ValueError as error:
        return str(error)
    return outside()

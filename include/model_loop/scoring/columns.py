"""From rows of files to the raw columns of a model, and what is wrong with the others.

Whole columns are read at once, and accepted where they are plainly right; every other row is read
by `datasets.reading`, as a request is. So a row means the same in a file and in a request.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Column
from model_loop.datasets.reading import Problem
from model_loop.errors import InvalidInputError
from model_loop.scoring.assumptions import OFF_THE_MAP
from model_loop.scoring.typical import typical_miles
from trip_duration.columns import TRIP_COLUMNS, TRIP_READER
from trip_duration.services import DISTANCE, DROPOFF_ZONE, PICKUP_ZONE
from trip_duration.values import FIRST_YEAR, LAST_YEAR, PLAIN, TIME_ZONE, read_time
from trip_duration.zone_names import known_zone

_LARGEST_FLOAT = sys.float_info.max
_EARLIEST = np.datetime64(f"{FIRST_YEAR}-01-01")
_END = np.datetime64(f"{LAST_YEAR + 1}-01-01")
#: Stands for the present moment where none is assumed; the row is refused then.
_NO_TIME = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - on no clocks
#: A time with its distance from Greenwich, in forms that pandas reads at once.
_WITH_OFFSET = rf"({PLAIN})(?:Z|([+-]\d{{2}}:?\d{{2}}))"


@dataclass(frozen=True)
class CheckedRows:
    """Rows, of which some can be predicted.

    Parameters
    ----------
    trips
        The raw columns of the model, of the rows that can be; its index counts the rows given.
    reasons
        Reasons why the others cannot, shape (rows given,); None for those that can.
    assumed
        Fields of each row whose values were left out and assumed, separated by commas, shape (rows
        given,); None where nothing was.
    """

    trips: pd.DataFrame
    reasons: npt.NDArray[np.object_]
    assumed: npt.NDArray[np.object_]


def find_columns(given: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return the given column that holds each that a model wants, and each other one of the table.

    Raises
    ------
    InvalidInputError
        If one that a model wants is lacking, or one is given twice.
    """
    present, found, missing = list(given), {}, []
    for name in dict.fromkeys((*wanted, *TRIP_COLUMNS.names)):
        place = TRIP_COLUMNS.places.get(name)
        column = None if place is None else TRIP_COLUMNS[place]
        names = [other for other in (column.names if column else (name,)) if other in present]
        if len(names) > 1 and name not in names:
            raise InvalidInputError(
                f"The columns {' and '.join(names)}", f"both mean {name}", "Give one of them."
            )
        if names:
            found[name] = name if name in names else names[0]
        elif name in wanted and (column is None or column.required):
            missing.append(name)
    if missing:
        called = "; ".join(" or ".join(_names(name)) for name in missing)
        raise InvalidInputError(
            f"The input with the columns {', '.join(map(str, present))}",
            f"lacks {', '.join(missing)}",
            f"The model needs {called}.",
        )
    # In the order of the file, for the messages.
    return dict(sorted(found.items(), key=lambda item: present.index(item[1])))


def _names(name: str) -> tuple[str, ...]:
    place = TRIP_COLUMNS.places.get(name)
    return (name,) if place is None else TRIP_COLUMNS[place].names


def check_rows(
    rows: pd.DataFrame, wanted: Sequence[str], now: dt.datetime | None = None
) -> CheckedRows:
    """Read the raw columns of a model off rows of numbers, times or text.

    A number of passengers, vendor or trip type that is not given is unknown to the model, as it is
    in TLC's own files.

    Parameters
    ----------
    now
        The present moment on the clocks of the table, for rows that leave their time out; they are
        refused if this is left out.

    Raises
    ------
    InvalidInputError
        If a column is lacking, or is given twice.
    """
    found = find_columns(map(str, rows.columns), wanted)
    given = {name: rows[other].reset_index(drop=True) for name, other in found.items()}
    right = np.ones(len(rows), dtype=bool)
    values: dict[str, Any] = {}
    for name, one in given.items():
        place = TRIP_COLUMNS.places.get(name)
        if place is None:
            values[name] = one.to_numpy()
        else:
            values[name], fits = _read(TRIP_COLUMNS[place], one)
            right &= fits
    reasons: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    assumed: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    # Those of the table alone: what else a model wants has no rule.
    cells = {str(one.name): one for name, one in given.items() if name in TRIP_COLUMNS.places}
    for row in np.flatnonzero(~right).tolist():
        record = {name: _plain(one.iloc[row]) for name, one in cells.items()}
        reasons[row] = _read_singly(record, row, values, assumed, now)
    for name in wanted:
        values.setdefault(name, np.full(len(rows), np.nan))
    if DISTANCE in wanted:
        _compute_distance(values, reasons, assumed)
    trips = pd.DataFrame({name: values[name] for name in wanted})[pd.isna(reasons)]
    codes = {name: np.int32 for name in (PICKUP_ZONE, DROPOFF_ZONE) if name in wanted}
    return CheckedRows(trips.astype(codes), reasons, assumed)


def _read(column: Column, given: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return the values of a column, and which of them are plainly right."""
    if column.kind == "time":
        times = read_times(given)
        return times.to_numpy(copy=True), times.notna().to_numpy()
    numbers = read_numbers(given)
    if column.name in TRIP_READER.codes:
        no_number = np.isnan(numbers) & given.notna().to_numpy()
        numbers[no_number] = _named(given[no_number])
    right = (numbers >= column.lowest) & (numbers <= column.highest)
    if column.kind == "category":
        right &= numbers == np.floor(numbers)
    if not column.required:
        right |= given.isna().to_numpy()
    return numbers, right


def _read_singly(
    record: dict[str, Any],
    row: int,
    values: dict[str, Any],
    assumed: npt.NDArray[np.object_],
    now: dt.datetime | None,
) -> str | None:
    """Read a row as a request is read; return why it cannot be, or put its values in place."""
    problems: list[Problem] = []
    read = TRIP_READER.read(record, lambda: now or _NO_TIME, problems)
    if now is None and read.assumed:
        remedy = "Give it in every row."
        problems += [Problem(name, "is missing", remedy) for name in read.assumed]
    if problems:
        return "; ".join(map(str, problems))
    for column, value in zip(TRIP_COLUMNS, read.cells, strict=True):
        if column.name in values:
            whole = column.kind == "time" and not math.isnan(value)
            values[column.name][row] = np.datetime64(int(value), "s") if whole else value
    if read.assumed:
        assumed[row] = ", ".join(read.assumed)
    return None


def _compute_distance(
    values: dict[str, Any],
    reasons: npt.NDArray[np.object_],
    assumed: npt.NDArray[np.object_],
) -> None:
    """Fill in the typical distance between the zones, as `scoring.assumptions` does."""
    rows = np.flatnonzero(np.isnan(values[DISTANCE]) & pd.isna(reasons))
    if not rows.size:
        return
    field = TRIP_COLUMNS[TRIP_COLUMNS.places[DISTANCE]].field
    zones = (values[name][rows].astype(np.int64) for name in (PICKUP_ZONE, DROPOFF_ZONE))
    for row, miles in zip(rows.tolist(), typical_miles(*zones).tolist(), strict=True):
        if math.isnan(miles):
            reasons[row] = f"{field} {OFF_THE_MAP}"
        else:
            values[DISTANCE][row] = miles
            assumed[row] = f"{assumed[row]}, {field}" if assumed[row] else field


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell of any kind
    """Return a cell as JSON would have it, where it can."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else value


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
        local = _on_clocks(given)
    elif pd.api.types.is_datetime64_dtype(given.dtype):
        local = given
    else:
        local = _times_of_text(given.astype("string").str.strip())
    times: pd.Series[Any] = local.where(_within(local, _EARLIEST, _END)).astype("datetime64[us]")
    return times


def _on_clocks(moments: pd.Series[Any]) -> pd.Series[Any]:
    """Return times with an offset on New York's clocks; NaT for those far out of bounds.

    Bounds come first, a day wide: the clocks of a far year cannot be converted.
    """
    day, plain = np.timedelta64(1, "D"), moments.dt.tz_convert("UTC").dt.tz_localize(None)
    near = moments.where(_within(plain, _EARLIEST - day, _END + day))
    local: pd.Series[Any] = near.dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    return local


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
        times[moments.index] = _on_clocks(moments)
    found = {text: _time(text) for text in others[~usual].unique()}
    singly = others[~usual].map(found)
    times[singly.index] = singly.astype("datetime64[us]")
    return times


def _time(text: str) -> dt.datetime | None:
    try:
        return read_time(text)
    except ValueError:
        return None

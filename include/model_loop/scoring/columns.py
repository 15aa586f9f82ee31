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
import pyarrow as pa

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.reading import Problem
from model_loop.errors import InvalidInputError
from model_loop.scoring.assumptions import computing
from model_loop.tables.table import declared_format
from model_loop.tables.values import to_values

_LARGEST_FLOAT = sys.float_info.max
#: Stands for the present moment where none is assumed; the row is refused then.
_NO_TIME = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - on no clocks
#: A time in the form that most files have, and the same with its distance from Greenwich.
_PLAIN = r"\d{4}-\d{2}-\d{2}[ Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
_WITH_OFFSET = rf"({_PLAIN})(?:Z|([+-]\d{{2}}:?\d{{2}}))"


@dataclass(frozen=True)
class CheckedRows:
    """Rows, of which some can be predicted.

    Parameters
    ----------
    rows
        The raw columns of the model, of the rows that can be; its index counts the rows given.
    reasons
        Reasons why the others cannot, shape (rows given,); None for those that can.
    assumed
        Fields of each row whose values were left out and assumed, separated by commas, shape (rows
        given,); None where nothing was.
    """

    rows: pd.DataFrame
    reasons: npt.NDArray[np.object_]
    assumed: npt.NDArray[np.object_]


def find_columns(dataset: Dataset, given: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return the given column that holds each that a model wants, and each other one of the table.

    Raises
    ------
    InvalidInputError
        If one that a model wants is lacking, or one is given twice.
    """
    present, found, missing = list(given), {}, []
    columns = dataset.columns
    for name in dict.fromkeys((*wanted, *columns.names)):
        place = columns.places.get(name)
        column = None if place is None else columns[place]
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
        called = "; ".join(" or ".join(_names(dataset, name)) for name in missing)
        raise InvalidInputError(
            f"The input with the columns {', '.join(map(str, present))}",
            f"lacks {', '.join(missing)}",
            f"The model needs {called}.",
        )
    # In the order of the file, for the messages.
    return dict(sorted(found.items(), key=lambda item: present.index(item[1])))


def _names(dataset: Dataset, name: str) -> tuple[str, ...]:
    place = dataset.columns.places.get(name)
    return (name,) if place is None else dataset.columns[place].names


def check_rows(
    dataset: Dataset, rows: pd.DataFrame, wanted: Sequence[str], now: dt.datetime | None = None
) -> CheckedRows:
    """Read the raw columns of a model off rows of numbers, times or text.

    A value of a column that is not required is unknown to the model where it is not given.

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
    found = find_columns(dataset, map(str, rows.columns), wanted)
    given = {name: rows[other].reset_index(drop=True) for name, other in found.items()}
    right = np.ones(len(rows), dtype=bool)
    values: dict[str, Any] = {}
    for name, one in given.items():
        place = dataset.columns.places.get(name)
        if place is None:
            values[name] = one.to_numpy()
        else:
            values[name], fits = _read(dataset, dataset.columns[place], one)
            right &= fits
    reasons: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    assumed: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    # Those of the table alone: what else a model wants has no rule.
    cells = {str(one.name): one for name, one in given.items() if name in dataset.columns.places}
    for row in np.flatnonzero(~right).tolist():
        record = {name: _plain(one.iloc[row]) for name, one in cells.items()}
        reasons[row] = _read_singly(dataset, record, row, values, assumed, now)
    for name in wanted:
        values.setdefault(name, np.full(len(rows), np.nan))
    for column in dataset.columns:
        if column.default == "computed" and column.name in wanted:
            _compute(dataset, column, values, reasons, assumed)
    good = pd.DataFrame({name: values[name] for name in wanted})[pd.isna(reasons)]
    return CheckedRows(good.astype(_codes(dataset, wanted)), reasons, assumed)


def _codes(dataset: Dataset, wanted: Sequence[str]) -> dict[str, type[np.int32]]:
    """Return the types of the columns of codes that models of tables in Python take."""
    if dataset.declaration is not None:
        return {}
    codes = dataset.columns.by_kind("category")
    return {column.name: np.int32 for column in codes if column.name in wanted and column.required}


def _read(
    dataset: Dataset, column: Column, given: pd.Series[Any]
) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return the values of a column, and which of them are plainly right."""
    if dataset.declaration is not None:
        return _read_declared(dataset, column, given)
    if column.kind == "time":
        times = read_times(dataset, column, given)
        return times.to_numpy(copy=True), times.notna().to_numpy()
    numbers = read_numbers(given)
    if column.name in dataset.reader.codes:
        no_number = np.isnan(numbers) & given.notna().to_numpy()
        numbers[no_number] = _named(dataset, column, given[no_number])
    right = (numbers >= column.lowest) & (numbers <= column.highest)
    if column.kind == "category":
        right &= numbers == np.floor(numbers)
    if not column.required:
        right |= given.isna().to_numpy()
    return numbers, right


def _read_declared(
    dataset: Dataset, column: Column, given: pd.Series[Any]
) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return the values of a column of a declared table, as its files are read."""
    declaration = dataset.declaration
    assert declaration is not None
    try:
        cells = pa.array(given, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Cells of several types: each is read by itself.
        kind = object if column.text else np.float64
        return np.full(len(given), np.nan, dtype=kind), np.zeros(len(given), dtype=bool)
    read, unreadable = to_values(cells, declared_format(declaration, column.name))
    missing = read.isna().to_numpy(dtype=bool)
    right = ~unreadable & ~(missing & column.required)
    if column.text:
        texts = read.astype(object).to_numpy(copy=True)
        texts[missing] = np.nan
        return texts, right
    if column.kind == "time":
        times = read.to_numpy().astype("datetime64[us]")
        return np.where(missing, np.nan, times.astype(np.int64) / 1e6), right
    numbers = read.to_numpy(dtype=np.float64, na_value=np.nan)
    if column.kind == "number":
        right &= missing | ((numbers >= column.lowest) & (numbers <= column.highest))
    return numbers, right


def _read_singly(
    dataset: Dataset,
    record: dict[str, Any],
    row: int,
    values: dict[str, Any],
    assumed: npt.NDArray[np.object_],
    now: dt.datetime | None,
) -> str | None:
    """Read a row as a request is read; return why it cannot be, or put its values in place."""
    problems: list[Problem] = []
    read = dataset.reader.read(record, lambda: now or _NO_TIME, problems)
    if now is None and read.assumed:
        remedy = "Give it in every row."
        problems += [Problem(name, "is missing", remedy) for name in read.assumed]
    if problems:
        return "; ".join(map(str, problems))
    for column, value in zip(dataset.columns, read.cells, strict=True):
        if column.name in values:
            is_time = values[column.name].dtype.kind == "M" and not math.isnan(value)
            values[column.name][row] = np.datetime64(int(value), "s") if is_time else value
    if read.assumed:
        assumed[row] = ", ".join(read.assumed)
    return None


def _compute(
    dataset: Dataset,
    column: Column,
    values: dict[str, Any],
    reasons: npt.NDArray[np.object_],
    assumed: npt.NDArray[np.object_],
) -> None:
    """Fill in a column that is computed from the others, as `scoring.assumptions` does."""
    rows = np.flatnonzero(np.isnan(values[column.name]) & pd.isna(reasons))
    if not rows.size:
        return
    given = {
        name: one[rows].astype(np.float64)
        for name, one in values.items()
        if one.dtype.kind in "iuf"
    }
    computed, rule = computing(dataset)(column.name, given)
    for row, value in zip(rows.tolist(), computed.tolist(), strict=True):
        if math.isnan(value):
            reasons[row] = f"{column.field} {rule}"
        else:
            values[column.name][row] = value
            before = assumed[row]
            assumed[row] = f"{before}, {column.field}" if before else column.field


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
    # A copy: codes of names are written into it.
    found: npt.NDArray[np.float64] = numbers.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    return found


def _number(value: object) -> object:
    """Return a number or a text as it is, and None for what is neither: a truth, a list, a time."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_FLOAT:
        # A number that no float can hold is out of any bounds all the same.
        return math.copysign(_LARGEST_FLOAT, value > 0 or -1)
    numeric = isinstance(value, str | bytes | Real | Decimal)
    return value if numeric and not isinstance(value, bool | np.bool_) else None


def _named(dataset: Dataset, column: Column, given: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return the codes of names; NaN for names of none, or of several."""
    names = [name if isinstance(name, str) else "" for name in given]
    known = {name: _code(dataset, column, name) for name in set(names)}
    return np.array([known[name] for name in names], dtype=np.float64)


def _code(dataset: Dataset, column: Column, name: str) -> float:
    try:
        return dataset.reader.codes[column.name](name)
    except InvalidInputError:
        return math.nan


def read_times(dataset: Dataset, column: Column, given: pd.Series[Any]) -> pd.Series[Any]:
    """Return times as microseconds on the clocks of a table in Python.

    NaT for what is none, or out of bounds.
    """
    first = np.datetime64(f"{column.lowest:.0f}-01-01")
    end = np.datetime64(f"{column.highest + 1:.0f}-01-01")
    if isinstance(given.dtype, pd.DatetimeTZDtype):
        local = _on_clocks(dataset, given, first, end)
    elif pd.api.types.is_datetime64_dtype(given.dtype):
        local = given
    else:
        local = _times_of_text(dataset, given.astype("string").str.strip(), first, end)
    times: pd.Series[Any] = local.where(_within(local, first, end)).astype("datetime64[us]")
    return times


def _on_clocks(
    dataset: Dataset, moments: pd.Series[Any], first: np.datetime64, end: np.datetime64
) -> pd.Series[Any]:
    """Return times with an offset on the table's clocks; NaT for those far out of bounds.

    Bounds come first, a day wide: the clocks of a far year cannot be converted.
    """
    day, plain = np.timedelta64(1, "D"), moments.dt.tz_convert("UTC").dt.tz_localize(None)
    near = moments.where(_within(plain, first - day, end + day))
    local: pd.Series[Any] = near.dt.tz_convert(dataset.time_zone).dt.tz_localize(None)
    return local


def _within(times: pd.Series[Any], first: np.datetime64, end: np.datetime64) -> pd.Series[Any]:
    """Return which times lie within bounds, without a conversion that a far year would break."""
    return (times >= first) & (times < end)


def _times_of_text(
    dataset: Dataset, text: pd.Series[Any], first: np.datetime64, end: np.datetime64
) -> pd.Series[Any]:
    """Return times of texts: of the usual forms at once, of others one by one."""
    plain = text.str.fullmatch(_PLAIN).fillna(value=False).astype(bool)
    times: pd.Series[Any] = pd.to_datetime(text.where(plain), errors="coerce", format="ISO8601")
    others = text[~plain & text.notna()]
    if others.empty:
        return times
    times = times.astype("datetime64[us]")
    usual = others.str.fullmatch(_WITH_OFFSET).astype(bool)
    if usual.any():
        moments = pd.to_datetime(others[usual], errors="coerce", format="ISO8601", utc=True)
        times[moments.index] = _on_clocks(dataset, moments, first, end)
    found = {text: _time(dataset, text) for text in others[~usual].unique()}
    singly = others[~usual].map(found)
    times[singly.index] = singly.astype("datetime64[us]")
    return times


def _time(dataset: Dataset, text: str) -> dt.datetime | None:
    try:
        return dataset.reader.read_time(text)
    except ValueError:
        return None

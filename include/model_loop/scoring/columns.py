"""From rows of files to the raw columns of a model, and what is wrong with the others.

Whole columns are read at once, and accepted where they are plainly right; every other row is read
by `datasets.reading`, as a request is. So a row means the same in a file and in a request.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.literals import doubtful_pattern
from model_loop.datasets.reading import NUMBER, Problem, Row
from model_loop.errors import InvalidInputError
from model_loop.scoring.assumptions import computing
from model_loop.scoring.notices import ValueWatch, settled
from model_loop.tables.table import declared_format
from model_loop.tables.values import ColumnFormat, is_text, to_values
from model_loop.training_set.frames import as_numbers

#: Stands for the present moment where none is assumed; the row is refused then.
_NO_TIME = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - on no clocks
#: A time in the form that most files have, with or without its distance from Greenwich.
_MOMENT = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?$"


Given: TypeAlias = "pd.DataFrame | Mapping[str, pa.Array] | Sequence[Mapping[str, Any]]"
"""Columns of text or of any type by their names, or objects such as those of JSON."""


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
    notices
        What is to be said of each row that can be predicted, shape (rows given,): a tuple of
        `notices.Notice`, or None.
    """

    rows: pd.DataFrame
    reasons: npt.NDArray[np.object_]
    assumed: npt.NDArray[np.object_]
    notices: npt.NDArray[np.object_]


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
    dataset: Dataset,
    rows: Given,
    wanted: Sequence[str],
    now: dt.datetime | None = None,
    watch: ValueWatch | None = None,
) -> CheckedRows:
    """Read the raw columns of a model off rows.

    A value of a column that is not required is unknown to the model where it is not given.

    Parameters
    ----------
    rows
        Columns of text or of any type, by their names; or objects, such as those of JSON, each of
        which is read as a request is.
    now
        The present moment on the clocks of the table, for rows that leave their time out; they are
        refused if this is left out.
    watch
        Compares rows with what the version has learned from; without it, there are no notices.

    Raises
    ------
    InvalidInputError
        If a column is lacking, or is given twice.
    """
    if isinstance(rows, Sequence):
        return _check_records(dataset, rows, wanted, now, watch)
    count = len(rows) if isinstance(rows, pd.DataFrame) else len(next(iter(rows.values()), ()))
    found = find_columns(dataset, map(str, rows.keys()), wanted)
    given = {name: _Cells.of(rows[other]) for name, other in found.items()}
    right = np.ones(count, dtype=bool)
    values: dict[str, Any] = {}
    for name, cells in given.items():
        place = dataset.columns.places.get(name)
        if place is None:
            values[name] = cells.values()
        else:
            column = dataset.columns[place]
            values[name], fits = _read(dataset, column, cells.array, count)
            right &= fits
            if watch is not None and column.kind == "number":
                right &= ~_doubtful(dataset, watch, place, cells.array, values[name])
    # Those of the table alone: what else a model wants has no rule.
    asked = {found[name]: one for name, one in given.items() if name in dataset.columns.places}
    wrong = {
        row: {name: one.at(row) for name, one in asked.items()}
        for row in np.flatnonzero(~right).tolist()
    }
    return _checked(dataset, values, count, wrong, wanted, now, watch)


def _check_records(
    dataset: Dataset,
    records: Sequence[Mapping[str, Any]],
    wanted: Sequence[str],
    now: dt.datetime | None,
    watch: ValueWatch | None,
) -> CheckedRows:
    names = {name for column in dataset.columns for name in column.names}
    values: dict[str, Any] = {}
    for column in dataset.columns:
        kind = object if column.text else np.float64
        values[column.name] = np.full(len(records), np.nan, dtype=kind)
        if dataset.declaration is None and column.kind == "time":
            values[column.name] = np.full(len(records), np.datetime64("NaT", "us"))
    asked = {
        row: {name: value for name, value in record.items() if name in names}
        for row, record in enumerate(records)
    }
    return _checked(dataset, values, len(records), asked, wanted, now, watch)


def _checked(
    dataset: Dataset,
    values: dict[str, Any],
    count: int,
    singly: Mapping[int, Mapping[str, Any]],
    wanted: Sequence[str],
    now: dt.datetime | None,
    watch: ValueWatch | None,
) -> CheckedRows:
    """Read some rows by themselves, and put all together.

    Parameters
    ----------
    values
        Values of the other rows by names of columns, shape (rows,) each.
    count
        Number of rows.
    singly
        Rows that are read as requests are, by their places.
    """
    reasons: npt.NDArray[np.object_] = np.full(count, None, dtype=object)
    assumed: npt.NDArray[np.object_] = np.full(count, None, dtype=object)
    doubtful: dict[int, tuple[tuple[int, float], ...]] = {}
    for row, record in singly.items():
        read = _read_singly(dataset, record, row, values, assumed, now, watch)
        reasons[row] = read if isinstance(read, str) else None
        if isinstance(read, Row) and read.doubtful:
            doubtful[row] = read.doubtful
    for name in wanted:
        values.setdefault(name, np.full(count, np.nan))
    for column in dataset.columns:
        if column.default == "computed" and column.name in wanted:
            _compute(dataset, column, values, reasons, assumed)
    right = pd.isna(reasons)
    good = pd.DataFrame({name: values[name] for name in wanted})[right]
    notices = _notices(dataset, values, right, watch, doubtful)
    return CheckedRows(good.astype(_codes(dataset, wanted)), reasons, assumed, notices)


def _notices(
    dataset: Dataset,
    values: Mapping[str, Any],
    right: npt.NDArray[np.bool_],
    watch: ValueWatch | None,
    doubtful: Mapping[int, tuple[tuple[int, float], ...]],
) -> npt.NDArray[np.object_]:
    """Return what is to be said of each row, as answers to requests say it; None of nothing.

    Whole columns are compared at once, and only rows that are unlike what was learned one by one.
    """
    notices: npt.NDArray[np.object_] = np.full(len(right), None, dtype=object)
    if watch is None:
        return notices
    unlike, names = np.zeros(len(right), dtype=bool), dataset.columns.names
    lacking = np.ones(len(right), dtype=bool)
    unlike[[*doubtful]] = True
    for place, low, high, may_lack in watch.ranges:
        numbers = values[names[place]].astype(np.float64)
        lacking &= np.isnan(numbers)
        unlike |= ~((numbers >= low) & (numbers <= high)) & ~(may_lack & np.isnan(numbers))
    for place, known, may_lack in watch.categories:
        texts = pd.Series(values[names[place]], dtype=object)
        lacking &= texts.isna().to_numpy()
        unlike |= ~(texts.isin(known) | (may_lack & texts.isna())).to_numpy()
    rows = np.flatnonzero((unlike | lacking) & right).tolist()
    if not rows:
        return notices
    held = {
        column.name: values[column.name]
        if column.kind == "category"
        else as_numbers(pd.Series(values[column.name]))
        for column in dataset.columns
        if column.name in values
    }
    for row in rows:
        cells = [_scalar(held[name][row]) if name in held else math.nan for name in names]
        notices[row] = watch.notices(Row(cells, (), doubtful.get(row, ()))) or None
    return notices


def _scalar(cell: Any) -> Any:  # noqa: ANN401 - a cell of any kind
    return cell.item() if isinstance(cell, np.generic) else cell


@dataclass(frozen=True)
class _Cells:
    """A column as it was given.

    Parameters
    ----------
    array
        Its cells; None where they are of several types.
    series
        The column of a frame, where it was one.
    """

    array: pa.Array | None
    series: pd.Series[Any] | None = None

    @classmethod
    def of(cls, column: pd.Series[Any] | pa.Array) -> _Cells:
        if isinstance(column, pa.Array):
            return cls(column)
        try:
            return cls(pa.array(column, from_pandas=True), column)
        except (pa.ArrowException, OverflowError):
            return cls(None, column)

    def at(self, row: int) -> Any:  # noqa: ANN401 - a cell of any kind
        """Return a cell as JSON would have it, where it can."""
        if self.series is not None:
            return _plain(self.series.iloc[row])
        assert self.array is not None
        cell = self.array[row]
        try:
            return _plain(cell.as_py())
        except (ValueError, OverflowError, KeyError, pa.ArrowException):
            # A time in a year beyond Python's range, or in an unknown time zone.
            return cell.cast(pa.timestamp(cell.type.unit)).cast(pa.int64()).as_py()

    def values(self) -> npt.NDArray[Any]:
        """Return all cells."""
        if self.series is not None:
            return self.series.to_numpy()
        assert self.array is not None
        found: npt.NDArray[Any] = self.array.to_numpy(zero_copy_only=False)
        return found


def _codes(dataset: Dataset, wanted: Sequence[str]) -> dict[str, type[np.int32]]:
    """Return the types of the columns of codes that models of tables in Python take."""
    if dataset.declaration is not None:
        return {}
    codes = dataset.columns.by_kind("category")
    return {column.name: np.int32 for column in codes if column.name in wanted and column.required}


def _read(
    dataset: Dataset, column: Column, cells: pa.Array | None, count: int
) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return the values of a column, and which of them are plainly right."""
    if cells is None:
        # Cells of several types: each is read by itself.
        cells = pa.nulls(count)
        wrong = np.zeros(count, dtype=bool)
        return _read(dataset, column, cells, count)[0], wrong
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if dataset.declaration is not None:
        return _read_declared(dataset.declaration, column, cells)
    if column.kind == "time":
        return _read_times(dataset, column, cells)
    numbers = _read_numbers(cells)
    missing = cells.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    if column.name in dataset.reader.codes:
        no_number = np.isnan(numbers) & ~missing
        numbers[no_number] = _named(dataset, column, cells.filter(pa.array(no_number)))
    right = (numbers >= column.lowest) & (numbers <= column.highest)
    if column.kind == "category":
        right &= numbers == np.floor(numbers)
    return numbers, right if column.required else right | missing


def _read_declared(
    declaration: Declaration, column: Column, cells: pa.Array
) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return the values of a column of a declared table, as its files are read."""
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
    # A copy: rows that are read singly are written into it.
    numbers = read.to_numpy(dtype=np.float64, copy=True, na_value=np.nan)
    if column.kind == "number":
        right &= missing | ((numbers >= column.lowest) & (numbers <= column.highest))
    return numbers, right


def _read_times(
    dataset: Dataset, column: Column, cells: pa.Array
) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Return the times of a table in Python, which says itself what else than a moment is one."""
    if is_text(cells.type):
        cells = pc.utf8_trim_whitespace(cells)
        cells = pc.if_else(pc.match_substring_regex(cells, _MOMENT), cells, None)
    elif not pa.types.is_timestamp(cells.type):
        cells = pa.nulls(len(cells))
    time_zone = dataset.time_zone
    read, _ = to_values(cells, ColumnFormat("time", stored_in=time_zone, time_zone=time_zone))
    times = read.to_numpy().astype("datetime64[us]")
    bounds = (f"{column.lowest:.0f}-01-01", f"{column.highest + 1:.0f}-01-01")
    first, end = (np.datetime64(bound) for bound in bounds)
    # NaT is in no bounds.
    return times, (times >= first) & (times < end)


def _read_singly(
    dataset: Dataset,
    record: Mapping[str, Any],
    row: int,
    values: dict[str, Any],
    assumed: npt.NDArray[np.object_],
    now: dt.datetime | None,
    watch: ValueWatch | None,
) -> Row | str:
    """Read a row as a request is read; return why it cannot be, or put its values in place."""
    problems: list[Problem] = []
    read = dataset.reader.read(record, lambda: now or _NO_TIME, problems)
    if now is None and read.assumed:
        remedy = "Give it in every row."
        problems += [Problem(name, "is missing", remedy) for name in read.assumed]
    if problems:
        return "; ".join(map(str, problems))
    (read,) = settled(watch, [read])
    for column, value in zip(dataset.columns, read.cells, strict=True):
        if column.name in values:
            is_time = values[column.name].dtype.kind == "M" and not math.isnan(value)
            values[column.name][row] = np.datetime64(int(value), "s") if is_time else value
    if read.assumed:
        assumed[row] = ", ".join(read.assumed)
    return read


def _doubtful(
    dataset: Dataset,
    watch: ValueWatch,
    place: int,
    cells: pa.Array | None,
    numbers: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Return which numbers can be read in two ways, and need a word, shape (rows,)."""
    decimal = dataset.reader.decimals.get(dataset.columns.names[place])
    if cells is None or decimal is None or not is_text(cells.type):
        return np.zeros(len(numbers), dtype=bool)
    found = pc.match_substring_regex(cells, doubtful_pattern(decimal)).fill_null(fill_value=False)
    doubtful: npt.NDArray[np.bool_] = np.array(found.to_numpy(zero_copy_only=False), dtype=bool)
    for row in np.flatnonzero(doubtful).tolist():
        doubtful[row] = watch.is_doubtful(place, float(numbers[row]))
    return doubtful


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
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else value


def _read_numbers(cells: pa.Array) -> npt.NDArray[np.float64]:
    """Return numbers of a table in Python, whose requests know no signs between thousands."""
    kind = cells.type
    if is_text(kind):
        cells = pc.utf8_trim_whitespace(cells)
        try:
            numbers = cells.cast(pa.float64())
        except pa.ArrowInvalid:
            plain = pc.if_else(pc.match_substring_regex(cells, f"^{NUMBER}$"), cells, None)
            numbers = plain.cast(pa.float64())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = cells.cast(pa.float64(), safe=False)
    else:
        # Truths, moments and spans of time are no numbers.
        return np.full(len(cells), np.nan)
    # A copy: codes of names are written into it.
    found: npt.NDArray[np.float64] = np.array(numbers.to_numpy(zero_copy_only=False))
    return found


def _named(dataset: Dataset, column: Column, cells: pa.Array) -> npt.NDArray[np.float64]:
    """Return the codes of names; NaN for names of none, or of several."""
    if not is_text(cells.type):
        return np.full(len(cells), np.nan)
    names = cells.dictionary_encode()
    codes = [_code(dataset, column, name) for name in names.dictionary.to_pylist()]
    found: npt.NDArray[np.float64] = np.array(codes, dtype=np.float64)[names.indices.to_numpy()]
    return found


def _code(dataset: Dataset, column: Column, name: str) -> float:
    try:
        return dataset.reader.codes[column.name](name)
    except InvalidInputError:
        return math.nan

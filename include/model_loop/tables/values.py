"""From what a file or a request holds to values: the one home of how a cell is read.

Columns are converted whole, and one row of a request as columns of one row, so that a value means
the same wherever it comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model_loop.datasets.conditions import Mask
from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.literals import (
    GAPS,
    MINUS,
    MISSING_WORDS,
    NO,
    YES,
    number_pattern,
    number_rewrites,
)
from model_loop.datasets.times import EPOCHS, ISO, formats_read, is_clock
from model_loop.tables.times import (
    Times,
    from_epoch,
    of_clocks,
    on_clocks,
    read_times,
    within_years,
)

_DAY = 1_440

TEXT = pd.StringDtype("pyarrow", na_value=np.nan)


@dataclass(frozen=True)
class ColumnFormat:
    """The way in which the cells of a column are read.

    Parameters
    ----------
    kind
        Type of its values.
    missing
        Words for a missing value. Where a word is a number, that number is missing however it is
        written; an empty cell always is.
    decimal
        Decimal sign of its numbers; the other one of ``.`` and ``,`` may stand between thousands.
    unit
        Unit that may stand before its numbers or behind them, where they are text.
    time_format
        Format of its times, see `times`.
    stored_in
        Time zone of its times where they carry none.
    time_zone
        Time zone of the place, whose clocks the values show.
    clock_time
        Whether its numbers are times of day on a clock: 517 is 05:17. They stay as they are;
        `clock_minutes` counts them from midnight.
    """

    kind: Kind
    missing: frozenset[str] = MISSING_WORDS
    decimal: str = "."
    unit: str = ""
    time_format: str = ISO
    stored_in: str = "UTC"
    time_zone: str = "UTC"
    clock_time: bool = False


def to_values(
    column: pa.ChunkedArray | pa.Array, column_format: ColumnFormat
) -> tuple[pd.Series[Any], Mask]:
    """Convert a column.

    Parameters
    ----------
    column
        Text, or any type of Arrow that holds numbers, times, text or yes/no.

    Returns
    -------
    values
        Shape (rows,): float64 with NaN for numbers, datetime64[us] on the clocks of the place with
        NaT for times, nullable boolean for yes/no, and text with NaN for all others. Categories and
        ids that are whole numbers are written without a fraction: ``74.0`` is ``74``.
    unreadable
        Rows whose cell is neither missing nor of the type, shape (rows,); their values are missing.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            parts = [to_values(chunk, column_format) for chunk in column.chunks]
            values = pd.concat([values for values, _ in parts], ignore_index=True)
            return values, np.concatenate([unreadable for _, unreadable in parts])
    if is_text(column.type):
        return _from_text(column, column_format)
    return _from_typed(column, column_format)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type of Arrow is text, which has still to be read."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def stripped(column: pa.Array, missing: frozenset[str]) -> pa.Array:
    """Return texts without spaces around them, and null for a missing one."""
    text = pc.utf8_trim_whitespace(column)
    return pc.if_else(_is_word(text, missing), None, text)


def _is_word(text: pa.Array, words: frozenset[str]) -> pa.Array:
    return pc.is_in(text, value_set=pa.array(sorted(words), text.type))


def _from_text(column: pa.Array, column_format: ColumnFormat) -> tuple[pd.Series[Any], Mask]:
    kind = column_format.kind
    if kind == "ignored":
        return as_text(pc.if_else(pc.equal(column, ""), None, column)), _none(len(column))
    text = stripped(column, column_format.missing)
    if kind == "text":
        return as_text(text), _none(len(text))
    given = text.is_valid().to_numpy(zero_copy_only=False)
    if kind == "number":
        numbers = read_numbers(text, column_format.decimal, column_format.unit)
        unreadable = given & np.isnan(numbers)
        numbers[np.isin(numbers, _missing_numbers(column_format))] = np.nan
        return pd.Series(numbers), unreadable
    if kind == "time":
        if any(word[-1:].isdigit() for word in column_format.missing):
            # A missing number may be written with a fraction, too.
            text = pc.if_else(_is_word(without_fraction(text), column_format.missing), None, text)
            given = text.is_valid().to_numpy(zero_copy_only=False)
        times = _read_times(text, column_format.time_format)
        return _series_of(times, column_format), given & ~times.readable
    return _of_codes(text, column_format)


def _read_times(text: pa.Array, time_format: str) -> Times:
    """Return times in a format, or else in one that requests may have in any case."""
    first, *further = formats_read(time_format)
    times = read_times(text, first)
    for other in further:
        left = text.is_valid().to_numpy(zero_copy_only=False) & ~times.readable
        if not left.any():
            break
        more = read_times(pc.if_else(pa.array(left), text, None), other)
        if is_clock(time_format):
            more = of_clocks(more)
        times = Times(
            np.where(left, more.micros, times.micros),
            np.where(left, more.readable, times.readable),
            np.where(left, more.in_utc, times.in_utc),
            np.where(left, more.is_day, times.is_day),
        )
    return times


def _of_codes(text: pa.Array, column_format: ColumnFormat) -> tuple[pd.Series[Any], Mask]:
    """Return categories, ids or yes/no from stripped text."""
    encoded = text.dictionary_encode()
    words = encoded.dictionary
    codes = without_fraction(words)
    # A missing number may be written with a fraction, too.
    codes = pc.if_else(_is_word(codes, column_format.missing), None, codes)
    if column_format.kind != "yes_no":
        decoded = pa.DictionaryArray.from_arrays(encoded.indices, codes).dictionary_decode()
        return as_text(decoded), _none(len(text))
    lower = [None if code is None else code.lower() for code in codes.to_pylist()]
    answers = np.array([code in YES for code in lower] + [False], dtype=bool)
    is_known = np.array([code in YES | NO for code in lower] + [False], dtype=bool)
    is_given = np.array([code is not None for code in lower] + [False], dtype=bool)
    places = encoded.indices.fill_null(len(lower)).to_numpy(zero_copy_only=False)
    values = pd.arrays.BooleanArray(answers[places], ~is_known[places])
    return pd.Series(values), is_given[places] & ~is_known[places]


def without_fraction(texts: pa.Array) -> pa.Array:
    """Return texts in which a whole number has no fraction: ``74.0`` is ``74``."""
    return pc.replace_substring_regex(texts, r"^([+-]?\d+)\.0+$", r"\1")


def read_numbers(text: pa.Array, decimal: str = ".", unit: str = "") -> npt.NDArray[np.float64]:
    """Return texts as numbers, shape (rows,); NaN for any other text, and where there is none."""
    try:
        # Arrow knows no decimal comma; its own points are between thousands there.
        plain = text if decimal == "." and not unit else _canonical(text, decimal, unit)
        found = pc.cast(plain, pa.float64())
    except pa.ArrowInvalid:
        found = pc.cast(_canonical(text, decimal, unit), pa.float64())
    numbers = np.array(found.to_numpy(zero_copy_only=False), dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def bare_numbers(text: pa.Array, unit: str) -> pa.Array:
    """Return texts of numbers without their unit, and with a negative sign where it belongs."""
    text = pc.replace_substring(text, MINUS, "-")
    if not unit and not pc.any(pc.match_substring_regex(text, r"[)-]$")).as_py():
        return text
    for pattern, replacement in number_rewrites(unit):
        text = pc.replace_substring_regex(text, pattern, replacement)
    return text


def _canonical(text: pa.Array, decimal: str, unit: str) -> pa.Array:
    """Return numbers as programs write them; null for any text that is none."""
    text = bare_numbers(text, unit)
    plain = pc.if_else(pc.match_substring_regex(text, number_pattern(decimal)), text, None)
    other = "," if decimal == "." else "."
    plain = pc.replace_substring_regex(plain, f"[{re.escape(other)}{GAPS}]", "")
    return plain if decimal == "." else pc.replace_substring(plain, ",", ".")


def _missing_numbers(column_format: ColumnFormat) -> list[float]:
    words = pa.array(sorted(column_format.missing - {""}), pa.string())
    numbers = read_numbers(words, ".")
    return [float(number) for number in numbers if np.isfinite(number)]


def _none(rows: int) -> Mask:
    return np.zeros(rows, dtype=bool)


def as_text(column: pa.Array) -> pd.Series[Any]:
    """Return text of Arrow as text of pandas, with NaN for null."""
    return pd.Series(pd.array(column.cast(pa.large_string()), dtype=TEXT))


def _series_of(times: Times, column_format: ColumnFormat) -> pd.Series[Any]:
    return pd.Series(on_clocks(times, column_format.stored_in, column_format.time_zone))


def _from_typed(column: pa.Array, column_format: ColumnFormat) -> tuple[pd.Series[Any], Mask]:
    kind = column.type
    if pa.types.is_null(kind):
        return _from_text(column.cast(pa.string()), column_format)
    if pa.types.is_dictionary(kind):
        return to_values(column.dictionary_decode(), column_format)
    if column_format.kind == "number":
        return _typed_numbers(column, column_format)
    if column_format.kind == "time":
        return _typed_times(column, column_format)
    return _from_text(written(column), column_format)


def cell_text(column: pa.ChunkedArray, row: int) -> str:
    """Return one cell as text; empty for null."""
    cell = column.slice(row, 1).combine_chunks()
    return (cell if is_text(cell.type) else written(cell)).to_pylist()[0] or ""


def written(column: pa.Array) -> pa.Array:
    """Return typed values as text: whole numbers without a fraction, times in ISO 8601."""
    kind = column.type
    if pa.types.is_floating(kind):
        numbers = column.cast(pa.float64())
        numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
        return without_fraction(numbers.cast(pa.string()))
    if pa.types.is_decimal(kind):
        return without_fraction(column.cast(pa.string()))
    if pa.types.is_nested(kind):
        return pa.array([None if each is None else str(each) for each in column.to_pylist()])
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Bytes that are no UTF-8, and times of years that no calendar writes.
        return pa.array([None if not each.is_valid else repr(each) for each in column], pa.string())


def _typed_numbers(column: pa.Array, column_format: ColumnFormat) -> tuple[pd.Series[Any], Mask]:
    kind = column.type
    given = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_time(kind):
        factor = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}[kind.unit]
        whole = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
        numbers = whole.cast(pa.float64()).to_numpy(zero_copy_only=False) / factor
    elif _is_numeric(kind):
        found = column.cast(pa.uint8()) if pa.types.is_boolean(kind) else column
        numbers = np.array(
            found.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
        )
    else:
        return pd.Series(np.full(len(column), np.nan)), given
    unreadable = given & np.isinf(numbers)
    numbers[unreadable | np.isin(numbers, _missing_numbers(column_format))] = np.nan
    return pd.Series(numbers), unreadable


def _is_numeric(kind: pa.DataType) -> bool:
    types: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
    )
    return any(is_type(kind) for is_type in types)


def _typed_times(column: pa.Array, column_format: ColumnFormat) -> tuple[pd.Series[Any], Mask]:
    kind, rows = column.type, len(column)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    if _is_numeric(kind) and column_format.time_format in EPOCHS:
        numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan)
        times = from_epoch(numbers.to_numpy(zero_copy_only=False), column_format.time_format)
    elif _is_numeric(kind):
        # A number such as 20240115, in a format of digits alone.
        return _from_text(written(column), column_format)
    elif pa.types.is_date(kind):
        days = column.cast(pa.date32(), safe=False).cast(pa.int32()).fill_null(0)
        times = _typed(days.to_numpy(zero_copy_only=False), "D", given, day=True)
    elif pa.types.is_timestamp(kind):
        counted = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        times = _typed(counted, kind.unit, given, in_utc=kind.tz is not None)
    elif pa.types.is_time(kind):
        whole = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
        counted = whole.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        times = _typed(counted, kind.unit, given)
    else:
        times = Times(np.zeros(rows, dtype=np.int64), _none(rows), _none(rows), _none(rows))
    if is_clock(column_format.time_format):
        times = of_clocks(times)
    return _series_of(times, column_format), given & ~times.readable


def _typed(
    counted: npt.NDArray[Any], unit: str, given: Mask, *, in_utc: bool = False, day: bool = False
) -> Times:
    """Return times that are counted from 1970 in a unit."""
    bounds = np.array(["1678-01-01", "2262-01-01"], dtype=f"M8[{unit}]").astype(np.int64)
    readable = given & (counted >= bounds[0]) & (counted < bounds[1])
    within = np.where(readable, counted, 0).astype(np.int64)
    micros = within.view(f"M8[{unit}]").astype("M8[us]").astype(np.int64)
    rows = len(micros)
    return Times(micros, readable & within_years(micros), np.full(rows, in_utc), np.full(rows, day))


def clock_minutes(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return clock times such as 517 (05:17) as minutes since midnight; 2400 is midnight."""
    hours, minutes = np.divmod(numbers, 100)
    total = hours * 60 + minutes
    is_clock = (minutes < 60) & (numbers >= 0) & (total <= _DAY)  # noqa: PLR2004 - minutes of an hour
    return np.where(is_clock, total % _DAY, np.nan)


def to_frame(
    columns: Mapping[str, pa.ChunkedArray | pa.Array], formats: Mapping[str, ColumnFormat]
) -> tuple[pd.DataFrame, dict[str, Mask]]:
    """Convert columns.

    Returns
    -------
    frame
        Their values, see `to_values`.
    unreadable
        Rows with unreadable cells, of the columns that have any.
    """
    values, unreadable = {}, {}
    for name, column in columns.items():
        values[name], mask = to_values(column, formats[name])
        if mask.any():
            unreadable[name] = mask
    return pd.DataFrame(values), unreadable


def records_to_frame(
    records: Sequence[Mapping[str, Any]], formats: Mapping[str, ColumnFormat]
) -> tuple[pd.DataFrame, dict[str, Mask]]:
    """Convert rows of a request, by the rules of files.

    Parameters
    ----------
    records
        Values of any type that JSON or Python has; one that a row lacks is missing.

    Returns
    -------
    frame, unreadable
        See `to_frame`; the columns are those of the formats.
    """
    return to_frame(
        {name: _column_of([record.get(name) for record in records]) for name in formats}, formats
    )


def _column_of(values: list[Any]) -> pa.Array:
    """Return values as a column of their type; as text where they are of several types."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1:
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            # Whole numbers of any length, and types that Arrow does not have, have a text.
            pass
    return pa.array([_text_of(value) for value in values], pa.string())


def _text_of(value: object) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)

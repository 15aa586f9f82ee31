"""Types of columns: what the reader's inference says, and what it cannot know of a whole table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.times import EXCEL
from model_loop.drafting.answers import DateOrder
from model_loop.drafting.values import ColumnValues, Floats, TableValues
from model_loop.drafting.vocabulary import names
from model_loop.tables.inference import Inference, infer
from model_loop.tables.raw import RawTable
from model_loop.tables.values import ColumnFormat, to_values

#: Called with a step of long work, for people.
Report = Callable[[str], None]

#: Rows from which values that never repeat are no chance.
_LEAST_ROWS = 30
#: Repeated values that chance would make of as many numbers between the same bounds.
_REPEATS_BY_CHANCE = 5
#: Seconds from 1970 to 1995 and 2065: numbers between them may be times.
_EPOCH_SECONDS = (788_918_400, 2_997_907_200)
_EPOCH_UNITS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
#: Days of spreadsheets that may be dates: 1995 to 2065.
_EXCEL_DAYS = (34_700, 60_300)
#: Whole numbers from which all of one length are no quantities.
_LONG = 10**8
#: Values for each row of a column that is named as an id.
_SHARE_OF_IDS = 0.05


def table_values(
    raw: RawTable, target: str, *, date_order: DateOrder | None, report: Report
) -> TableValues:
    """Return the columns of a table as numbers, with their types.

    Parameters
    ----------
    date_order
        Order of day and month in dates that can be read in both.
    report
        Called with the column that is looked at.
    """
    inferred: dict[str, Inference] = {}
    for place, name in enumerate(raw.names, 1):
        report(f"Looking at the column {name} ({place:,} of {len(raw.names):,})")
        inferred[name] = _ordered(infer(raw.columns[name], name=name), date_order)
    signs = {each.sign for each in inferred.values()} - {None}
    columns = {
        name: column_values(
            name, raw.columns[name], _signed(inferred[name], signs), target=name == target
        )
        for name in raw.names
    }
    return TableValues(columns, target, raw.rows)


def _signed(inference: Inference, signs: set[str | None]) -> Inference:
    """Return an inference with the decimal sign of the other columns, where its own is open."""
    if inference.format.kind == "number" and inference.alternatives and len(signs) == 1:
        for each in (inference.format, *inference.alternatives):
            if each.decimal in signs:
                return Inference(each)
    return inference


def declared_values(
    frame: pd.DataFrame, target: str, formats: Mapping[str, ColumnFormat]
) -> TableValues:
    """Return the columns of a typed table as numbers, with the types that they were read as."""
    columns = {
        name: _numbered(name, frame[name], Inference(column_format))
        for name, column_format in formats.items()
    }
    return TableValues(columns, target, len(frame))


def column_values(
    name: str, column: pa.ChunkedArray, inference: Inference, *, target: bool = False
) -> ColumnValues:
    """Return a column as numbers, with its type.

    Parameters
    ----------
    inference
        The way in which its values can be read.
    target
        Whether it is predicted: then whole numbers are never ids.
    """
    found = _as_numbers(name, column, inference)
    if not target and (epoch := _epoch_of(found)):
        counted = dataclasses.replace(inference.format, kind="time", time_format=epoch)
        times = _as_numbers(name, column, Inference(counted))
        counted_from = "1900, as spreadsheets do" if epoch == EXCEL else "1970"
        return dataclasses.replace(times, reason=f"times that are counted from {counted_from}")
    kind, reason = _decided(found, target=target)
    if kind == found.kind or kind in {"id", "ignored"}:
        return dataclasses.replace(found, kind=kind, reason=reason)
    again = dataclasses.replace(inference.format, kind=kind)
    decided = _as_numbers(name, column, Inference(again))
    return dataclasses.replace(decided, reason=reason)


def date_order_of(time_format: str) -> DateOrder:
    """Return the order of day and month in a format of times that has both."""
    return "day_first" if time_format.find("%d") < time_format.find("%m") else "month_first"


def _ordered(inference: Inference, date_order: DateOrder | None) -> Inference:
    """Return an inference whose dates have the given order, where their values allow it."""
    if date_order is None or inference.format.kind != "time":
        return inference
    formats = (inference.format, *inference.alternatives)
    chosen = [each for each in formats if date_order_of(each.time_format) == date_order]
    return Inference(chosen[0]) if chosen else inference


def _as_numbers(name: str, column: pa.ChunkedArray, inference: Inference) -> ColumnValues:
    values, _ = to_values(column, inference.format)
    return _numbered(name, values, inference)


def _numbered(name: str, values: pd.Series[Any], inference: Inference) -> ColumnValues:
    kind = inference.format.kind
    labels: tuple[str, ...] = ()
    if kind == "time":
        numbers = _seconds(values)
    elif kind in {"number", "yes_no"}:
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
    else:
        codes, texts = pd.factorize(values)
        numbers, labels = np.where(codes < 0, np.nan, codes), tuple(map(str, texts))
    distinct = len(labels) or len(pd.unique(numbers[~np.isnan(numbers)]))
    return ColumnValues(
        name, kind, numbers, labels, distinct,
        read_as=inference.format, alternatives=inference.alternatives,
        row_number=_counts_rows(numbers, labels),
    )  # fmt: skip


def _epoch_of(column: ColumnValues) -> str | None:
    """Return the format of numbers that count time from a zero; None if they do not."""
    values = _numbers_of(column) if column.kind in {"number", "id"} else None
    if values is None or column.distinct < _LEAST_ROWS or column.read_as.unit:
        return None
    known = values[~np.isnan(values)]
    named, lowest, highest = names(column.name, "epochs"), known.min(), known.max()
    if named and _EXCEL_DAYS[0] <= lowest and highest <= _EXCEL_DAYS[1]:
        return EXCEL
    # Without a name that says so, the order of the rows does.
    if not named and (column.row_number or names(column.name, "ids") or (np.diff(known) < 0).any()):
        return None
    for epoch, unit in _EPOCH_UNITS.items():
        first, last = (bound * unit for bound in _EPOCH_SECONDS)
        if lowest >= first and highest <= last and (unit == 1 or (known % 1 == 0).all()):
            return epoch
    return None


def _numbers_of(column: ColumnValues) -> Floats | None:
    """Return the values of a column of numbers, or of an id whose texts are whole numbers."""
    if not column.labels:
        return column.numbers
    if not column.labels[0].isdecimal():
        return None
    codes = np.where(column.present, column.numbers, 0).astype(np.intp)
    return np.where(column.present, _whole_numbers(column.labels)[codes], np.nan)


def _seconds(values: pd.Series[Any]) -> Floats:
    times = values.to_numpy(dtype="datetime64[us]")
    seconds: Floats = times.astype(np.int64) / 1e6
    seconds[np.isnat(times)] = np.nan
    return seconds


def _counts_rows(numbers: Floats, labels: tuple[str, ...]) -> bool:
    """Return whether each row has the next whole number."""
    if len(numbers) < _LEAST_ROWS or np.isnan(numbers).any():
        return False
    if labels:
        if len(labels) < len(numbers) or not all(label.isdecimal() for label in labels[:100]):
            return False
        numbers = _whole_numbers(labels)
    return bool((np.abs(np.diff(numbers)) == 1).all())


def _whole_numbers(labels: tuple[str, ...]) -> Floats:
    return np.asarray(pd.to_numeric(pd.Series(labels), errors="coerce").to_numpy(dtype=float))


def _decided(column: ColumnValues, *, target: bool) -> tuple[Kind, str]:
    """Return the type of a column and the reason for it."""
    filled = len(column.numbers) - column.missing
    if not filled or (column.distinct == 1 and not column.missing):
        return "ignored", f"every row has {_shown(column, 0)}" if filled else "no row has a value"
    if column.kind in {"time", "yes_no"}:
        return column.kind, "times" if column.kind == "time" else "yes or no"
    whole = _whole(column)
    if target and column.kind == "id" and whole is not None:
        return "number", "numbers"
    reason = None if target else _id_reason(column, whole, filled)
    if reason:
        return "id", reason
    if column.kind == "number" and column.distinct == 2 and whole is not None:  # noqa: PLR2004 - two codes
        return "category", "two whole numbers"
    reasons: dict[Kind, str] = {
        "number": "numbers",
        "category": f"{column.distinct:,} different values",
        "id": "nearly each row has another value",
        "text": "free text",
    }
    return column.kind, reasons.get(column.kind, "")


def _id_reason(column: ColumnValues, whole: Floats | None, filled: int) -> str | None:
    """Return why a column identifies rows or entities, beyond how it was read; None if not."""
    if whole is not None:
        return _is_id(column, whole, filled)
    named = bool(column.labels) and names(column.name, "ids")
    if named and column.distinct > _SHARE_OF_IDS * filled:
        return "named as an id, with many values"
    return None


def _whole(column: ColumnValues) -> Floats | None:
    """Return the whole numbers that the different values are; None if they are not."""
    if column.kind == "number":
        known = np.sort(pd.unique(column.numbers[column.present]))
        return known if bool((known == np.round(known)).all()) else None
    if column.kind in {"id", "category"} and column.labels[0].lstrip("-").isdecimal():
        known = _whole_numbers(column.labels)
        return None if np.isnan(known).any() else np.sort(known)
    return None


def _is_id(column: ColumnValues, whole: Floats, filled: int) -> str | None:
    """Return why whole numbers identify rows or entities; None if they do not."""
    if column.read_as.unit:
        return None
    if column.row_number:
        return "it counts the rows"
    named = names(column.name, "ids")
    if named and column.distinct > _SHARE_OF_IDS * filled:
        return "named as an id, with many values"
    if column.distinct < filled or filled < _LEAST_ROWS or names(column.name, "quantities"):
        return "nearly each row has another number" if column.kind == "id" else None
    return _named_once(whole)


def _named_once(whole: Floats) -> str | None:
    """Return why whole numbers, each of which comes once, are names; None if they are not."""
    if whole[-1] - whole[0] + 1 == len(whole):
        return "each whole number of a range comes once"
    if whole[0] >= _LONG and len(f"{whole[0]:.0f}") == len(f"{whole[-1]:.0f}"):
        return "long whole numbers of as many digits, none of which comes twice"
    return "no number comes twice" if _repeats_by_chance(whole) > _REPEATS_BY_CHANCE else None


def _repeats_by_chance(whole: Floats) -> float:
    """Return how many values would repeat if as many numbers were drawn from the same places."""
    edges = np.quantile(whole, np.linspace(0, 1, 9))
    widths, share = np.maximum(np.diff(edges), 1), len(whole) / 8
    return float((share**2 / (2 * widths)).sum())


def _shown(column: ColumnValues, place: int) -> str:
    if column.labels:
        return column.labels[place]
    number: npt.NDArray[np.float64] = column.numbers[column.present][:1]
    return f"{float(number[0]):g}"

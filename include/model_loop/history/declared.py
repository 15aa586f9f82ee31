"""Comparison of the partitions of a declared table: its columns, and its rows in small."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.classes import text_of_label
from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declared import positive_label
from model_loop.errors import InvalidInputError
from model_loop.history.sketch import Sketch, SketchBuilder
from model_loop.history.table import (
    Array,
    ComparedClasses,
    ComparedColumn,
    ComparedTable,
    Values,
    units_of,
)
from model_loop.partitions.labels import label_texts

#: Columns of a kind that are compared: the causes that are tried grow with their square.
MOST_COLUMNS = 24
#: Bits of the hash that stands for a text: a float holds as many exactly.
_BITS = 48
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - on the clocks of the place


def compared_table(dataset: Dataset) -> ComparedTable:
    """Return what is compared of the partitions of a dataset: numbers, categories, yes and no.

    Of numbers and of categories the first `MOST_COLUMNS` each, in their declared order. The table
    has every column; one that a variant lacks is left out by `ComparedTable.limited_to`.

    Raises
    ------
    InvalidInputError
        If the dataset has no time, by which the rows of a partition are counted.
    """
    if dataset.time is None:
        raise InvalidInputError(
            f"The dataset {dataset.name}",
            "has no time, so that its partitions cannot be compared with those before",
            "Declare [time] with its column.",
        )
    target = dataset.target
    own = [column for column in dataset.columns if column.name != target.name]
    numbers = [column for column in own if column.kind == "number"][: MOST_COLUMNS - 1]
    categories = [column for column in own if column.kind in ("category", "yes_no")]
    columns = (
        ComparedColumn(dataset.time, "time"),
        *map(_category, categories[:MOST_COLUMNS]),
        *(_number(column, dataset) for column in numbers),
        *_outcome(dataset),
    )
    return ComparedTable(
        columns=columns,
        time=dataset.time,
        target=target.name,
        identity=tuple(column.name for column in columns if column.kind != "time"),
        classes=_classes(dataset),
    )


def _outcome(dataset: Dataset) -> Iterator[ComparedColumn]:
    """Yield the column of the target: a number, a class, or both where a condition makes it."""
    target, classes = dataset.target, _classes(dataset)
    if classes is None or classes.name != target.name:
        yield ComparedColumn(target.name, "number", units_of(target.unit))
    if classes is not None:
        yield ComparedColumn(classes.name, "category", text=True)


def _classes(dataset: Dataset) -> ComparedClasses | None:
    """Return the classes of the target; None of a number.

    Of several, those are named that the declaration lists; others are compared all the same.
    """
    target, declaration = dataset.target, dataset.declaration
    if not target.is_classified or declaration is None:
        return None
    positive = positive_label(declaration)
    told = [*map(text_of_label, declaration.task.classes)] if positive is None else [positive]
    numbers = dict(zip(told, _hashed(pd.Series(told, dtype=object)).tolist(), strict=True))
    column = declaration.columns.get(target.name)
    counted = declaration.task.positive_when and column is not None and column.type == "number"
    return ComparedClasses(
        f"class of {target.name}" if counted else target.name,
        target.name,
        target.title or target.name,
        functools.partial(label_texts, declaration),
        MappingProxyType(numbers),
    )


def compared_values(rows: pd.DataFrame, table: ComparedTable) -> Values:
    """Return the columns of some rows as sketches hold them.

    Parameters
    ----------
    rows
        Rows of the dataset, times on the clocks of its place.
    """
    return MappingProxyType(
        {column.name: _values(rows[column.name], column) for column in table.columns}
    )


def sketch_of(
    table: ComparedTable,
    partition: str,
    bounds: tuple[dt.datetime, dt.datetime],
    rows: pd.DataFrame,
    broken: Mapping[str, float] = MappingProxyType({}),
) -> Sketch:
    """Sketch a partition that is in memory.

    Parameters
    ----------
    bounds
        Its first moment and that of the next one, on the clocks of the place; rows outside of them
        are left out.
    rows
        All rows that keep the contract.
    broken
        Share of rows that break a rule of the contract, by rule.
    """
    if (classes := table.classes) is not None:
        rows = rows.assign(**{classes.name: classes.texts_of(rows)})
    table = table.limited_to(frozenset(map(str, rows.columns)))
    start, end = ((bound - _EPOCH) // dt.timedelta(microseconds=1) for bound in bounds)
    builder = SketchBuilder(table, partition, start, end, len(rows))
    values = compared_values(rows, table)
    times = values[table.time]
    builder.add(0, (times >= start) & (times < end), values)
    shares = {column.name: float(rows[column.name].isna().mean()) for column in table.columns}
    return builder.build(shares if len(rows) else {}, broken)


def _category(column: Column) -> ComparedColumn:
    return ComparedColumn(column.name, "category", text=column.text)


def _number(column: Column, dataset: Dataset) -> ComparedColumn:
    # A value that is known only after the prediction may follow from the outcome.
    outcome = column.known == dataset.moments[-1] and len(dataset.moments) > 1
    return ComparedColumn(column.name, "number", units_of(column.unit), outcome=outcome)


def _values(values: pd.Series[Any], column: ComparedColumn) -> Array:
    if column.kind == "time":
        return values.to_numpy().astype("datetime64[us]").astype(np.int64)
    if column.text:
        return _hashed(values)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _hashed(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return a whole number for each text, the same in every partition; NaN where one is missing.

    Of a thousand different texts two share a number once in half a billion tables.
    """
    codes, texts = pd.factorize(values.astype(object).map(str, na_action="ignore"))
    hashes = pd.util.hash_array(np.asarray(texts, dtype=object)) >> np.uint64(64 - _BITS)
    known = np.append(hashes.astype(np.float64), np.nan)
    return known[codes]

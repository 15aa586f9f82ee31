"""Values of a table: each column as numbers, with its type and the reason for that type."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.times import is_clock
from model_loop.tables.values import ColumnFormat

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_AS_TEXT = ColumnFormat("text")


@dataclass(frozen=True, eq=False)
class ColumnValues:
    """A column of a table.

    Parameters
    ----------
    numbers
        Values as numbers, shape (rows,), NaN where missing: numbers as they are, times as seconds
        since 1970, yes as 1 and no as 0, any other text as the place of its label.
    labels
        Texts of the codes; empty of numbers and times.
    distinct
        Number of different values.
    reason
        Reason for the type, for people.
    read_as
        Format by which the values were read.
    alternatives
        Further formats that read every value, to other values.
    sentinels
        Numbers that stand for a missing value; they are NaN among the values.
    absent
        Texts that stand for a missing time; they are NaN among the values.
    row_number
        Whether it counts the rows.
    """

    name: str
    kind: Kind
    numbers: Floats
    labels: tuple[str, ...] = ()
    distinct: int = 0
    reason: str = ""
    read_as: ColumnFormat = _AS_TEXT
    alternatives: tuple[ColumnFormat, ...] = ()
    sentinels: tuple[float, ...] = ()
    absent: tuple[str, ...] = ()
    row_number: bool = False

    @functools.cached_property
    def present(self) -> Mask:
        """Rows with a value."""
        return ~np.isnan(self.numbers)

    @property
    def is_dated(self) -> bool:
        """Moments: true of times that say a day."""
        return self.kind == "time" and not is_clock(self.read_as.time_format)

    @functools.cached_property
    def missing(self) -> int:
        """Number of rows without a value."""
        return len(self.numbers) - int(self.present.sum())


@dataclass(frozen=True, eq=False)
class TableValues:
    """A table: its columns in the order of the file, and its target."""

    columns: Mapping[str, ColumnValues]
    target: str
    rows: int

    @property
    def outcome(self) -> ColumnValues:
        """The target."""
        return self.columns[self.target]

    @functools.cached_property
    def features(self) -> tuple[ColumnValues, ...]:
        """Columns that a model could learn from, in the order of the file."""
        return tuple(
            column
            for name, column in self.columns.items()
            if name != self.target and column.kind != "ignored"
        )


def rows_of(table: TableValues, chosen: Mask) -> TableValues:
    """Return some rows of a table."""
    columns = {
        name: replace(column, numbers=column.numbers[chosen])
        for name, column in table.columns.items()
    }
    return TableValues(columns, table.target, int(chosen.sum()))


def levels_of(values: Floats) -> tuple[Floats, Places]:
    """Return the different values in their order, and the place of each value among them.

    NaN is at the place -1. For millions of rows, hashing is several times faster than sorting.
    """
    places, levels = pd.factorize(values, sort=True)
    return levels, places


def probe(rows: Places, size: int) -> Places:
    """Return some of the rows, drawn with a fixed seed and in their order, at most *size*."""
    if len(rows) <= size:
        return rows
    return np.sort(np.random.default_rng(20_240_101).choice(rows, size, replace=False))

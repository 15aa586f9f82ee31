"""Compute values that a request leaves out from the others, and describe them in answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.reading import Problem, RefusedRowsError, Row

Numbers = npt.NDArray[np.float64]
Compute = Callable[[str, Mapping[str, Numbers]], tuple[Numbers, str]]
"""Computes a column from the others: see `Extensions.computed`."""


def compute_missing(dataset: Dataset, rows: Sequence[Row]) -> list[Row]:
    """Return rows in which the columns that can be computed from the others are.

    Raises
    ------
    RefusedRowsError
        If a value cannot be computed.
    """
    complete, problems = list(rows), []
    for column in dataset.columns:
        place = dataset.columns.places[column.name]
        lacking = [
            number
            for number, row in enumerate(rows)
            if column.default == "computed" and row.cells[place] != row.cells[place]
        ]
        if not lacking:
            continue
        given = {
            other.name: np.array([rows[number].cells[at] for number in lacking], dtype=np.float64)
            for at, other in enumerate(dataset.columns)
            if not other.text
        }
        values, rule = computing(dataset)(column.name, given)
        for number, value in zip(lacking, values.tolist(), strict=True):
            row = complete[number]
            if value != value:  # noqa: PLR0124 - only NaN differs from itself
                at = number if len(rows) > 1 else None
                problems.append(Problem(column.field, rule, f"Give {column.name}.", at))
            else:
                cells = [*row.cells]
                cells[place] = value
                assumed = (*row.assumed, column.field)
                complete[number] = row._replace(cells=cells, assumed=assumed)
    if problems:
        raise RefusedRowsError(problems)
    return complete


def computing(dataset: Dataset) -> Compute:
    """Return the function that computes the columns of a table."""
    compute: Compute | None = dataset.extensions.load("computed")
    assert compute is not None, f"{dataset.name} declares computed columns and no function"
    return compute


def tell_assumed(dataset: Dataset, row: Row) -> dict[str, Any]:
    """Return what was assumed, by fields of requests: times as text, numbers as they are."""
    return {
        column.field: time_text(value) if column.kind == "time" else value
        for column, value in zip(dataset.columns, row.cells, strict=True)
        if column.field in row.assumed
    }


def time_text(seconds: float) -> str:
    """Return a time on the clocks of the table as text, from seconds since 1970 on them."""
    at = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).replace(tzinfo=None)
    return at.isoformat(timespec="seconds")

"""Values that a version has learned from, by the rows that are kept beside its profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from model_loop.dashboard.types import LearnedColumn
from model_loop.datasets.columns import Column
from model_loop.datasets.registry import find_variant
from model_loop.monitoring.profile import find_sample
from model_loop.scoring.assumptions import time_text
from model_loop.scoring.rows import Rows, from_frame
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trained import dataset_of_version, registered_declaration

#: Values of a category that are offered.
_OFFERED = 60


def learned_columns(tracker: Tracker, service: str, version: int) -> dict[str, LearnedColumn]:
    """Return what a version has learned from, by field of requests; empty if no rows are kept."""
    name = find_variant(service)[1].model_name
    sample = find_sample(tracker, name, version)
    if sample is None or sample.empty:
        return {}
    declaration = registered_declaration(tracker.client, name, version)
    dataset = dataset_of_version(name, version, declaration)
    names = [name for name in dataset.columns.names if name in sample]
    rows = from_frame(dataset, sample, names)
    example = max(rows[:100], key=lambda row: sum(1 for _ in _known(row)))
    return {
        column.field: _column(column, rows[:, place], example[place])
        for place, column in enumerate(dataset.columns)
        if column.name in names
    }


def _column(column: Column, values: Rows, example: Any) -> LearnedColumn:  # noqa: ANN401 - a value of a row
    known = [*_known(values)]
    shown = _shown(column, example)
    if column.text:
        frequent = Counter(map(str, known)).most_common(_OFFERED)
        return LearnedColumn(tuple(value for value, _ in frequent), example=shown)
    if column.kind == "number" and known:
        return LearnedColumn((), float(min(known)), float(max(known)), shown)
    return LearnedColumn(example=shown)


def _shown(column: Column, value: Any) -> bool | float | str | None:  # noqa: ANN401 - a value of a row
    """Return a value as a request has it; None if it is unknown."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return None
    if column.kind == "time":
        return time_text(float(value))
    if column.text:
        return str(value)
    return bool(value) if column.kind == "yes_no" else float(value)


def _known(values: Rows) -> Iterator[Any]:
    """Yield the values that are not NaN, which alone differs from itself."""
    return (value for value in values.tolist() if value == value)  # noqa: PLR0124 - see above

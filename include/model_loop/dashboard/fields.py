"""Fields of the playground's form, from the columns of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_loop.charts.formatting import plain
from model_loop.dashboard.types import LearnedColumn
from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset

#: Longest day and time that browsers take in a field of a time.
_TIME_LENGTH = 19


@dataclass(frozen=True)
class FormField:
    """A field of the form.

    Parameters
    ----------
    name, label
        Name in requests, and for people.
    kind
        ``number``, ``choice`` (of labelled codes), ``text``, ``time`` or ``yes_no``.
    help
        What it takes, in words.
    value
        Value that it begins with, as text; empty for none.
    required
        Whether it may not be empty.
    known
        Moment from which it is known.
    options
        Values with their labels; proposals of a text.
    attributes
        Further attributes of the element.
    """

    name: str
    label: str
    kind: str
    help: str
    value: str
    required: bool
    known: str
    options: Sequence[tuple[str, str]] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


def form_fields(
    dataset: Dataset, learned: Mapping[str, LearnedColumn], values: Mapping[str, Any]
) -> list[FormField]:
    """Return a field for each column.

    Parameters
    ----------
    learned
        What the champion has learned from, by field.
    values
        Values that the form begins with, by field; those of the learned row, or the example of a
        column, by default.
    """
    load = dataset.extensions.load("choices")
    return [
        _field(
            dataset,
            column,
            load(column.name) if load else {},
            learned.get(column.field, LearnedColumn()),
            values,
        )
        for column in dataset.columns
    ]


def _field(
    dataset: Dataset,
    column: Column,
    labels: Mapping[Any, str],
    learned: LearnedColumn,
    values: Mapping[str, Any],
) -> FormField:
    kind: str = "choice" if labels else column.kind
    if column.kind == "category" and not labels:
        kind = "text" if column.text else "number"
    given = column.example if learned.example is None else learned.example
    if values:
        given = values.get(column.field)
    options = [(str(value), label) for value, label in labels.items()]
    if kind == "text":
        options = [(value, value) for value in column.categories or sorted(learned.values)]
    unit = f" ({column.unit})" if column.unit and f"({column.unit})" not in column.title else ""
    return FormField(
        name=column.field,
        label=f"{column.title[:1].upper()}{column.title[1:]}{unit}",
        kind=kind,
        help=" ".join(_help(dataset, column, learned)),
        value=_text(given),
        required=column.required and not column.default,
        known=column.known,
        options=options,
        attributes=dict(_bounds(column)) if kind == "number" else {},
    )


def _help(dataset: Dataset, column: Column, learned: LearnedColumn) -> Iterator[str]:
    if column.description:
        yield column.description
    if column.known != dataset.moments[0]:
        yield f"Known {dataset.when(column.known)}."
    low, high = learned.lowest, learned.highest
    if low is not None and high is not None and not math.isfinite(column.highest):
        yield f"Learned from {plain(low)} to {plain(high)}."


def _bounds(column: Column) -> Iterator[tuple[str, str]]:
    for name, bound in (("min", column.lowest), ("max", column.highest)):
        if math.isfinite(bound):
            yield name, f"{bound:g}"
    yield "step", "1" if column.scale is not None and column.scale.whole else "any"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # A float of 32 bits that was read as one of 64 has digits that say nothing.
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:g}"  # noqa: PLR2004 - six digits
    return str(value)[:_TIME_LENGTH] if isinstance(value, str) and "T" in value else str(value)

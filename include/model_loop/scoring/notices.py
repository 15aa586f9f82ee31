"""Notices of answers: values of a row that are unlike all that its version has learned from.

A row with such values is answered all the same: a model says something of any row, and the notice
says what it cannot know.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.learned import ColumnRange, LearnedValues
from model_loop.datasets.reading import Row, Value, shown
from model_loop.scoring.assumptions import time_text

logger = logging.getLogger(__name__)

Code = Literal[
    "unseen_category",
    "out_of_range",
    "out_of_time",
    "unseen_missing",
    "all_missing",
    "ambiguous_number",
]
#: Categories that a notice names.
_NAMED = 5
_DIGITS, _THOUSAND = ".10g", 1_000
_ALL_MISSING = "no column that the version reads has a value: the answer is that to an empty row"


@dataclass(frozen=True)
class Notice:
    """A value that is unlike all that the version has learned from."""

    code: Code
    column: Annotated[str, Meta(description="Field of the request; empty if all are meant.")]
    value: Annotated[float | str | None, Meta(description="As it was read; null if missing.")]
    learned: Annotated[str, Meta(description="Values in training, in words.")]
    message: Annotated[str, Meta(description="All of this as a sentence.")]

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class ValueWatch:
    """Compares rows with what a version has learned from.

    Parameters
    ----------
    dataset
        Dataset of the rows.
    learned
        Values that the version has learned from.
    """

    def __init__(self, dataset: Dataset, learned: LearnedValues) -> None:
        places = dataset.columns.places
        self._declared = dataset.columns
        self._learned = {places[one.name]: one for one in learned.columns if one.name in places}
        self._first = next(iter(self._learned), 0)
        #: Places with what is like all that was learned, and whether a missing value is.
        self.ranges: list[tuple[int, float, float, bool]] = []
        self.categories: list[tuple[int, frozenset[Value], bool]] = []
        for place, one in self._learned.items():
            column, missing = dataset.columns[place], one.missing > 0
            if column.kind != "category":
                # Where no number was learned, none is like them.
                low = math.inf if one.lowest is None else one.lowest
                high = -math.inf if one.highest is None else one.highest
                self.ranges.append((place, low, high, missing))
            elif one.categories is not None:
                self.categories.append((place, _cells(column, one.categories), missing))

    def settle(self, row: Row) -> Row:
        """Return a row in which each number that can be read in two ways is like those learned.

        If both are, or neither is, the declared decimal sign decides.
        """
        cells = [*row.cells]
        for place, number in row.doubtful:
            if not self._is_like(place, number) and self._is_like(place, number / _THOUSAND):
                cells[place] = number / _THOUSAND
        return row._replace(cells=cells)

    def is_doubtful(self, place: int, number: float) -> bool:
        """Return whether a number that can be read in two ways needs a word.

        It does not if it is like those that were learned, and its thousandth is not.
        """
        if place not in self._learned and self._learned:
            # The version does not read it.
            return False
        return not self._is_like(place, number) or self._is_like(place, number / _THOUSAND)

    def _is_like(self, place: int, number: float) -> bool:
        learned = self._learned.get(place)
        if learned is None or learned.lowest is None or learned.highest is None:
            return False
        return learned.lowest <= number <= learned.highest

    def notices(self, row: Row) -> tuple[Notice, ...]:
        """Return what is to be said of a row, in the order of its columns.

        Parameters
        ----------
        row
            As `settle` returns it.
        """
        cells = row.cells
        if cells[self._first] != cells[self._first] and self.lacks_all(cells):
            return (Notice("all_missing", "", None, "", _ALL_MISSING),)
        # Nearly all rows are like those that were learned: nothing is built for them.
        unlike = [
            place
            for place, low, high, missing in self.ranges
            # Only NaN differs from itself.
            if not low <= (value := cells[place]) <= high and (value == value or not missing)  # noqa: PLR0124
        ]
        unlike += [
            place
            for place, known, missing in self.categories
            if (value := cells[place]) not in known and (value == value or not missing)  # noqa: PLR0124
        ]
        doubtful = [(place, one) for place, one in row.doubtful if self.is_doubtful(place, one)]
        if not unlike and not doubtful:
            return ()
        told = {
            (place, 1): _notice(self._declared[place], self._learned[place], cells[place])
            for place in unlike
        }
        for place, number in doubtful:
            other = number if cells[place] != number else number / _THOUSAND
            column, learned = self._declared[place], self._learned.get(place)
            told[place, 0] = _two_readings(column, learned, cells[place], other)
        return tuple(told[key] for key in sorted(told))

    def lacks_all(self, cells: Sequence[Value]) -> bool:
        """Return whether a row has no value of any column that the version reads."""
        return bool(self._learned) and all(cells[place] != cells[place] for place in self._learned)


def _cells(column: Column, categories: Sequence[str]) -> frozenset[Value]:
    """Return categories as rows have them: texts, or codes as numbers."""
    return frozenset(categories if column.text else map(float, categories))


def _notice(column: Column, learned: ColumnRange, value: Value) -> Notice:
    name, known = column.field, _known(column, learned)
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        said = f"{name} is missing, and every row of training had it"
        return Notice("unseen_missing", name, None, known, said)
    words = _words(column, value)
    if not learned.given:
        rule = f"{name} is {words}, and no row of training had any value of it"
        code: Code = "unseen_category" if column.kind == "category" else "out_of_range"
        return Notice(code, name, _plain(column, value), known, rule)
    if column.kind in {"category", "yes_no"}:
        said = f"{name} is {words}, which no row of training had; known: {known}"
        return Notice("unseen_category", name, _plain(column, value), known, said)
    if column.kind == "time":
        side = "before" if value < (learned.first or 0.0) else "after"
        said = f"{name} is {words}, long {side} the rows of training, which are of {known}"
        return Notice("out_of_time", name, _plain(column, value), known, said)
    which = f"all but {learned.outliers:,}" if learned.outliers else "all"
    said = f"{name} is {words}, and {which} rows of training had {known}"
    return Notice("out_of_range", name, _plain(column, value), known, said)


def _two_readings(
    column: Column, learned: ColumnRange | None, value: float, other: float
) -> Notice:
    name, known = column.field, "" if learned is None else _known(column, learned)
    said = (
        f"{name} is read as {_words(column, value)}, and {_words(column, other)} may be meant: its "
        "one sign may be decimal or between thousands"
    )
    if known:
        said += f"; rows of training had {known}"
    return Notice("ambiguous_number", name, value, known, said)


def _known(column: Column, learned: ColumnRange) -> str:
    """Return what was learned from in words."""
    if learned.categories:
        named, further = learned.categories[:_NAMED], len(learned.categories) - _NAMED
        return ", ".join(map(shown, named)) + (f" and {further:,} more" if further > 0 else "")
    if learned.first is None or learned.last is None:
        return "no value"
    ends = dict.fromkeys(_words(column, end) for end in (learned.first, learned.last))
    unit = f" {column.unit}" if column.unit else ""
    return " to ".join(ends) + unit


def _words(column: Column, value: Value) -> str:
    if column.kind == "yes_no":
        return "yes" if value else "no"
    if column.kind == "time" or column.text:
        return shown(_plain(column, value))
    return f"{value:{_DIGITS}}"


def _plain(column: Column, value: Value) -> float | str | None:
    """Return a value as JSON has it: a time is text."""
    plain: float | str = time_text(value) if column.kind == "time" else value
    return plain


def watch_of(dataset: Dataset, version: int, learned: LearnedValues | None) -> ValueWatch | None:
    """Return the watch of a version; None of tables in Python, which store nothing of it.

    If nothing is stored, the log says so once.
    """
    if learned is None and dataset.declaration is None:
        return None
    if learned is None:
        logger.info(
            "Version %d was stored without the ranges and categories that it has learned from: its "
            "answers do not tell of values that are unlike them. Train a new version.",
            version,
        )
    return ValueWatch(dataset, learned or LearnedValues(()))


def settled(watch: ValueWatch | None, rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows as a version reads them; see `ValueWatch.settle`."""
    if watch is None:
        return rows
    return [watch.settle(row) if row.doubtful else row for row in rows]


def notices_of(watch: ValueWatch | None, row: Row) -> tuple[Notice, ...]:
    """Return what is to be said of a row; nothing where it is unknown what was learned from."""
    return () if watch is None else watch.notices(row)


def notice_text(notices: Sequence[Notice]) -> str | None:
    """Return notices as one text of a file; None where there are none."""
    return "; ".join(map(str, notices)) or None


def codes_of(notices: Sequence[Notice]) -> Iterator[str]:
    """Yield ``column: code`` of each notice, by which they are counted."""
    return (f"{one.column}: {one.code}" if one.column else one.code for one in notices)

"""Findings about the rows of a table: duplicates, sums among them, entities, gaps in time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from model_loop.datasets.times import is_period
from model_loop.drafting.values import ColumnValues, Floats, Mask, TableValues, levels_of
from model_loop.drafting.vocabulary import is_total, names, names_entity

_DAY = 86_400
#: Labels of groups, different values of a number that is summed, rows of a sum, and rounding.
_MOST_LABELS, _FEW_VALUES, _LEAST_SUMMED, _EQUAL = 2_000, 10, 2, 1e-9
#: Rows of a value of an entity, its number of values, and that of one without further evidence.
_LEAST_PER_ENTITY, _LEAST_ENTITIES, _MOST_PER_ENTITY, _MANY_ENTITIES = 1.3, 15, 60, 30
#: Rows of a value of an entity that its name says, and how far the means of others differ.
_MOST_PER_NAMED, _DIFFERENT = 2_000, 2.0
#: Times of a series, its rows at each of them, share of equal steps, shortest step,
#: and hours of a day.
_LEAST_TIMES, _ROWS_OF_A_SERIES, _REGULAR, _MINUTE, _HOURS = 10, 1.2, 0.8, 60, 24
#: Share of the steps that go on, of a file in the order of its time.
_IN_ORDER = 0.9
#: Share of the entities whose other columns do not change.
_SETTLED = 0.99


@dataclass(frozen=True)
class Gaps:
    """Steps of time in which a table has no row.

    Parameters
    ----------
    step
        Seconds from one time to the next, most often.
    missing
        Number of steps without a row.
    first
        Beginning of the first of them.
    """

    step: float
    missing: int
    steps: int
    first: dt.datetime


def duplicated_rows(table: TableValues) -> int:
    """Return how many rows repeat an earlier one in every column but the numbers of rows."""
    columns = [each for each in table.columns.values() if not each.row_number]
    if not columns:
        return 0
    digest = np.zeros(table.rows, dtype=np.uint64)
    for place, column in enumerate(columns):
        hashed = pd.util.hash_array(np.nan_to_num(column.numbers, nan=-1.5e308))
        digest = digest * np.uint64(0x9E3779B97F4A7C15) + hashed + np.uint64(place)
    return int(pd.Series(digest).duplicated().sum())


@dataclass(frozen=True, eq=False)
class Totals:
    """Rows that sum up others.

    Parameters
    ----------
    column, label
        Column and text that distinguish them from the others; the text is empty where the column
        has no value.
    rows
        The rows, shape (rows,).
    proven
        Whether they are the sum of the others in a column of numbers; otherwise their label alone
        says so.
    """

    column: str
    label: str
    rows: Mask
    proven: bool


def total_rows(table: TableValues) -> Totals | None:
    """Return the rows that sum up others; None if there are none."""
    labelled = [each for each in table.features if 0 < len(each.labels) <= _MOST_LABELS]
    for column in labelled:
        for place, label in enumerate(column.labels):
            if is_total(label):
                rows = column.numbers == place
                if rows.sum() <= table.rows / 2:
                    sums = (_sum_of_the_others(column, each) for each in _summable(table))
                    return Totals(column.name, label, rows, place in sums)
    for column in labelled:
        for number in _summable(table):
            found = _sum_of_the_others(column, number)
            if found == len(column.labels):
                return Totals(column.name, "", ~column.present, proven=True)
            if found is not None:
                rows = column.numbers == found
                return Totals(column.name, column.labels[found], rows, proven=True)
    return None


def _summable(table: TableValues) -> list[ColumnValues]:
    """Return columns whose sums mean something: the target, and some numbers."""
    sums = [table.outcome] if table.outcome.kind == "number" else []
    return sums + [each for each in table.features if each.kind == "number"][:20]


def _sum_of_the_others(column: ColumnValues, number: ColumnValues) -> int | None:
    """Return the place of the label whose rows sum up all others; missing is the last one."""
    codes = np.where(column.present, column.numbers, len(column.labels)).astype(np.intp)
    totals = np.bincount(codes, np.nan_to_num(number.numbers), len(column.labels) + 1)
    size = np.bincount(codes, minlength=len(column.labels) + 1)
    whole = totals.sum()
    if whole == 0 or number.distinct < _FEW_VALUES:
        return None
    equal = np.abs(2 * totals - whole) <= _EQUAL * abs(whole)
    few = (size > 0) & (size <= len(codes) / 4) & (len(codes) - size > _LEAST_SUMMED)
    places = np.flatnonzero(equal & few)
    return int(places[0]) if len(places) else None


@dataclass(frozen=True, eq=False)
class Entity:
    """An entity of which a table has several rows.

    Parameters
    ----------
    column
        Column that names it.
    anew
        Whether a model probably meets entities that it has not learned from: then the rows of each
        stay together, where no time splits them.
    """

    column: ColumnValues
    anew: bool


def entity_of(table: TableValues, leaks: Collection[str]) -> Entity | None:
    """Return the entity of which a table has several rows; None if there is none.

    The first that there is of: a column named as one, an id with repeated values, a column of many
    values that settles what others hold, one named as a site, a category of many values that
    differ in their target by more than chance, and an id named as an entity, some of which come
    again.

    Parameters
    ----------
    leaks
        Columns that give the target away, and name nothing.
    """
    several = [each for each in table.features if each.name not in leaks and _repeats(each, table)]
    kinds: tuple[tuple[Callable[[ColumnValues], bool], bool], ...] = (
        (lambda column: names_entity(column.name, "entities"), True),
        (lambda column: column.kind == "id", True),
        (lambda column: _is_often(column, table) and _settles(column, table) >= 1, True),
        (lambda column: names_entity(column.name, "sites"), False),
        (lambda column: _is_often(column, table) and _differs(column, table.outcome), False),
    )
    for is_entity, anew in kinds:
        for column in several:
            if is_entity(column):
                return Entity(column, anew)
    for column in table.features:
        # Some patients come again: rare as it is, it costs nothing to keep their rows together.
        again = int(column.present.sum()) - column.distinct
        named = column.kind == "id" and names_entity(column.name, "entities")
        if named and again and column.name not in leaks:
            return Entity(column, anew=True)
    return None


def _repeats(column: ColumnValues, table: TableValues) -> bool:
    """Return whether a column has many values, most of which come several times."""
    rows = int(column.present.sum())
    return (
        column.kind in {"id", "category", "number"}
        and column.distinct >= max(_LEAST_ENTITIES, table.rows / _MOST_PER_NAMED)
        and rows >= _LEAST_PER_ENTITY * column.distinct
        and (bool(column.labels) or bool((column.numbers[column.present] % 1 == 0).all()))
        and not column.read_as.unit
        and not names(column.name, "quantities")
    )


def _is_often(column: ColumnValues, table: TableValues) -> bool:
    return column.distinct >= table.rows / _MOST_PER_ENTITY


def _differs(column: ColumnValues, target: ColumnValues) -> bool:
    """Return whether the values of a category differ in their mean target by more than chance."""
    rows = column.present & target.present
    codes, y = column.numbers[rows].astype(np.intp), target.numbers[rows]
    if column.kind != "category" or column.distinct < _MANY_ENTITIES or y.std() == 0:
        return False
    size = np.maximum(np.bincount(codes), 1)
    means = np.bincount(codes, y) / size
    within = float(((y - means[codes]) ** 2).sum()) / max(len(y) - len(size), 1)
    between = float((size * (means - y.mean()) ** 2).sum()) / max(len(size) - 1, 1)
    return between > _DIFFERENT * within


def _settles(column: ColumnValues, table: TableValues) -> int:
    """Return how many other columns have one value for each value of a column."""
    levels, codes = levels_of(column.numbers)
    codes = np.where(codes < 0, len(levels), codes)
    size = np.bincount(codes)
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(size)[:-1]])
    several = size > 1
    settled = 0
    for other in table.features:
        if other.name == column.name or not 2 <= other.distinct < column.distinct:  # noqa: PLR2004 - constant
            continue
        values = np.nan_to_num(other.numbers, nan=-1.5e308)[order]
        same = np.minimum.reduceat(values, starts) == np.maximum.reduceat(values, starts)
        # A value that nearly all rows share is the same within any group.
        common = np.bincount(levels_of(values)[1]).max() / len(values)
        if same[several].mean() >= _SETTLED and common < 0.9:  # noqa: PLR2004 - nine tenths
            settled += 1
    return settled


def time_column(table: TableValues) -> ColumnValues | None:
    """Return the time of a row; None if there is none.

    One that orders the file comes first, then those with days, then the earliest.
    """
    candidates = [
        column
        for column in table.features
        if column.is_dated
        and column.missing <= table.rows / 100
        and not names(column.name, "births")
        and not (np.nanmax(column.numbers) - np.nanmin(column.numbers) > 40 * 365 * _DAY)
    ]
    if not candidates:
        return None
    return max(
        candidates,
        key=lambda column: (
            _order(column.numbers) > _IN_ORDER,
            not is_period(column.read_as.time_format),
            -np.nanmean(column.numbers),
        ),
    )


def _order(values: Floats) -> float:
    """Return the share of steps from row to row that do not go back."""
    known = values[~np.isnan(values)]
    return float(np.mean(np.diff(known) >= 0)) if len(known) > 1 else 0.0


def gaps_in(values: Floats, table: TableValues) -> Gaps | None:
    """Return the gaps of a series of times; None if there are none, or they say nothing.

    Of a series with one row at each time, every step without a row is a gap, also where a date and
    an hour stand in two columns. Events come when they come: of them, whole days are looked at, and
    only more of them than chance leaves empty.
    """
    known = values[~np.isnan(values)]
    times = np.unique(known)
    if len(times) < _LEAST_TIMES:
        return None
    if len(known) <= _ROWS_OF_A_SERIES * len(times):
        return _gaps_of_series(times)
    hours = _hours(table)
    if hours is not None and (known % _DAY == 0).all():
        times = np.unique(values + 3_600 * hours)
        if len(times) == len(values):
            return _gaps_of_series(times)
    days = np.unique(known // _DAY) * _DAY
    gaps = _gaps_of_series(days) if len(days) >= _LEAST_TIMES else None
    if gaps is None or gaps.missing <= 1 + 3 * gaps.steps * np.exp(-len(known) / gaps.steps):
        return None
    return gaps


def _gaps_of_series(times: Floats) -> Gaps | None:
    steps, counts = np.unique(np.diff(times), return_counts=True)
    step = float(steps[counts.argmax()])
    far = np.diff(times) > 1.5 * step
    # Fewer equal steps are no series, and steps of seconds are events.
    if counts.max() < _REGULAR * (len(times) - 1) or step < _MINUTE or not far.any():
        return None
    missing = int(np.round(np.diff(times)[far] / step - 1).sum())
    first = dt.datetime.fromtimestamp(float(times[:-1][far][0]) + step, dt.UTC)
    return Gaps(step, missing, round((times[-1] - times[0]) / step) + 1, first)


def _hours(table: TableValues) -> Floats | None:
    """Return the hours of the day of a column that holds nearly all of 0 to 23."""
    for column in table.features:
        if column.kind != "number" or column.missing or column.distinct < _HOURS - 1:
            continue
        known = column.numbers
        if known.min() == 0 and known.max() == _HOURS - 1 and (known % 1 == 0).all():
            return known
    return None


def partition_of(values: Floats, rows: int) -> str:
    """Return the size of partitions into which a span of time is cut: at least four of 30 rows."""
    days = (float(np.nanmax(values)) - float(np.nanmin(values))) / _DAY
    for word, length in (("month", 30.44), ("week", 7.0), ("day", 1.0)):
        if days / length >= 4 and rows / (days / length) >= 30:  # noqa: PLR2004 - see the docstring
            return word
    return "whole"


def half_width(target: Floats, rows: int) -> float:
    """Return the half-width of a 95 % interval of an error on some rows, as a share of it."""
    spread = float(target.std())
    if spread == 0 or rows < 2:  # noqa: PLR2004 - no interval
        return 0.0
    tails = float((((target - target.mean()) / spread) ** 4).mean())
    return float(1.96 * np.sqrt(max(tails - 1, 0.1) / (4 * rows)))


def skew_of(target: Floats) -> float:
    """Return the skewness of the target."""
    spread = float(target.std())
    return 0.0 if spread == 0 else float((((target - target.mean()) / spread) ** 3).mean())


def rare_values(column: ColumnValues) -> Iterator[int]:
    """Yield the number of rows of each value that fewer than five rows have."""
    known = column.numbers[column.present].astype(np.intp)
    yield from (int(each) for each in np.bincount(known) if 0 < each < 5)  # noqa: PLR2004 - see the docstring

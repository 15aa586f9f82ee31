"""Types that only the values beside the target decide: codes, and numbers for a missing value."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pyarrow as pa

from model_loop.datasets.classes import TWO
from model_loop.drafting.values import ColumnValues, Floats, Places, TableValues, levels_of
from model_loop.drafting.vocabulary import has_word, names
from model_loop.tables.raw import RawTable
from model_loop.tables.values import is_text

#: Numbers that programs write where there is no value.
_SENTINEL = re.compile(r"-?9{2,}(?:\.9+)?|-200|-1|-32768|-2147483648|-?1e\+?\d\d")
#: Rows that a sentinel fills at least, and different values that a column needs to have one.
_LEAST, _LEAST_SHARE, _VALUES = 3, 0.001, 5
#: Rows of a sentinel, and of -1, for each row that has a value, at most.
_MOST, _MOST_ONES = 50, 4
#: Rows of a date that stands for none, other dates beside it, and seconds to the next one.
_LEAST_DATES, _FAR = 5, 5 * 365 * 86_400
#: Different values of a code: fewer show no order, and more are no codes.
_FEWEST_CODES, _MOST_CODES = 6, 5_000
#: Rows of a code.
_ROWS_OF_A_CODE = 3
#: Strength of the differences between values, and roughness of neighbours, of codes.
_STRENGTH, _ROUGH, _ROWS_OF_A_MEAN = 4.0, 0.55, 5
_FEW_FAR, _DIGITS = 50, 100


def without_sentinels(column: ColumnValues) -> ColumnValues:
    """Return a column of numbers in which those that stand for a missing value are missing."""
    if column.kind != "number" or column.distinct < _VALUES:
        return column
    values = column.numbers.copy()
    found: list[float] = []
    for _ in range(3):
        known = values[~np.isnan(values)]
        if not len(known):
            break
        ends = [each for each in (known.min(), known.max()) if _is_sentinel(float(each), known)]
        if not ends:
            break
        found += map(float, ends)
        values[np.isin(values, ends)] = np.nan
    if not found:
        return column
    distinct = column.distinct - len(found)
    return dataclasses.replace(column, numbers=values, sentinels=tuple(found), distinct=distinct)


def without_far_dates(table: TableValues, raw: RawTable) -> TableValues:
    """Return a table in which dates far from all others, such as 1900-01-01, are missing.

    Only texts can stand for a missing value: those of typed files stay as they are.
    """
    columns = dict(table.columns)
    for name, column in table.columns.items():
        if column.is_dated and name != table.target and is_text(raw.columns[name].type):
            columns[name] = _without_far_date(column, raw)
    return dataclasses.replace(table, columns=columns)


def _without_far_date(column: ColumnValues, raw: RawTable) -> ColumnValues:
    values, texts = column.numbers.copy(), dict[str, None]()
    for end in (0, -1):
        levels, places = levels_of(values)
        counts = np.bincount(places[places >= 0], minlength=len(levels))
        if len(levels) < _LEAST_DATES:
            break
        rest = np.delete(levels, end)
        gap = abs(float(levels[end]) - float(rest[end]))
        if counts[end] < _LEAST_DATES or gap <= max(rest[-1] - rest[0], _FAR):
            continue
        far = values == levels[end]
        written = raw.columns[column.name].filter(pa.array(far)).unique().to_pylist()
        texts |= dict.fromkeys(text.strip() for text in written)
        values[far] = np.nan
    if not texts:
        return column
    distinct = column.distinct - len(texts)
    return dataclasses.replace(column, numbers=values, absent=tuple(texts), distinct=distinct)


def _is_sentinel(value: float, known: Floats) -> bool:
    if not _SENTINEL.fullmatch(f"{value:g}" if abs(value) < 1e15 else f"{value:.0e}"):  # noqa: PLR2004 - digits
        return False
    filled = known == value
    count, rest = int(filled.sum()), known[~filled]
    if count < max(_LEAST, _LEAST_SHARE * len(known)) or len(rest) < max(_VALUES, count / _MOST):
        return False
    low, high = float(rest.min()), float(rest.max())
    if value == -1:
        return low >= 0 and count >= 0.005 * len(known) and len(rest) >= count / _MOST_ONES
    gap, spread = max(low - value, value - high), high - low
    levels = max(len(np.unique(rest[:10_000])), 1)
    spike = count >= 5 * len(rest) / levels
    # A number below zero among others that are not stands apart, however near.
    apart = value < 0 <= low or gap > spread / 10
    return gap > spread / 2 or (spike and apart)


def without_order(column: ColumnValues, target: ColumnValues) -> str | None:
    """Return why the whole numbers of a column are codes; None if they are quantities.

    Quantities of similar size have similar targets. Where neighbouring numbers differ in their mean
    target as much as any two do, the numbers have no order.
    """
    if column.kind != "number" or names(column.name, "quantities"):
        return None
    rows = column.present & target.present
    known = column.numbers[rows]
    if not len(known) or not (known == np.round(known)).all():
        return None
    levels, codes = levels_of(known)
    # A word may end like one for codes by chance: then its values have to come several times.
    several = len(known) >= _ROWS_OF_A_CODE * len(levels)
    if has_word(column.name, "codes") or (several and names(column.name, "codes")):
        return "whole numbers, named as a code"
    if _few_far(levels, len(known)):
        return f"{len(levels)} whole numbers far from each other"
    enough = _FEWEST_CODES <= len(levels) <= _MOST_CODES and len(known) >= 10 * len(levels)
    numeric = target.kind in {"number", "yes_no"} or target.distinct == TWO
    if enough and numeric and _is_rough(codes, target.numbers[rows]):
        return "whole numbers without an order: neighbours differ as much as any two"
    return None


def _is_rough(codes: Places, y: Floats) -> bool:
    """Return whether neighbouring levels differ in their mean as much as any two do."""
    low, high = np.quantile(y, [0.005, 0.995])
    y = np.clip(y, low, high)
    size = np.bincount(codes)
    means = np.bincount(codes, y) / size
    within = float(((y - means[codes]) ** 2).sum() / max(len(y) - len(size), 1))
    counted = size >= _ROWS_OF_A_MEAN
    if within == 0 or counted.sum() < _FEWEST_CODES:
        return False
    means, size = means[counted], size[counted]
    overall = np.average(means, weights=size)
    # Both are 1 where nothing but chance is at work.
    strength = float((size * (means - overall) ** 2).sum() / (len(means) - 1) / within)
    neighbours = (1 / size[1:] + 1 / size[:-1]) * within
    rough = float((np.diff(means) ** 2 / neighbours).mean())
    return strength > _STRENGTH and rough > 1 and (rough - 1) / (strength - 1) > _ROUGH


def _few_far(levels: Floats, rows: int) -> bool:
    """Return whether there are few values of as many digits, at uneven distances."""
    if not 3 <= len(levels) <= _FEW_FAR or rows < 10 * len(levels) or levels[0] < _DIGITS:  # noqa: PLR2004 - codes
        return False
    steps = np.diff(levels)
    same_digits = len(f"{levels[0]:.0f}") == len(f"{levels[-1]:.0f}")
    uneven = steps.max() > 1 and len(np.unique(steps)) > 1 and np.gcd.reduce(levels.astype(int)) < 5  # noqa: PLR2004 - round
    return bool(same_digits and uneven and len(levels) / (levels[-1] - levels[0] + 1) < 0.2)  # noqa: PLR2004 - a fifth


def as_codes(column: ColumnValues, reason: str) -> ColumnValues:
    """Return a column of whole numbers as one of codes."""
    levels, places = levels_of(column.numbers)
    labels = tuple(f"{level:.0f}" for level in levels)
    values = np.where(column.present, places.astype(float), np.nan)
    return dataclasses.replace(
        column, kind="category", numbers=values, labels=labels, reason=reason
    )

"""Exact relations of columns with the target, found by algebra on the rows.

A correlation is high for many sound columns; an equation that holds in every row is not. Candidates
are looked for on a few hundred rows, and each is then checked on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy.linalg

from model_loop.drafting.values import ColumnValues, Floats, Mask, Places, levels_of, probe

RelationCode = Literal[
    "target_copy", "target_sum", "target_difference", "target_product", "target_ratio", "target_or"
]

#: Rows on which candidates are looked for: of single columns, and of pairs.
_PROBED, _PAIR_PROBED = 20_000, 96
#: Share of the rows in which a relation has to hold: files have damaged rows.
_HOLDS = 0.995
#: Rows that have to show a relation.
_ENOUGH = 20
#: Different values below which a number says too little for an equation.
_FEW_VALUES = 10
#: Rows for each value of a category that is compared with the target.
_ROWS_PER_VALUE = 5
#: Spread of logarithms that may be a factor and rounding, and a second in units of time.
_NEARLY = 0.02
_UNITS = (1.0, 1 / 60, 1 / 3_600, 1 / 86_400, 1 / 604_800, 1_000.0)
#: Columns among which pairs are looked for, and those of one equation.
_MOST_COLUMNS, _MOST_TERMS = 600, 8


@dataclass(frozen=True)
class ExactRelation:
    """An equation that gives the target away.

    Parameters
    ----------
    code
        Code of its finding.
    columns
        Columns that it reads.
    formula
        The equation in words, for people.
    share
        Share of the rows in which it holds, of those that have all values.
    """

    code: RelationCode
    columns: tuple[str, ...]
    formula: str
    share: float


def find_relations(
    columns: Sequence[ColumnValues], target: ColumnValues, *, classes: bool
) -> list[ExactRelation]:
    """Return the exact relations of columns with the target.

    Parameters
    ----------
    columns
        Columns without the target.
    classes
        Whether the target is a class, so that its numbers are codes.
    """
    copies = [copy for column in columns if (copy := _copy(column, target, classes=classes))]
    copied = {copy.columns[0] for copy in copies}
    others = [column for column in columns if column.name not in copied]
    if classes:
        return [*copies, *_conjunctions(others, target)]
    numeric = [
        column
        for column in others
        if column.kind in {"number", "time", "yes_no"} and column.distinct > 1
    ][:_MOST_COLUMNS]
    if target.distinct < _FEW_VALUES:
        return copies
    pairs = list(_pairs(numeric, target))
    if pairs:
        return [*copies, *pairs]
    return [*copies, *_equations(numeric, target)]


def resolution(values: Floats) -> float:
    """Return the smallest decimal step in which values are written: 0.01 of 1.25; 0 of finer."""
    known = values[~np.isnan(values)][:2_000]
    for decimals in range(-1, 7):
        step = 10.0**-decimals
        if np.allclose(known / step, np.round(known / step), rtol=0, atol=1e-6):
            return step
    return 0.0


def _copy(column: ColumnValues, target: ColumnValues, *, classes: bool) -> ExactRelation | None:
    """Return the relation of a column that says the target in another way."""
    if column.row_number:
        return None
    shared = np.flatnonzero(column.present & target.present)
    if len(shared) < _ENOUGH:
        return None
    sample = probe(shared, _PROBED)
    for values, ordered in _readings(column):
        formula = _copied(values[sample], target.numbers[sample], ordered=ordered, classes=classes)
        if formula is None:
            continue
        share = _share_of_copy(
            values[shared], target.numbers[shared], ordered=ordered, classes=classes
        )
        if share >= _HOLDS:
            said = formula.format(column=column.name, target=target.name)
            return ExactRelation("target_copy", (column.name,), said, share)
    return None


def said_by_presence(column: ColumnValues, target: ColumnValues) -> str | None:
    """Return what the bare presence of a value says of a number; None if it says no range of it."""
    y, filled = target.numbers[target.present], column.present[target.present]
    if target.distinct < _FEW_VALUES or min(filled.sum(), (~filled).sum()) < _ENOUGH:
        return None
    if _share_of_copy(filled.astype(float), y, ordered=False, classes=False) < _HOLDS:
        return None
    above = y[filled].mean() > y[~filled].mean()
    bound = np.quantile(y[filled], 1 - _HOLDS if above else _HOLDS)
    side = "above" if above else "below"
    return f"{column.name} is filled just where {target.name} is {side} {bound:.6g}"


def _readings(column: ColumnValues) -> Iterator[tuple[Floats, bool]]:
    """Yield the values of a column with and without their order; numbers in texts, too."""
    if column.labels:
        yield column.numbers, False
        numbers = _numbers_in(column.labels)
        if numbers is not None:
            codes = np.where(column.present, column.numbers, 0).astype(np.intp)
            yield np.where(column.present, numbers[codes], np.nan), True
    else:
        yield column.numbers, True


def _numbers_in(labels: Sequence[str]) -> Floats | None:
    """Return the number that each text holds; None if one holds none."""
    digits = [
        "".join(each for each in label.replace(",", ".") if each in "0123456789.-")
        for label in labels
    ]
    try:
        # All but the last point divide thousands.
        return np.array(
            [float(text.replace(".", "", max(text.count(".") - 1, 0))) for text in digits]
        )
    except ValueError:
        return None


def _copied(x: Floats, y: Floats, *, ordered: bool, classes: bool) -> str | None:
    """Return how a column says the target, if it does on these rows."""
    levels = len(pd.unique(x))
    if levels < 2 or len(pd.unique(y)) < 2:  # noqa: PLR2004 - nothing to tell apart
        return None
    if ordered and not classes and levels >= _FEW_VALUES:
        line = _line(x, y)
        if line is not None:
            return line
    if _share_of_copy(x, y, ordered=ordered, classes=classes) < _HOLDS:
        return None
    if classes:
        return "each value of {column} has one value of {target}"
    if ordered and levels >= _FEW_VALUES:
        return "{column} has the order of {target}"
    return "each value of {column} stands for its own range of {target}"


def _line(x: Floats, y: Floats) -> str | None:
    """Return the straight line from a column to the target, if rounding is all that is left."""
    spread = y.std()
    if x.std() == 0 or spread == 0:
        return None
    slope, start = np.polyfit((x - x.mean()) / x.std(), y, 1)
    slope, start = slope / x.std(), start - slope * x.mean() / x.std()
    tolerance = 0.51 * (abs(slope) * resolution(x) + resolution(y)) + 1e-6 * spread
    if tolerance > spread / 5 or np.mean(np.abs(slope * x + start - y) <= tolerance) < _HOLDS:
        return None
    if abs(slope - 1) < 1e-6 and abs(start) < 1e-6 * spread:  # noqa: PLR2004 - as good as equal
        return "{column} equals {target}"
    shift = f" {'+' if start >= 0 else '-'} {abs(start):.6g}" if abs(start) > 1e-6 * spread else ""
    return f"{{target}} = {slope:.6g} * {{column}}{shift}"


def _share_of_copy(x: Floats, y: Floats, *, ordered: bool, classes: bool) -> float:
    """Return the share of rows in which the values of a column part those of the target.

    Numbers of the target: the ranges that belong to the values of the column do not overlap.
    Classes: each value of the column has one class.
    """
    levels, codes = levels_of(x)
    many = len(x) < _ROWS_PER_VALUE * len(levels)
    if classes:
        if many and not ordered:
            return 0.0
        if many:
            # A threshold: sorted by the column, the classes come in as many runs as there are.
            runs = np.count_nonzero(np.diff(y[np.argsort(x, kind="stable")])) + 1
            return 1.0 if runs == len(np.unique(y)) else 0.0
        _, classes_of = np.unique(y, return_inverse=True)
        table = np.zeros((len(levels), classes_of.max() + 1))
        np.add.at(table, (codes, classes_of), 1)
        wrong, less_common = len(x) - table.max(axis=1).sum(), len(x) - table.sum(axis=0).max()
        # A rule that never names a rare class is right for nearly all rows.
        return float(1 - wrong / max(min(len(x), 2 * less_common), 1))
    if many and not ordered:
        return 0.0
    if not ordered:
        means = np.bincount(codes, y) / np.bincount(codes)
        codes = np.argsort(np.argsort(means, kind="stable"))[codes]
    shares = []
    for sign in (1, -1) if ordered else (1,):
        order = np.lexsort((y, sign * codes))
        highest = np.maximum.accumulate(y[order])
        lowest = np.minimum.accumulate(y[order][::-1])[::-1]
        shares.append(float(np.mean((y[order] >= highest) & (y[order] <= lowest))))
    return max(shares)


@dataclass(frozen=True, eq=False)
class _Probe:
    """Values of all columns and of the target on a few rows."""

    columns: Sequence[ColumnValues]
    target: ColumnValues
    #: Shape (columns, rows).
    x: Floats
    y: Floats
    logs: Floats
    log_y: Floats


def _pairs(columns: Sequence[ColumnValues], target: ColumnValues) -> Iterator[ExactRelation]:
    """Yield sums, differences, products and ratios of two columns that equal the target."""
    rows = probe(np.flatnonzero(target.present), _PAIR_PROBED)
    if len(columns) < 2 or len(rows) < _ENOUGH:  # noqa: PLR2004 - a pair
        return
    x, y = np.stack([column.numbers[rows] for column in columns]), target.numbers[rows]
    with np.errstate(all="ignore"):
        logs, log_y = np.log(np.abs(x)), np.log(np.abs(y))
        logs[~np.isfinite(logs)] = np.nan
        probed = _Probe(columns, target, x, y, logs, log_y)
        for i, column in enumerate(columns):
            yield from _added(probed, i)
            if column.kind == "time":
                yield from _between_times(probed, i)
            elif column.kind == "number":
                yield from _multiplied(probed, i)


def _added(probed: _Probe, i: int) -> Iterator[ExactRelation]:
    """Yield the columns whose sum with a column, or difference from it, is the target."""
    x, y, columns = probed.x, probed.y, probed.columns
    tolerance = _tolerance(probed.target.numbers)
    for j in i + 1 + _matching(x[i] + x[i + 1 :], y, tolerance):
        yield from _checked("target_sum", columns[i], columns[int(j)], probed.target)
    for j in _matching(x[i] - x, y, tolerance):
        if j != i:
            yield from _checked("target_difference", columns[i], columns[int(j)], probed.target)


def _multiplied(probed: _Probe, i: int) -> Iterator[ExactRelation]:
    """Yield the columns whose product or ratio with a column is the target, up to a factor."""
    left = probed.log_y - probed.logs[i]
    for code, rest, first in (
        ("target_product", left - probed.logs[i + 1 :], i + 1),
        ("target_ratio", left + probed.logs, 0),
    ):
        enough = np.sum(np.isfinite(rest), axis=1) >= _ENOUGH
        for place in np.flatnonzero(enough & (_spread(rest) < _NEARLY)):
            other = probed.columns[first + int(place)]
            if other.kind == "number" and first + place != i:
                scale = float(np.exp(np.nanmedian(rest[place])))
                yield from _checked(
                    "target_product" if code == "target_product" else "target_ratio",
                    probed.columns[i],
                    other,
                    probed.target,
                    scale,
                )


def _between_times(probed: _Probe, i: int) -> Iterator[ExactRelation]:
    """Yield the times whose distance from a time is the target, in any unit."""
    for j, other in enumerate(probed.columns):
        if other.kind != "time" or j == i:
            continue
        scales = probed.y / (probed.x[i] - probed.x[j])
        scales = scales[np.isfinite(scales) & (scales > 0)]
        if len(scales) >= _ENOUGH:
            scale = float(np.median(scales))
            nearest = min(_UNITS, key=lambda unit: abs(np.log(unit / scale)))
            if abs(np.log(nearest / scale)) < _NEARLY:
                yield from _checked(
                    "target_difference", probed.columns[i], other, probed.target, nearest
                )


def _tolerance(values: Floats) -> float:
    spread = float(np.nanstd(values))
    return max(0.51 * resolution(values) if resolution(values) < spread / 5 else 0.0, 1e-6 * spread)


def _matching(candidates: Floats, y: Floats, tolerance: float) -> Places:
    close = np.abs(candidates - y) <= tolerance
    known = np.isfinite(candidates)
    counts = known.sum(axis=1)
    return np.flatnonzero((counts >= _ENOUGH) & ((close & known).sum(axis=1) >= 0.97 * counts))


def _spread(rows: Floats) -> Floats:
    """Return the standard deviation of each row, without what is missing."""
    known = np.isfinite(rows)
    counts = np.maximum(known.sum(axis=1), 1)
    means = np.where(known, rows, 0).sum(axis=1) / counts
    squares = np.where(known, rows - means[:, None], 0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=1) / counts))


def _checked(
    code: RelationCode,
    first: ColumnValues,
    second: ColumnValues,
    target: ColumnValues,
    scale: float = 1.0,
) -> Iterator[ExactRelation]:
    """Yield the relation of two columns if it holds on all rows."""
    a, b, y = first.numbers, second.numbers, target.numbers
    known = first.present & second.present & target.present
    a, b, y = a[known], b[known], y[known]
    with np.errstate(all="ignore"):
        computed = (
            scale
            * {
                "target_sum": lambda: a + b,
                "target_difference": lambda: a - b,
                "target_product": lambda: a * b,
                "target_ratio": lambda: a / b,
            }[code]()
        )
    able = np.isfinite(computed)
    # If one of the two is nothing, the other is the whole target, which says little.
    telling = able & (a != 0) & (b != 0)
    if telling.sum() < _ENOUGH or a[telling].std() == 0 or b[telling].std() == 0:
        return
    fits = np.abs(computed - y) <= _tolerance(y) + 1e-9 * np.abs(y)
    share = float(fits[able].mean())
    if min(share, float(fits[telling].mean())) < _HOLDS:
        return
    sign = {
        "target_sum": "+",
        "target_difference": "-",
        "target_product": "*",
        "target_ratio": "/",
    }[code]
    factor = "" if abs(scale - 1) < 1e-6 else f" * {scale:.6g}"  # noqa: PLR2004 - as good as 1
    formula = f"{target.name} = {first.name} {sign} {second.name}"
    if factor:
        formula = f"{target.name} = ({first.name} {sign} {second.name}){factor}"
    yield ExactRelation(code, (first.name, second.name), formula, share)


def _equations(columns: Sequence[ColumnValues], target: ColumnValues) -> Iterator[ExactRelation]:
    """Yield the weighted sum, or the product of powers, of three and more columns."""
    whole = [
        column
        for column in columns
        if column.present[target.present].mean() > 0.9  # noqa: PLR2004 - nine tenths
    ]
    if not whole:
        return
    rows = target.present & np.logical_and.reduce([column.present for column in whole])
    sample = probe(np.flatnonzero(rows), max(2_000, 5 * len(whole)))
    if len(sample) < max(3 * len(whole), _ENOUGH):
        return
    x, y = np.stack([column.numbers[sample] for column in whole], axis=1), target.numbers[sample]
    tolerance = _tolerance(target.numbers)
    found = _sparse(x, y, lambda computed: np.abs(computed - y) <= tolerance)
    if found:
        terms = [(whole[place], weight) for place, weight in found]
        yield _equation("target_sum", terms, target)
        return
    positive = [
        place
        for place, column in enumerate(whole)
        if column.kind == "number" and (x[:, place] > 0).all()
    ]
    if len(positive) >= 2 and (y > 0).all():  # noqa: PLR2004 - a product
        found = _sparse(
            np.log(x[:, positive]),
            np.log(y),
            lambda computed: np.abs(np.exp(computed) - y) <= tolerance + 1e-6 * y,
        )
        if found:
            terms = [(whole[positive[place]], power) for place, power in found]
            yield _equation("target_product", terms, target)


def _sparse(x: Floats, y: Floats, fits: Callable[[Floats], Mask]) -> list[tuple[int, float]]:
    """Return the few columns and weights whose sum is the target; nothing if there are none."""
    spread = x.std(axis=0)
    varying = np.flatnonzero(spread > 0)
    if not len(varying):
        return []
    standard = (x[:, varying] - x[:, varying].mean(axis=0)) / spread[varying]
    _, triangle, order = scipy.linalg.qr(standard, mode="economic", pivoting=True)
    independent = np.abs(np.diag(triangle)) > 1e-8 * abs(triangle[0, 0])
    chosen = np.sort(order[: int(independent.sum())])
    weights, *_ = np.linalg.lstsq(standard[:, chosen], y - y.mean(), rcond=None)
    if np.mean(fits(standard[:, chosen] @ weights + y.mean())) < _HOLDS:
        return []
    telling = np.abs(weights) > 1e-3 * np.abs(weights).max()
    if not 2 <= telling.sum() <= _MOST_TERMS:  # noqa: PLR2004 - one column is a copy
        return []
    places = varying[chosen[telling]]
    again, *_ = np.linalg.lstsq(np.column_stack([x[:, places], np.ones(len(y))]), y, rcond=None)
    if np.mean(fits(x[:, places] @ again[:-1] + again[-1])) < _HOLDS:
        return []
    return [(int(place), float(weight)) for place, weight in zip(places, again, strict=False)]


def _equation(
    code: RelationCode, terms: Sequence[tuple[ColumnValues, float]], target: ColumnValues
) -> ExactRelation:
    if code == "target_sum":
        parts = [
            column.name if abs(weight - 1) < 1e-4 else f"{weight:.4g} * {column.name}"  # noqa: PLR2004 - as good as 1
            for column, weight in terms
        ]
        formula = " + ".join(parts)
    else:
        formula = " * ".join(
            column.name if abs(power - 1) < 1e-4 else f"{column.name}^{power:.4g}"  # noqa: PLR2004 - as good as 1
            for column, power in terms
        )
    names = tuple(column.name for column, _ in terms)
    return ExactRelation(code, names, f"{target.name} = {formula}", 1.0)


def _conjunctions(columns: Sequence[ColumnValues], target: ColumnValues) -> Iterator[ExactRelation]:
    """Yield the yes/no columns of which any, or all, make the target."""
    if target.distinct != 2:  # noqa: PLR2004 - yes and no
        return
    flags = [column for column in columns if column.kind == "yes_no"]
    high = np.nanmax(target.numbers)
    for word, answer in (("or", True), ("and", False)):
        positive = target.present & ((target.numbers == high) == answer)
        chosen = _cover(flags, target, positive, answer=answer)
        if len(chosen) >= 2:  # noqa: PLR2004 - one column is a copy
            names = tuple(column.name for column in chosen)
            yield ExactRelation(
                "target_or", names, f"{target.name} = {f' {word} '.join(names)}", 1.0
            )


def _cover(
    flags: Sequence[ColumnValues], target: ColumnValues, positive: Mask, *, answer: bool
) -> list[ColumnValues]:
    """Return the fewest columns of which each implies the answer, and that explain all of it."""
    implying = {}
    for column in flags:
        said = column.numbers == (1.0 if answer else 0.0)
        counted = said & target.present
        wrong = (counted & ~positive).sum()
        # Any column implies the frequent class nearly always, if the other one is rare.
        few = (1 - _HOLDS) * min(counted.sum(), 2 * (target.present & ~positive).sum())
        if counted.sum() >= _ENOUGH / 4 and wrong <= few:
            implying[column.name] = (column, counted & positive)
    left, chosen = positive.copy(), []
    while implying:
        name = max(implying, key=lambda each: int((implying[each][1] & left).sum()))
        column, covered = implying.pop(name)
        if not (covered & left).any():
            break
        chosen.append(column)
        left &= ~covered
    if positive.sum() < _ENOUGH or left.sum() > (1 - _HOLDS) * positive.sum():
        return []
    return chosen

"""Bounds of ratios, relations, and ratios that nothing moves: they hold in any sound partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from model_loop.findings import Finding, FindingLevel
from model_loop.history.coding import complete
from model_loop.history.comparison import Comparison, Past
from model_loop.history.limits import HistoryLimits
from model_loop.history.sketch import Sketch
from model_loop.history.table import Array, ComparedTable, Derived, Values

_LEAST_KNOWN = 100
#: Standard errors within which a difference counts as chance.
_CERTAIN = 4.0


def usual_numbers(table: ComparedTable, sketch: Sketch) -> Iterator[Finding]:
    """Find derived numbers whose median is not where that of any sound partition is."""
    table = table.bounded()
    for one in _unusual(table, sketch.sample):
        name, words = _likely_unit(table, one, sketch.sample)
        yield Finding(
            "another_unit" if words else "implausible_relation",
            name or ", ".join(table.sources_of(one.name)),
            sketch.partition,
            "refused",
            f"{one.title} is not what it can be"
            + (f": {name} seems to be in another unit ({words})." if words else "."),
            "Check the units of its columns, and fetch the file again.",
        )


def usual_relations(table: ComparedTable, sketch: Sketch) -> Iterator[Finding]:
    """Find numbers that do not go together as they do in any sound partition.

    The one that the weak relations have in common is named.
    """
    values = complete(table.bounded(), sketch.sample)
    found: dict[str, list[tuple[float, FindingLevel, str]]] = defaultdict(list)
    weak = False
    for it in table.related:
        strength, error = _rank_correlation(values[it.one], values[it.other])
        if np.isnan(strength):
            continue
        surely = strength + _CERTAIN * error
        weak = weak or surely < it.least
        level: FindingLevel = "refused" if surely < it.refused else "warning"
        for name, other in ((it.one, it.other), (it.other, it.one)):
            found[name].append((strength, level, other))
    if not weak:
        return
    name = min(found, key=lambda one: (np.mean([it[0] for it in found[one]]), -len(found[one])))
    strength, level, other = min(found[name])
    yield Finding(
        "implausible_relation",
        ", ".join(table.sources_of(name)),
        sketch.partition,
        level,
        f"The values of {table.title_of(name)} hardly go with those of {table.title_of(other)} "
        f"(rank correlation {strength:.2f}): they may have been shuffled among the rows, or "
        "columns swapped.",
        "Check that the values of each row belong together, and fetch the file again.",
    )


def _rank_correlation(one: Array, other: Array) -> tuple[float, float]:
    """Return Spearman's rank correlation of the rows that have both, and its standard error."""
    from scipy.stats import rankdata  # noqa: PLC0415 - takes a second

    both = np.isfinite(one) & np.isfinite(other)
    rows = int(np.count_nonzero(both))
    if rows < _LEAST_KNOWN:
        return float("nan"), 0.0
    left, right = (rankdata(side[both]) for side in (one, other))
    left, right = left - left.mean(), right - right.mean()
    # Not np.dot, whose threads wait for each other on a busy machine.
    size = float(np.sqrt((left * left).sum() * (right * right).sum()))
    strength = float((left * right).sum()) / size if size > 0 else 0.0
    return strength, (1 - strength**2) / np.sqrt(rows)


def moved_ratios(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find a ratio whose median has moved although demand does not move it."""
    past = comparison.past
    for one in past.table.derived:
        if not one.fixed:
            continue
        now, error = _median(comparison.coded.values[one.name])
        # The nearest partition: somebody may have accepted one with another unit.
        before, other = min(_medians(past, one.name), key=lambda known: abs(known[0] - now))
        moved = float(np.expm1(abs(now - before)))
        chance = _CERTAIN * float(np.hypot(error, other)) * past.calendar.widening
        level: FindingLevel = "refused" if moved >= limits.moved_refused + chance else "warning"
        if not moved > limits.moved + chance or not comparison.is_news(one.name, level):
            continue
        yield Finding(
            "moved_ratio",
            ", ".join(past.table.sources_of(one.name)),
            comparison.sketch.partition,
            level,
            f"The median of {one.title} is {moved:.0%} {'higher' if now > before else 'lower'} "
            "than before: one of its columns may have been multiplied, or is in another unit.",
            "Check the units of its columns, and fetch the file again.",
        )


def _medians(past: Past, name: str) -> list[tuple[float, float]]:
    values = past.coded.values[name]
    parts = (values[past.partition_of == place] for place in range(len(past.sketches)))
    return [known for part in parts if not np.isnan((known := _median(part))[0])] or [(np.nan, 0.0)]


def _median(values: Array) -> tuple[float, float]:
    """Return the median of what is known, and its standard error."""
    known = values[np.isfinite(values)]
    if len(known) < _LEAST_KNOWN:
        return float("nan"), 0.0
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    # The standard error of the median of a normal distribution with these quartiles.
    return float(middle), float(high - low) / 1.35 * 1.25 / np.sqrt(len(known))


def _likely_unit(table: ComparedTable, one: Derived, sample: Values) -> tuple[str | None, str]:
    """Return the column, and the unit, by which everything would be usual again."""
    for name in table.sources_of(one.name):
        for words, factor in (table.column(name).units or {}).items():
            if not _unusual(table, {**sample, name: sample[name] / factor}):
                return name, words
    return None, ""


def _unusual(table: ComparedTable, sample: Values) -> list[Derived]:
    """Return the derived numbers whose median is out of its bounds."""
    values = complete(table, sample)
    unusual = []
    for derived in table.derived:
        known = values[derived.name][np.isfinite(values[derived.name])]
        if derived.usual and len(known) >= _LEAST_KNOWN:
            low, high = derived.usual
            if not low <= float(np.median(known)) <= high:
                unusual.append(derived)
    return unusual

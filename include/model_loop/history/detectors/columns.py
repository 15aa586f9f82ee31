"""Single columns: where their rows lie, against where those of history lay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model_loop.findings import Finding, FindingLevel
from model_loop.history.coding import HOUR, MISSING
from model_loop.history.comparison import Comparison
from model_loop.history.limits import HistoryLimits
from model_loop.history.table import Array

#: A bin with fewer of history's rows is hardly ever hit.
_RARE = 0.008
#: A bin that has lost more than this share of itself is empty.
_LOST = 0.1
#: Rows that have to be expected in a bin before its emptiness means something.
_LEAST_EXPECTED = 12.0
_MOST_NAMED = 3

_LOOK = "Compare the column with the publisher's description and with earlier files."


def shifts(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find columns whose rows lie elsewhere than in history: the net for what has no name."""
    for name, shift in comparison.shift.items():
        allowed = allowed_shift(comparison, name, limits)
        if shift <= allowed:
            continue
        yield from _news(
            comparison,
            name,
            "distribution",
            f"{_title(comparison, name)} is distributed otherwise than before: {shift:.0%} of the "
            f"rows would have to change ({allowed:.0%} are usual).",
            refused=shift >= limits.replaced and _is_raw(comparison, name),
        )


def allowed_shift(comparison: Comparison, name: str, limits: HistoryLimits) -> float:
    """Return how much of a column may lie elsewhere before a person looks."""
    table = comparison.past.table
    kinds = {column.name: column.kind for column in table.columns}
    floor = {"category": limits.category_shift, "time": limits.hour_shift}.get(
        "time" if name == HOUR else kinds.get(name, "number"), limits.number_shift
    )
    # Months a year back may differ more than the last month.
    apart = 1 + comparison.months_apart / 12
    widening = comparison.past.calendar.widening
    return floor * apart * widening + limits.spread * comparison.past.variation[name]


def rare_values(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find values that history hardly ever has: outliers, unseen categories, negative numbers."""
    for name, counted in comparison.counted.items():
        before = comparison.past.counted[name].shares
        rare = before < _RARE
        rare[MISSING] = False
        usual = before[rare].sum()
        now = counted.shares[rare]
        # Single bins as well as all of them: one in twenty of a category's values may be rare.
        excess = float(now.sum() - usual)
        worst = float((now - before[rare]).max(initial=0.0))
        variation = comparison.past.variation[name]
        found = max(worst, excess - usual - limits.spread * variation)
        chance = 4 * np.sqrt(max(usual, 1e-4) / max(counted.rows, 1))
        if found <= limits.rare * comparison.past.calendar.widening + chance:
            continue
        share = max(excess, worst)
        # Rows may move to values that were rare for good reasons, but not to unknown ones.
        unseen = _unseen(comparison, name)
        grave = share if unseen is None else float(counted.shares[unseen] - before[unseen])
        far = limits.rare_refused if _is_raw(comparison, name) else limits.beyond_refused
        yield from _news(
            comparison,
            name,
            "rare_values",
            f"{share:.1%} more of the rows than before have values of {_title(comparison, name)} "
            "that hardly ever occurred: outliers, another unit, or other codes.",
            refused=grave >= far,
        )


def vanished_values(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find values that no longer occur: a part was cut off, or codes are others."""
    for name, counted in comparison.counted.items():
        before = comparison.past.counted[name].shares
        certain = before * counted.rows >= _LEAST_EXPECTED
        gone = certain & (counted.shares < _LOST * before)
        gone[MISSING] = False
        share = float(before[gone].sum())
        allowed = limits.vanished * comparison.past.calendar.widening
        if share <= allowed + limits.spread * comparison.past.variation[name]:
            continue
        far = limits.vanished_refused if _is_raw(comparison, name) else limits.beyond_refused
        yield from _news(
            comparison,
            name,
            "vanished_values",
            f"Values of {_title(comparison, name)} that {share:.1%} of the rows had no longer "
            "occur: a part of the rows was cut off or capped, a constant was filled in, or codes "
            "are others.",
            refused=share >= far,
        )


def single_values(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find one value that many more rows share than before: a constant, a cap, a filler."""
    past = comparison.past
    for name in past.table.of_kind("number"):
        now, before = comparison.coded.values[name], past.coded.values[name]
        value, share = _most_gained(now, before)
        if share <= limits.atom + _by_chance(share, comparison):
            continue
        yield Finding(
            "single_value",
            name,
            comparison.sketch.partition,
            "refused" if share >= limits.atom_refused else "warning",
            f"{share:.1%} more of the rows than before have exactly {value:g} in {name}: a filler "
            "for missing values, a cap, or a constant.",
            _LOOK,
        )


def grains(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find numbers that have become whole, and times that have lost their seconds."""
    past = comparison.past
    for name, what, step in _steps(comparison):
        shares = [
            _share_of_multiples(one.values[name], step) for one in (comparison.coded, past.coded)
        ]
        if shares[0] - shares[1] <= limits.grain + _by_chance(shares[1], comparison):
            continue
        yield Finding(
            "precision",
            name,
            comparison.sketch.partition,
            "refused" if shares[0] - shares[1] >= limits.grain_refused else "warning",
            f"{shares[0]:.0%} of the values of {name} are {what} ({shares[1]:.0%} before): they "
            "were rounded or cut off.",
            "Fetch the column as it was recorded, before it was rounded.",
        )


def missing_values(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find columns that lack more values than before."""
    sketch, history = comparison.sketch, comparison.past.sketches
    for name, now in sketch.missing.items():
        earlier = [one.missing[name] for one in history if name in one.missing]
        if not earlier or now - max(earlier) <= limits.missing:
            continue
        yield Finding(
            "missing_values",
            name,
            sketch.partition,
            "warning",
            f"{now:.1%} of the values of {name} are missing ({max(earlier):.1%} before).",
            "Ask the publisher whether the column is still recorded.",
        )


def broken_rules(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find rules of the contract that more rows break than before."""
    sketch, history = comparison.sketch, comparison.past.sketches
    for rule, now in sketch.broken.items():
        earlier = max((one.broken.get(rule, 0.0) for one in history), default=0.0)
        if now <= 2 * earlier + limits.broken:
            continue
        yield Finding(
            "broken_rule",
            None,
            sketch.partition,
            "warning",
            f"{now:.1%} of the rows break the rule {rule} ({earlier:.1%} before).",
            "Look at the rows in quarantine.",
        )


def _news(
    comparison: Comparison, name: str, code: str, message: str, *, refused: bool
) -> Iterator[Finding]:
    """Yield a finding about a counted column, unless a cause that is known explains it."""
    level: FindingLevel = "refused" if refused else "warning"
    if comparison.is_news(name, level):
        column = comparison.past.sources_of(name)[0]
        yield Finding(code, column, comparison.sketch.partition, level, message, _LOOK)


def _by_chance(share: float, comparison: Comparison) -> float:
    """Return by how much a share of the rows may differ by chance."""
    rows = max(min(comparison.sketch.sampled, len(comparison.past.partition_of)), 1)
    likely = min(max(share, 0.01), 0.5)
    return float(4 * np.sqrt(likely * (1 - likely) / rows))


def _is_raw(comparison: Comparison, name: str) -> bool:
    return name in (column.name for column in comparison.past.table.columns)


def _unseen(comparison: Comparison, name: str) -> int | None:
    """Return the code of a category's values that history does not have."""
    coder = comparison.past.coding.categories.get(name)
    return coder.unseen if coder else None


def _title(comparison: Comparison, name: str) -> str:
    table = comparison.past.table
    for one in table.derived:
        if one.name == name:
            return f"the number {one.title!r}"
    return f"the column {name}" if _is_raw(comparison, name) else name


def _most_gained(now: Array, before: Array) -> tuple[float, float]:
    """Return the value whose share has grown most, and by how much."""
    known = now[np.isfinite(now)]
    if not len(known):
        return float("nan"), 0.0
    values, counts = np.unique(known, return_counts=True)
    often = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
    gained = [counts[place] / len(now) - np.mean(before == values[place]) for place in often]
    best = int(np.argmax(gained))
    return float(values[often[best]]), float(gained[best])


def _steps(comparison: Comparison) -> Iterator[tuple[str, str, float]]:
    table = comparison.past.table
    for name in table.of_kind("number"):
        yield name, "whole numbers", 1.0
        yield name, "multiples of a tenth", 0.1
    for name in table.of_kind("time"):
        yield name, "whole minutes", 60e6
        yield name, "whole hours", 3_600e6


def _share_of_multiples(values: Array, step: float) -> float:
    if values.dtype == np.int64:
        return float(np.mean(values % int(step) == 0)) if len(values) else 0.0
    known = values[np.isfinite(values) & (values != 0)] / step
    return (
        float(np.mean(np.abs(known - np.rint(known)) < 1e-6 * np.maximum(np.abs(known), 1)))
        if len(known)
        else 0.0
    )

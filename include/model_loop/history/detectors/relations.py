"""Relations between columns: what went together in history still does."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from model_loop.findings import Finding, FindingLevel
from model_loop.history.comparison import Coded, Comparison, Past
from model_loop.history.limits import HistoryLimits
from model_loop.history.table import Array

#: Weaker relations change from one partition to the next.
_STRONG = 0.4
_LEAST_ROWS = 300
#: Standard errors within which a difference counts as chance.
_CERTAIN = 4.0


def weaker_relations(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find relations that have become weaker; the column that they have in common is named."""
    past = comparison.past
    losses: dict[str, list[tuple[float, str]]] = defaultdict(list)
    before, now = correlations(past, past.coded), correlations(past, comparison.coded)
    for pair, (strength, earlier) in before.items():
        if abs(strength) < _STRONG or pair not in now:
            continue
        found, rows = now[pair]
        # The standard error of a correlation, several times and relative to it.
        error = np.sqrt((1 - strength**2) * (1 / rows + 1 / earlier)) / abs(strength)
        loss = float(1 - found / strength - _CERTAIN * error)
        for one, other in itertools.permutations(pair):
            losses[one].append((loss, other))
    if not losses:
        return
    worst = {name: float(np.mean([loss for loss, _ in found])) for name, found in losses.items()}
    name = max(worst, key=lambda one: (worst[one], len(losses[one])))
    loss, other = max(losses[name])
    if loss <= limits.weaker:
        return
    sources = past.sources_of(name)
    level: FindingLevel = "refused" if loss >= limits.weaker_refused else "warning"
    if not comparison.is_news(name, level):
        return
    yield Finding(
        "weaker_relation",
        sources[0] if len(sources) == 1 else ", ".join(sources),
        comparison.sketch.partition,
        level,
        f"{_words(past, name)} hangs together with {_words(past, other)} by {loss:.0%} less than "
        "before: values may have been shuffled among the rows, columns swapped, or noise added.",
        "Check that the values of each row belong together, and fetch the file again.",
    )


def correlations(past: Past, coded: Coded) -> dict[tuple[str, str], tuple[float, int]]:
    """Compute rank correlations of each two numbers, and of each with its prediction.

    The number of rows that have both stands beside each.
    """
    table = past.table
    numbers = [*table.of_kind("number"), *(one.name for one in table.derived if one.input)]
    found = {
        (one, other): _correlation_of_codes(past, coded, one, other)
        for one, other in itertools.combinations(numbers, 2)
    }
    for name, model in past.models.items():
        expected = model.predict(coded.codes)
        scores = past.scores(name)[coded.codes[name]]
        found[name, PREDICTION.format(name=name)] = _correlation(expected, scores)
    return {pair: value for pair, value in found.items() if not np.isnan(value[0])}


def _correlation_of_codes(past: Past, coded: Coded, one: str, other: str) -> tuple[float, int]:
    """Compute a rank correlation from the rows that each pair of codes has."""
    left, right = past.scores(one), past.scores(other)
    pairs = coded.codes[one] * len(right) + coded.codes[other]
    counts = np.bincount(pairs, minlength=len(left) * len(right)).reshape(len(left), len(right))
    known = np.isfinite(left)[:, None] & np.isfinite(right)
    counts = np.where(known, counts, 0)
    rows = int(counts.sum())
    if rows < _LEAST_ROWS:
        return float("nan"), rows
    sides = []
    for scores, marginal in ((left, counts.sum(axis=1)), (right, counts.sum(axis=0))):
        plain = np.nan_to_num(scores)
        sides.append(plain - float((plain * marginal).sum()) / rows)
    squares = [
        float((side**2 * counts.sum(axis=1 - axis)).sum()) for axis, side in enumerate(sides)
    ]
    size = np.sqrt(squares[0] * squares[1])
    # Not a matrix product, whose threads wait for each other on a busy machine.
    product = float((counts * np.outer(*sides)).sum())
    return product / size if size > 0 else float("nan"), rows


PREDICTION = "what the other columns say of {name}"


def _words(past: Past, name: str) -> str:
    known = {column.name for column in past.table.columns}
    return f"The column {name}" if name in known else past.table.title_of(name)


def _correlation(one: Array, other: Array) -> tuple[float, int]:
    both = np.isfinite(one) & np.isfinite(other)
    rows = int(np.count_nonzero(both))
    if rows < _LEAST_ROWS:
        return float("nan"), rows
    left, right = one[both] - one[both].mean(), other[both] - other[both].mean()
    # Not np.dot, whose threads wait for each other on a busy machine.
    size = np.sqrt((left * left).sum() * (right * right).sum())
    return float((left * right).sum() / size) if size > 0 else float("nan"), rows

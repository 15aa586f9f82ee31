"""Effects of single columns: what each says of a number when the other columns are known.

A reference model is a sum of one effect for each column. Regress what it leaves in the new
partition on one of these effects: a slope of 0 says that the effect is as before, one of -1 that
the column no longer says anything of the number. Other demand moves neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model_loop.findings import Finding, FindingLevel
from model_loop.history.coding import Codes
from model_loop.history.comparison import REST, Comparison
from model_loop.history.limits import HistoryLimits
from model_loop.history.table import Array

#: A weaker effect, as a share of what the model leaves, changes from one partition to the next.
_LEAST_EFFECT = 0.15
#: An effect of which more than this share is noise of history does not tell.
_MOST_NOISE = 0.1
#: Standard errors within which an effect counts as chance.
_CERTAIN = 4.0
#: Values of history beyond this share at each end do not pull.
_CLIPPED = 0.01


@dataclass(frozen=True)
class Loss:
    """An effect that has become weaker.

    Parameters
    ----------
    number
        Predicted number.
    column
        Column that it is predicted from.
    share
        Share of the effect, certain beyond chance.
    """

    number: str
    column: str
    share: float


def lost_effects(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find the column that says least of what it said of a number; one for each number."""
    past = comparison.past
    widening = past.calendar.widening * (1 + comparison.months_apart / 12)
    for number in past.models:
        worst = max(_losses(comparison, number), key=lambda loss: loss.share, default=None)
        if worst is None or worst.share <= limits.effect * widening:
            continue
        level: FindingLevel = "refused" if worst.share >= limits.effect_refused else "warning"
        if not comparison.is_news(REST.format(name=number), level):
            continue
        sources = dict.fromkeys((number, *past.sources_of(worst.column)))
        title = past.table.title_of(worst.column)
        yield Finding(
            "weaker_relation",
            ", ".join(sources),
            comparison.sketch.partition,
            level,
            f"At least {min(worst.share, 1):.0%} of what {title} said of {number} is gone: one of "
            "them may be that of other rows, rounded, or moved by a constant.",
            "Check that the values of each row belong together, and fetch the file again.",
        )


def _losses(comparison: Comparison, number: str) -> Iterator[Loss]:
    past, model = comparison.past, comparison.past.models[number]
    before, now = (
        coded.values[REST.format(name=number)] for coded in (past.coded, comparison.coded)
    )
    known, known_before = np.flatnonzero(np.isfinite(now)), np.flatnonzero(np.isfinite(before))
    if not len(known) or not len(known_before):
        return
    bounds = np.quantile(before[known_before], (_CLIPPED, 1 - _CLIPPED))
    now, before = np.clip(now[known], *bounds), np.clip(before[known_before], *bounds)
    spread = float(before.std())
    for column, effect in zip(model.inputs, model.effects, strict=True):
        # Codes of a category, and what is missing, may mean something else in another year.
        if column in past.table.of_kind("category"):
            continue
        codes = comparison.coded.codes[column][known]
        counts = np.bincount(past.coded.codes[column][known_before], minlength=len(effect))
        size = _size(effect, counts)
        noise = spread * np.sqrt(np.count_nonzero(counts) / len(before))
        if size <= _LEAST_EFFECT * spread or noise**2 > _MOST_NOISE * size**2:
            continue
        slope, error = _slope(effect, codes, now)
        usual, _ = _slope(effect, past.coded.codes[column][known_before], before)
        yield Loss(number, column, usual - slope - _CERTAIN * error)


def _size(effect: Array, counts: Array) -> float:
    """Return the standard deviation of an effect among the rows of history."""
    mean = (effect * counts).sum() / counts.sum()
    return float(np.sqrt(((effect - mean) ** 2 * counts).sum() / counts.sum()))


def _slope(effect: Array, codes: Codes, rest: Array) -> tuple[float, float]:
    """Regress what is left on an effect; return the slope and its standard error."""
    counts = np.bincount(codes, minlength=len(effect))
    sums = np.bincount(codes, rest, minlength=len(effect))
    centred = effect - (effect * counts).sum() / len(codes)
    squares = float((centred**2 * counts).sum())
    if squares <= 0:
        return 0.0, float("inf")
    error = float(rest.std()) / np.sqrt(squares)
    return float((centred * (sums - counts * rest.mean())).sum() / squares), error

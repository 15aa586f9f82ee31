"""Likely causes of a change, found by a matched filter.

If a cause has altered a share *p* of the rows, then the shares of all bins are those of history
plus *p* times a direction that is known: what the cause makes of history. The projection onto that
direction estimates *p*, and how much of the change it explains tells whether it is the cause. A
change for good reasons, such as other demand, lies in no such direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model_loop.findings import Finding, FindingLevel
from model_loop.history.causes import Cause, causes_of
from model_loop.history.coding import Shares
from model_loop.history.comparison import Comparison, Past
from model_loop.history.counting import Counted
from model_loop.history.limits import HistoryLimits

#: A cause that moves fewer rows of a column does not show in it.
_MOVES = 0.06
#: The columns that show a cause have to agree on the share within this factor.
_AGREEMENT = 0.45
#: A cause explains at least so much of the change, beyond chance, of the columns that show it.
_EXPLAINS = 0.55
#: Factor on the share that a sound week, or partition, of history seems to have. A partition
#: of four weeks varies half as much as a week.
_SOUND_WEEKS, _SOUND_PARTITIONS = 1.25, 1.5
#: Standard errors by which a share has to exceed its limit.
_CERTAIN = 4.0
#: Multiple of that from which the partition is refused.
_REFUSED = 2.0
#: A cause that has altered so many rows refuses whatever is usual in a short partition.
_MOST_REFUSED = 0.6
#: A share below this comes about by chance.
_LEAST_SHIFT = 0.012


@dataclass(frozen=True)
class ExplainedChange:
    """A cause, and the part of a change that it explains.

    Parameters
    ----------
    cause
        It.
    share
        Share of the rows that it has altered.
    explains
        Share of the change that it explains, beyond chance.
    usual
        The largest share that it may seem to have in a sound partition.
    error
        Standard error of the share, as if the columns that show it were one.
    """

    cause: Cause
    share: float
    explains: float
    usual: float
    error: float


def named_causes(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find the likely cause of a change, at most one for each set of columns."""
    calendar = comparison.past.calendar
    # History that is not alike does not tell what is usual.
    widening = 1.0 if calendar.alike else calendar.widening
    changes = sorted(_explanations(comparison), key=lambda explanation: -explanation.explains)
    explained: set[str] = set()
    for change in changes:
        least = change.share - _CERTAIN * change.error
        if change.share < max(limits.explained * widening, change.usual) or least <= 0:
            continue
        if explained.intersection(change.cause.columns):
            continue
        explained.update(change.cause.columns)
        far = max(min(limits.explained_refused * widening, _MOST_REFUSED), _REFUSED * change.usual)
        level: FindingLevel = "refused" if min(change.share - far, least) >= 0 else "warning"
        comparison.explain(change.cause.columns, level)
        yield Finding(
            change.cause.code,
            ", ".join(change.cause.columns),
            comparison.sketch.partition,
            level,
            f"{min(change.share, 1.0):.0%} of the rows {change.cause.message}.",
            change.cause.remedy,
        )


def _explanations(comparison: Comparison) -> Iterator[ExplainedChange]:
    past = comparison.past
    causes = list(_possible(comparison))
    if not causes:
        return
    plain, tries = past.tried
    for cause in causes:
        # Equal for every partition that is compared with this history.
        if cause.message not in tries:
            tries[cause.message] = past.after(cause.apply, frozenset(cause.columns))
        found = _explain(comparison, cause, plain, tries[cause.message])
        if found is not None:
            yield found


def _possible(comparison: Comparison) -> Iterator[Cause]:
    """Yield the causes that alter a column in which something has changed."""
    past = comparison.past
    changed = {
        column
        for name, shift in comparison.shift.items()
        if shift > _LEAST_SHIFT + past.variation[name]
        for column in past.sources_of(name)
    }
    for cause in causes_of(past.table):
        # Another day of the week has other hours.
        if past.table.time in cause.columns and not past.calendar.alike:
            continue
        if not changed.isdisjoint(cause.columns):
            yield cause


def _explain(
    comparison: Comparison, cause: Cause, plain: dict[str, Counted], after: dict[str, Counted]
) -> ExplainedChange | None:
    past = comparison.past
    directions = {
        name: after[name].shares - plain[name].shares
        for name in plain
        if np.abs(after[name].shares - plain[name].shares).sum() / 2 > _MOVES
    }
    if not directions:
        return None
    weights = {
        name: 1 / (past.counted[name].shares + after[name].shares + _least_share(comparison, name))
        for name in directions
    }
    changes = {
        name: comparison.counted[name].shares - past.counted[name].shares for name in directions
    }
    share = _projection(changes, directions, weights)
    shares = [
        _projection({name: changes[name]}, {name: directions[name]}, weights) for name in directions
    ]
    if share <= 0 or min(shares) < _AGREEMENT * share:
        return None
    left = total = 0.0
    for name, change in changes.items():
        weight, counted = weights[name], comparison.counted[name]
        before = past.counted[name]
        chance = float(
            (weight * before.shares * (1 - before.shares)).sum()
            * (1 / max(counted.rows, 1) + 1 / max(before.rows, 1))
        )
        total += max(float((weight * change**2).sum()) - chance, 0.0)
        rest = change - share * directions[name]
        left += max(float((weight * rest**2).sum()) - chance, 0.0)
    explains = 1 - left / total if total > 0 else 0.0
    if explains < _EXPLAINS:
        return None
    usual = _usual(past, directions, weights)
    return ExplainedChange(cause, share, explains, usual, _error(comparison, directions, weights))


def _least_share(comparison: Comparison, name: str) -> float:
    """Return a share that is as good as none: a bin with two rows says little."""
    now, before = comparison.counted[name].rows, comparison.past.counted[name].rows
    return 2e-4 + 2 / max(now, 1) + 2 / max(before, 1)


def _error(
    comparison: Comparison, directions: dict[str, Shares], weights: dict[str, Shares]
) -> float:
    """Return the standard error of a projection; the same rows are behind all columns."""
    deviations = down = 0.0
    for name, direction in directions.items():
        now, before = comparison.counted[name], comparison.past.counted[name]
        # A bin that neither has any row in may still get some.
        shares = (now.shares * now.rows + before.shares * before.rows + 0.5) / (
            now.rows + before.rows
        )
        pull = weights[name] * direction
        variance = float((shares * pull**2).sum()) * (
            1 / max(now.rows, 1) + 1 / max(before.rows, 1)
        )
        deviations += np.sqrt(variance)
        down += float((pull * direction).sum())
    return deviations / down if down > 0 else float("inf")


def _usual(past: Past, directions: dict[str, Shares], weights: dict[str, Shares]) -> float:
    """Return the largest share that a cause may seem to have in a sound partition."""
    shares = [0.0]
    for groups, factor in ((past.weeks, _SOUND_WEEKS), (past.partitions, _SOUND_PARTITIONS)):
        number = min(len(groups[name]) for name in directions)
        for place in range(number):
            changes = {
                name: groups[name][place].shares - past.counted[name].shares for name in directions
            }
            shares.append(factor * _projection(changes, directions, weights))
    return max(shares)


def _projection(
    changes: dict[str, Shares], directions: dict[str, Shares], weights: dict[str, Shares]
) -> float:
    up = sum(float((weights[name] * changes[name] * directions[name]).sum()) for name in changes)
    down = sum(float((weights[name] * directions[name] ** 2).sum()) for name in changes)
    return up / down if down > 0 else 0.0

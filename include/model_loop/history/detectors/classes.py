"""Shares of the classes of a target, against those of the partitions before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model_loop.findings import Finding
from model_loop.history.comparison import Comparison
from model_loop.history.limits import HistoryLimits
from model_loop.history.table import Array

#: Partitions that tell how much a share varies, and standard errors that count as chance.
_LEAST_PARTITIONS, _CERTAIN = 3, 4.0


def class_shares(comparison: Comparison, limits: HistoryLimits) -> Iterator[Finding]:
    """Find a class that another share of the rows has than before: rare ones hide in the whole."""
    past, classes = comparison.past, comparison.past.table.classes
    if classes is None or len(past.sketches) < _LEAST_PARTITIONS:
        return
    now = comparison.sketch.sample[classes.name]
    apart = past.calendar.widening * (1 + comparison.months_apart / 12)
    for label, number in classes.numbers.items():
        shares = np.array([_share(sketch.sample[classes.name], number) for sketch in past.sketches])
        share, usual = _share(now, number), float(shares.mean())
        error = np.sqrt(max(usual * (1 - usual), 1e-6) / max(len(now), 1))
        varied = limits.spread * float(shares.std(ddof=1))
        if abs(share - usual) <= _CERTAIN * error + varied + limits.class_share * apart * usual:
            continue
        yield Finding(
            "class_share",
            classes.column,
            comparison.sketch.partition,
            "warning",
            f"{share:.2%} of the rows are {label} ({classes.title}); before, {usual:.2%} were, "
            f"from {shares.min():.2%} to {shares.max():.2%} in single partitions.",
            f"See whether {label} is recorded as before, or labels are still to come. If the rows "
            "themselves have changed, train on them: probabilities follow the shares that were "
            "learned.",
        )


def _share(values: Array, number: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.mean(known == number)) if len(known) else 0.0

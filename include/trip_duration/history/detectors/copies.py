"""Rows that an earlier partition holds already, at another time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trip_duration.findings import Finding
from trip_duration.history.limits import Limits
from trip_duration.history.sketch import KEYS, Sketch
from trip_duration.history.table import Array

_LEAST_KEYS = 200


def copies(sketch: Sketch, history: Sequence[Sketch], limits: Limits) -> Iterator[Finding]:
    """Find a stale copy of an earlier partition, and rows that were copied within this one."""
    earlier = [_repeated(one.keys) for one in history]
    by_chance = max(earlier, default=0.0)
    for one in history:
        share = _shared(sketch.keys, one.keys) - by_chance
        if share > limits.copied:
            yield _finding(
                sketch,
                share,
                f"{share:.1%} of the rows are those of {one.partition} at another time: a stale "
                "copy of it.",
                limits,
            )
    share = _repeated(sketch.keys) - by_chance
    if share > limits.copied and history:
        yield _finding(
            sketch,
            share,
            f"{share:.1%} of the rows repeat others at another time: a part was copied to fill "
            "up the rest.",
            limits,
        )


def _finding(sketch: Sketch, share: float, message: str, limits: Limits) -> Finding:
    return Finding(
        "stale_copy",
        None,
        sketch.partition,
        "refused" if share >= limits.copied_refused else "warning",
        message,
        "Fetch the file of this partition from the publisher.",
    )


def _shared(keys: Array, others: Array) -> float:
    """Return the share of rows that the other partition holds too."""
    if min(len(keys), len(others)) < _LEAST_KEYS:
        return 0.0
    # Up to here both sketches are complete.
    limit = min(_complete_up_to(keys), _complete_up_to(others))
    mine = keys[keys <= limit]
    return float(np.isin(mine, others[others <= limit]).mean()) if len(mine) else 0.0


def _complete_up_to(keys: Array) -> np.uint64:
    return np.uint64(keys[-1]) if len(keys) >= KEYS else np.uint64(np.iinfo(np.uint64).max)


def _repeated(keys: Array) -> float:
    return float(1 - len(np.unique(keys)) / len(keys)) if len(keys) >= _LEAST_KEYS else 0.0

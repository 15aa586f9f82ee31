"""Rows that an earlier partition holds already, at another time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model_loop.findings import Finding
from model_loop.history.limits import HistoryLimits
from model_loop.history.sketch import KEYS, Sketch
from model_loop.history.table import Array

_LEAST_KEYS = 200
#: Standard errors within which a difference counts as chance.
_CERTAIN = 4.0


def copies(sketch: Sketch, history: Sequence[Sketch], limits: HistoryLimits) -> Iterator[Finding]:
    """Find a stale copy of an earlier partition, and rows that were copied within this one."""
    for one in history:
        # A row that is drawn anew is found among the others as often as one of their own rows is.
        by_chance = _with_equals(one.keys)
        share = _shared(sketch.keys, one.keys) - by_chance
        words = f"are those of {one.partition} at another time: a stale copy of it"
        yield from _copied(sketch, share, _by_chance(by_chance, sketch, one), words, limits)
    if history:
        # More rows are equal by chance in larger samples.
        most = max(history, key=lambda one: _repeated(one.keys))
        by_chance = _repeated(most.keys) * max(sketch.sound / max(most.sound, 1), 1.0)
        share = _repeated(sketch.keys) - by_chance
        words = "repeat others at another time: a part was copied to fill up the rest"
        yield from _copied(sketch, share, _by_chance(by_chance, sketch, most), words, limits)


def _copied(
    sketch: Sketch, share: float, chance: float, words: str, limits: HistoryLimits
) -> Iterator[Finding]:
    if share > limits.copied + chance:
        yield Finding(
            "stale_copy",
            None,
            sketch.partition,
            "refused" if share >= limits.copied_refused else "warning",
            f"{share:.1%} of the rows {words}.",
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


def _with_equals(keys: Array) -> float:
    """Return the share of rows that are equal to another one of the same partition."""
    if len(keys) < _LEAST_KEYS:
        return 0.0
    equal = keys[1:] == keys[:-1]
    pairs = np.concatenate([[False], equal, [False]])
    return float(np.mean(pairs[1:] | pairs[:-1]))


def _by_chance(share: float, one: Sketch, other: Sketch) -> float:
    """Return by how much a share may be higher by chance; equal rows come in pairs."""
    known = max(min(len(one.keys), len(other.keys)), 1)
    return float(_CERTAIN * np.sqrt(2 * min(share, 0.5) / known))


def _repeated(keys: Array) -> float:
    return float(1 - len(np.unique(keys)) / len(keys)) if len(keys) >= _LEAST_KEYS else 0.0

"""Predictions as in `kernels`, by array arithmetic: for servers with few requests, in less memory.

Every number is rounded where the registered model rounds it, as there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model_loop.days import SECONDS_PER_DAY
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.columns import ColumnTables
from model_loop.serving.compiled.flat import Linear, Trees

_Floats = npt.NDArray[np.float64]
_Columns = npt.NDArray[np.float32]

#: Numbers that are worked on at once.
_MOST = 500_000


def predict_trees(rows: Rows, tables: ColumnTables, trees: Trees, out: _Floats) -> None:
    """Predict *rows* into *out*, both of one length."""
    for part in parts(rows, max(len(trees.roots), tables.width)):
        columns = encode(rows[part], tables, trees.absent if tables.is_sparse else 0.0)
        out[part] = walk(columns.astype(np.float32), trees)


def predict_linear(rows: Rows, tables: ColumnTables, linear: Linear, out: _Floats) -> None:
    """Predict *rows* into *out*, both of one length."""
    for part in parts(rows, tables.width):
        out[part] = encode(rows[part], tables, 0.0) @ linear.weights + linear.base


def encode(rows: Rows, tables: ColumnTables, absent: float) -> _Floats:
    """Return the columns of the design matrix, shape (rows, columns); see `kernels.encode`."""
    columns = np.full((len(rows), tables.width), absent)

    def put(targets: npt.NDArray[np.int32], values: _Floats) -> None:
        before = columns[:, targets]
        columns[:, targets] = np.where(tables.is_sparse & (values == 0), before, values)

    given = rows[:, tables.number_columns]
    filled = np.where(np.isnan(given), tables.number_fills, given)
    put(tables.number_targets, (filled - tables.number_shifts) / tables.number_scales)
    missing = np.isnan(rows[:, tables.flag_columns])
    put(tables.flag_targets, np.where(missing, tables.flag_missing, tables.flag_given))
    times = rows[:, tables.phase_columns]
    times = np.where(np.isnan(times), tables.phase_fills, times)
    phases = (times - tables.phase_starts) / tables.phase_periods
    phases -= np.floor(phases)
    every = np.arange(len(rows))
    for which, bins in enumerate(tables.phase_bins.tolist()):
        target, phase = tables.phase_targets[which], phases[:, which]
        if bins:
            columns[every, target + np.minimum((phase * bins).astype(np.int64), bins - 1)] = 1.0
        else:
            columns[:, target] = phase * np.pi - np.pi / 2
    days = np.floor(rows[:, tables.day_columns] / SECONDS_PER_DAY) - tables.first_day
    known = (days >= 0) & (days < len(tables.holidays))
    free = np.zeros(days.shape)
    free[known] = tables.holidays[days[known].astype(np.int64)]
    put(tables.day_targets, free)
    for which, size in enumerate(tables.category_sizes.tolist()):
        values = rows[:, tables.category_columns[which]]
        known = (values >= 0) & (values < size)
        codes = np.where(np.isnan(values), size + 1, np.where(known, values, size))
        at = tables.category_firsts[which] + codes.astype(np.int64)
        firsts, counts = tables.spans[at], tables.spans[at + 1] - tables.spans[at]
        for entry in range(int(counts.max(initial=0))):
            more = counts > entry
            places = firsts[more] + entry
            columns[every[more], tables.targets[places]] = tables.values[places]
    return columns


def parts(rows: Rows, width: int) -> Iterator[slice]:
    """Cut rows so that as many numbers are worked on at once as memory is meant for."""
    step = max(_MOST // max(width, 1), 1)
    for first in range(0, len(rows), step):
        yield slice(first, first + step)


def walk(columns: _Columns, trees: Trees) -> _Floats:
    """Return the sum of the trees for design rows of shape (rows, columns)."""
    threshold, feature, left = (trees.nodes[name] for name in ("threshold", "feature", "left"))
    missing_left = feature < 0
    feature = feature ^ (feature >> 31)
    places = np.broadcast_to(trees.roots, (len(columns), len(trees.roots)))
    row = np.arange(len(columns))[:, np.newaxis]
    for _ in range(int(trees.depths.max(initial=0))):
        value, bound = columns[row, feature[places]], threshold[places]
        # Written so that what is missing goes to its side; a leaf is its own left child.
        right = np.where(missing_left[places], value > bound, ~(value <= bound))
        places = left[places] + right
    leaves = trees.values[places]
    if not trees.single:
        return np.asarray(trees.base + trees.scale * leaves.sum(axis=1))
    # One after another, as XGBoost adds them: a sum of NumPy's takes another order.
    start = np.full((len(leaves), 1), trees.base)
    terms = np.hstack([start, leaves]).astype(np.float32)
    return np.asarray(np.cumsum(terms, axis=1, dtype=np.float32)[:, -1], dtype=np.float64)

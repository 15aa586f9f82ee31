"""Machine code for one row: look up what its encoder would compute, and walk the trees.

Every number is rounded where the registered model rounds it, so that a row takes the same way
through every tree. The functions let go of the interpreter's lock.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from model_loop.days import SECONDS_PER_DAY
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.columns import ColumnTables
from model_loop.serving.compiled.flat import Linear, Trees

machine_code = njit(cache=True, nogil=True, error_model="numpy")


@machine_code
def predict_trees(rows: Rows, tables: ColumnTables, trees: Trees, out: Any) -> None:  # noqa: ANN401 - machine code has its own types
    """Predict *rows* into *out*, both of one length."""
    columns = np.empty(tables.width, dtype=np.float64)
    for number in range(len(rows)):
        encode(rows[number], tables, trees.absent if tables.is_sparse else 0.0, columns)
        total = start(trees)
        for root in trees.roots:
            node = root
            while True:
                at = trees.nodes[node]
                if at.left == node:
                    break
                feature = at.feature if at.feature >= 0 else ~at.feature
                value = np.float32(columns[feature])
                # Written so that what is missing goes to its side.
                right = not value <= at.threshold if at.feature >= 0 else value > at.threshold
                node = at.left + right
            total = add(trees, total, trees.values[node])
        out[number] = finish(trees, total)


@machine_code
def predict_linear(rows: Rows, tables: ColumnTables, linear: Linear, out: Any) -> None:  # noqa: ANN401 - machine code has its own types
    """Predict *rows* into *out*, both of one length."""
    columns = np.empty(tables.width, dtype=np.float64)
    for number in range(len(rows)):
        encode(rows[number], tables, 0.0, columns)
        total = 0.0
        for place in range(tables.width):
            total += linear.weights[place] * columns[place]
        out[number] = total + linear.base


@machine_code
def encode(row: Any, tables: ColumnTables, absent: Any, columns: Any) -> None:  # noqa: ANN401, C901, PLR0912 - machine code has its own types; one loop for each kind of column
    """Write the columns of the design matrix for one row.

    Parameters
    ----------
    absent
        Value of what is zero in a sparse matrix.
    """
    columns[:] = absent
    for which in range(len(tables.number_columns)):
        value = row[tables.number_columns[which]]
        if np.isnan(value):
            value = tables.number_fills[which]
        value = (value - tables.number_shifts[which]) / tables.number_scales[which]
        if value != 0.0 or not tables.is_sparse:
            columns[tables.number_targets[which]] = value
    for which in range(len(tables.flag_columns)):
        value = tables.flag_given[which]
        if np.isnan(row[tables.flag_columns[which]]):
            value = tables.flag_missing[which]
        if value != 0.0 or not tables.is_sparse:
            columns[tables.flag_targets[which]] = value
    for which in range(len(tables.phase_columns)):
        value = row[tables.phase_columns[which]]
        if np.isnan(value):
            value = tables.phase_fills[which]
        part = (value - tables.phase_starts[which]) / tables.phase_periods[which]
        part -= math.floor(part)
        bins = tables.phase_bins[which]
        if bins:
            columns[tables.phase_targets[which] + min(int(part * bins), bins - 1)] = 1.0
        else:
            columns[tables.phase_targets[which]] = part * math.pi - math.pi / 2
    for which in range(len(tables.day_columns)):
        # Written so that a missing time is on no holiday.
        day = np.floor(row[tables.day_columns[which]] / SECONDS_PER_DAY) - tables.first_day
        if 0 <= day < len(tables.holidays) and tables.holidays[int(day)]:
            columns[tables.day_targets[which]] = 1.0
    for which in range(len(tables.category_columns)):
        value = row[tables.category_columns[which]]
        size = tables.category_sizes[which]
        code = size + 1 if np.isnan(value) else size if value < 0 or value >= size else int(value)
        at = tables.category_firsts[which] + code
        for entry in range(tables.spans[at], tables.spans[at + 1]):
            columns[tables.targets[entry]] = tables.values[entry]


@machine_code
def start(trees: Trees) -> Any:  # noqa: ANN401 - machine code has its own types
    """Return the start of the sum of the leaves."""
    return trees.base if trees.single else 0.0


@machine_code
def add(trees: Trees, total: Any, value: Any) -> Any:  # noqa: ANN401 - machine code has its own types
    """Return the sum with one leaf more."""
    if trees.single:
        return np.float64(np.float32(total) + np.float32(value))
    return total + value


@machine_code
def finish(trees: Trees, total: Any) -> Any:  # noqa: ANN401 - machine code has its own types
    """Return the prediction of the sum of all leaves."""
    return total if trees.single else trees.base + trees.scale * total

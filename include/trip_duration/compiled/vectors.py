"""Predictions as in `kernels`, by array arithmetic: for servers with few requests, in less memory.

Every number is rounded where the registered model rounds it, as there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_loop.days import SECONDS_PER_DAY, weekday_of
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.vectors import parts, walk
from trip_duration.compiled.flat import (
    ATTRIBUTES,
    BETWEEN_FACTS,
    DAYS,
    DROPOFF,
    DROPOFF_HOURS,
    DROPOFFS,
    HOURS,
    MILES,
    PAIRS,
    PICKUP,
    PICKUP_HOURS,
    SIDE_FACTS,
    TIME,
    WEEKDAY_HOURS,
    ZONE_ROWS,
    DenseTables,
    SparseTables,
)
from trip_duration.training_set.encoders.limits import MISSING, SHORTEST_DISTANCE

_Floats = npt.NDArray[np.float64]
_Columns = npt.NDArray[np.float32]
_Numbers = npt.NDArray[np.int64]


def predict_dense_trees(rows: Rows, tables: DenseTables, trees: Trees, minutes: _Floats) -> None:
    """Predict *rows* into *minutes*, both of one length."""
    for part in parts(rows, len(trees.roots)):
        minutes[part] = walk(_encode_dense(rows[part], tables), trees)


def predict_sparse_trees(rows: Rows, tables: SparseTables, trees: Trees, minutes: _Floats) -> None:
    """Predict *rows* into *minutes*, both of one length."""
    for part in parts(rows, max(len(trees.roots), tables.first)):
        columns = design(rows[part], tables, trees.absent)
        minutes[part] = walk(columns.astype(np.float32), trees)


def predict_sparse_linear(
    rows: Rows, tables: SparseTables, linear: Linear, minutes: _Floats
) -> None:
    """Predict *rows* into *minutes*, both of one length."""
    places, numbers, first = _encode_sparse(rows, tables)
    weights = np.where(places >= 0, linear.weights[places], 0.0)
    further = linear.weights[first : first + numbers.shape[1]]
    minutes[:] = weights.sum(axis=1) + numbers @ further + linear.base


def design(rows: Rows, tables: DenseTables | SparseTables, absent: float) -> _Floats:
    """Return the design matrix of rows.

    Parameters
    ----------
    absent
        Value of a column of a sparse matrix without an entry.
    """
    if isinstance(tables, DenseTables):
        return _encode_dense(rows, tables).astype(np.float64)
    places, numbers, first = _encode_sparse(rows, tables)
    columns = np.full((len(numbers), first + numbers.shape[1]), absent)
    row, kind = np.nonzero(places >= 0)
    columns[row, places[row, kind]] = 1.0
    columns[:, first:] = numbers
    return columns


def _encode_dense(rows: Rows, tables: DenseTables) -> _Columns:
    pickup, dropoff = rows[:, PICKUP].astype(np.int64), rows[:, DROPOFF].astype(np.int64)
    begin, end = (np.where((it > 0) & (it < ZONE_ROWS), it, 0) for it in (pickup, dropoff))
    pair = begin * ZONE_ROWS + end
    columns: list[npt.NDArray[np.generic]] = [pickup, dropoff]
    columns += [tables.sides[side, fact] for side in (begin, end) for fact in range(SIDE_FACTS)]
    columns += [tables.between[pair, fact] for fact in range(BETWEEN_FACTS)]
    categories = [begin, DROPOFFS + end, PAIRS + pair]
    if tables.knows_time:
        day, second = np.divmod(rows[:, TIME].astype(np.int64), SECONDS_PER_DAY)
        weekday, hour = weekday_of(day), second // 3_600
        known = (day >= 0) & (day < len(tables.holidays))
        holiday = np.where(known, tables.holidays[np.where(known, day, 0)], 0)
        columns += [second / 3_600, weekday, holiday]
        categories += [
            PICKUP_HOURS + begin * HOURS + hour,
            DROPOFF_HOURS + end * HOURS + hour,
            WEEKDAY_HOURS + weekday * HOURS + hour,
        ]
    columns += [_attribute(rows, which) for which in range(tables.attributes)]
    learned = [tables.learned[category] for category in categories]
    miles = np.minimum(rows[:, MILES], tables.clip)
    if tables.knows_distance:
        apart = tables.between[pair, 0]
        detour = np.where(apart >= 0, miles / (np.abs(apart) + SHORTEST_DISTANCE), MISSING)
        columns += [miles, detour]
    columns += [one[:, 0] for one in learned]
    if tables.knows_distance:
        columns += [one[:, 1] for one in learned]
        columns += [one[:, 2] * miles for one in learned]
    return np.column_stack([column.astype(np.float32) for column in columns])


def _encode_sparse(rows: Rows, tables: SparseTables) -> tuple[_Numbers, _Floats, int]:
    """Columns that are one, shape (trips, 3), -1 for none; the numbers; the first one's column."""
    size = len(tables.pairs)
    pickup, dropoff = rows[:, PICKUP].astype(np.int64), rows[:, DROPOFF].astype(np.int64)
    possible = (pickup > 0) & (pickup < size) & (dropoff > 0) & (dropoff < size)
    places = np.full((len(rows), 3), -1, dtype=np.int64)
    places[:, 0] = tables.pairs[np.where(possible, pickup, 0), np.where(possible, dropoff, 0)]
    first = tables.first
    if tables.knows_time:
        day, second = np.divmod(rows[:, TIME].astype(np.int64), SECONDS_PER_DAY)
        places[:, 1] = first + second // 3_600
        first += HOURS
        places[:, 2] = first + weekday_of(day)
        first += DAYS
    numbers = [_attribute(rows, which) for which in range(tables.attributes)]
    if tables.knows_distance:
        numbers.append(np.minimum(rows[:, MILES], tables.clip))
    return places, np.column_stack(numbers) if numbers else np.empty((len(rows), 0)), first


def _attribute(rows: Rows, which: int) -> _Floats:
    value = rows[:, ATTRIBUTES + which]
    return np.where(np.isnan(value), 0.0, value)

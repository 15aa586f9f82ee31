"""Machine code for one trip: look up what its encoder would compute, and walk the trees.

Every number is rounded where the registered model rounds it, so that a trip takes the same way
through every tree. The functions let go of the interpreter's lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from model_loop.days import FIRST_WEEKDAY, SECONDS_PER_DAY
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.flat import ROWS_TOGETHER, SIDE_BY_SIDE, Linear, Trees
from model_loop.serving.compiled.kernels import add, finish, machine_code, start
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


@machine_code
def predict_dense_trees(rows: Rows, tables: DenseTables, trees: Trees, minutes: Any) -> None:  # noqa: ANN401 - machine code has its own types
    """Predict *rows* into *minutes*, both of one length.

    Some trees are walked side by side: the processor fetches their nodes at the same time. And
    some rows are led through them one after another: the nodes are near then.
    """
    together = min(len(rows), ROWS_TOGETHER)
    columns = np.empty((together, tables.width), dtype=np.float32)
    places = np.empty(SIDE_BY_SIDE, dtype=np.int32)
    for begin in range(0, len(rows), ROWS_TOGETHER):
        end = min(begin + ROWS_TOGETHER, len(rows))
        for number in range(begin, end):
            _encode_dense(rows[number], tables, columns[number - begin])
            minutes[number] = start(trees)
        for group in range(len(trees.depths)):
            first = group * SIDE_BY_SIDE
            count = min(SIDE_BY_SIDE, len(trees.roots) - first)
            for number in range(begin, end):
                row = columns[number - begin]
                for which in range(count):
                    places[which] = trees.roots[first + which]
                for _level in range(trees.depths[group]):
                    for which in range(count):
                        at = trees.nodes[places[which]]
                        # No column of a dense row is missing.
                        feature = at.feature ^ (at.feature >> 31)
                        places[which] = at.left + (row[feature] > at.threshold)
                total = minutes[number]
                for which in range(count):
                    total = add(trees, total, trees.values[places[which]])
                minutes[number] = total
        for number in range(begin, end):
            minutes[number] = finish(trees, minutes[number])


@machine_code
def predict_sparse_trees(rows: Rows, tables: SparseTables, trees: Trees, minutes: Any) -> None:  # noqa: ANN401 - machine code has its own types
    """Predict *rows* into *minutes*, both of one length."""
    places = np.empty(3, dtype=np.int32)
    numbers = np.empty(4, dtype=np.float64)
    for number in range(len(rows)):
        first, _count = _encode_sparse(rows[number], tables, places, numbers)
        total = start(trees)
        for root in trees.roots:
            node = root
            while True:
                at = trees.nodes[node]
                if at.left == node:
                    break
                feature = at.feature if at.feature >= 0 else ~at.feature
                if feature >= first:
                    value = np.float32(numbers[feature - first])
                elif feature == places[0] or feature == places[1] or feature == places[2]:
                    value = np.float32(1.0)
                else:
                    value = np.float32(trees.absent)
                # Written so that what is missing goes to its side.
                right = not value <= at.threshold if at.feature >= 0 else value > at.threshold
                node = at.left + right
            total = add(trees, total, trees.values[node])
        minutes[number] = finish(trees, total)


@machine_code
def predict_sparse_linear(rows: Rows, tables: SparseTables, linear: Linear, minutes: Any) -> None:  # noqa: ANN401 - machine code has its own types
    """Predict *rows* into *minutes*, both of one length."""
    places = np.empty(3, dtype=np.int32)
    numbers = np.empty(4, dtype=np.float64)
    for number in range(len(rows)):
        first, count = _encode_sparse(rows[number], tables, places, numbers)
        total = 0.0
        for place in places:
            if place >= 0:
                total += linear.weights[place]
        for which in range(count):
            total += linear.weights[first + which] * numbers[which]
        minutes[number] = total + linear.base


@machine_code
def _encode_dense(row: Any, tables: DenseTables, columns: Any) -> None:  # noqa: ANN401 - machine code has its own types
    pickup, dropoff = np.int64(row[PICKUP]), np.int64(row[DROPOFF])
    columns[0], columns[1] = pickup, dropoff
    begin = pickup if 0 < pickup < ZONE_ROWS else 0
    end = dropoff if 0 < dropoff < ZONE_ROWS else 0
    pair = begin * ZONE_ROWS + end
    at = 2
    for fact in range(SIDE_FACTS):
        columns[at + fact] = tables.sides[begin, fact]
        columns[at + SIDE_FACTS + fact] = tables.sides[end, fact]
    at += 2 * SIDE_FACTS
    for fact in range(BETWEEN_FACTS):
        columns[at + fact] = tables.between[pair, fact]
    at += BETWEEN_FACTS
    hour: Any = 0
    weekday: Any = 0
    if tables.knows_time:
        seconds = np.int64(row[TIME])
        day = seconds // SECONDS_PER_DAY
        weekday = (day + FIRST_WEEKDAY) % DAYS
        columns[at] = (seconds % SECONDS_PER_DAY) / 3_600
        columns[at + 1] = weekday
        columns[at + 2] = tables.holidays[day] if 0 <= day < len(tables.holidays) else 0
        hour = (seconds % SECONDS_PER_DAY) // 3_600
        at += 3
    for which in range(tables.attributes):
        value = row[ATTRIBUTES + which]
        columns[at + which] = 0.0 if np.isnan(value) else value
    at += tables.attributes
    miles = min(row[MILES], tables.clip)
    if tables.knows_distance:
        apart = tables.between[pair, 0]
        columns[at] = miles
        columns[at + 1] = miles / (abs(apart) + SHORTEST_DISTANCE) if apart >= 0 else MISSING
        at += 2
    _look_up(tables, columns[at:], (begin, DROPOFFS + end, PAIRS + pair), 0, miles)
    if tables.knows_time:
        further = (
            PICKUP_HOURS + begin * HOURS + hour,
            DROPOFF_HOURS + end * HOURS + hour,
            WEEKDAY_HOURS + weekday * HOURS + hour,
        )
        _look_up(tables, columns[at:], further, 3, miles)


@machine_code
def _look_up(tables: DenseTables, columns: Any, categories: Any, first: int, miles: float) -> None:  # noqa: ANN401 - machine code has its own types
    kinds = 6 if tables.knows_time else 3
    for which in range(3):
        learned = tables.learned[categories[which]]
        columns[first + which] = learned[0]
        if tables.knows_distance:
            columns[kinds + first + which] = learned[1]
            columns[2 * kinds + first + which] = learned[2] * miles


@machine_code
def _encode_sparse(row: Any, tables: SparseTables, places: Any, numbers: Any) -> Any:  # noqa: ANN401 - machine code has its own types
    pickup: Any = np.int64(row[PICKUP])
    dropoff: Any = np.int64(row[DROPOFF])
    size = len(tables.pairs)
    if not (0 < pickup < size and 0 < dropoff < size):
        pickup, dropoff = 0, 0
    places[0], places[1], places[2] = tables.pairs[pickup, dropoff], -1, -1
    first, count = tables.first, 0
    if tables.knows_time:
        seconds = np.int64(row[TIME])
        places[1] = first + (seconds % SECONDS_PER_DAY) // 3_600
        first += HOURS
        places[2] = first + (seconds // SECONDS_PER_DAY + FIRST_WEEKDAY) % DAYS
        first += DAYS
    for which in range(tables.attributes):
        value = row[ATTRIBUTES + which]
        numbers[count] = 0.0 if np.isnan(value) else value
        count += 1
    if tables.knows_distance:
        numbers[count] = min(row[MILES], tables.clip)
        count += 1
    return first, count

"""Check that a compiled form that was stored can be run: machine code looks at no number itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_loop.scoring.rows import COLUMNS
from model_loop.serving.compiled.flat import (
    BETWEEN_FACTS,
    CATEGORIES,
    DAYS,
    HOURS,
    NODE,
    SIDE_BY_SIDE,
    SIDE_FACTS,
    ZONE_ROWS,
    DenseTables,
    Linear,
    SparseTables,
    Trees,
)

#: Levels of a tree; learned ones have some dozens.
_LEVELS = 1_000
_ATTRIBUTES = 3


def is_sound(tables: DenseTables | SparseTables, flat: Trees | Linear) -> bool:
    """Return whether every number that is followed leads to where there is something."""
    attributes = tables.attributes in range(_ATTRIBUTES + 1)
    flags = all(isinstance(one, bool) for one in (tables.knows_time, tables.knows_distance))
    if not (attributes and flags):
        return False
    if isinstance(tables, DenseTables):
        fits, width = _is_dense(tables), tables.width
    else:
        fits, width = _is_sparse(tables), _sparse_width(tables)
    if isinstance(flat, Linear):
        return fits and _is_array(flat.weights, np.float64, (width,))
    return fits and _is_forest(flat, width)


def is_sample(sample: Any, minutes: Any) -> bool:  # noqa: ANN401 - whatever a file holds
    """Return whether there are rows that requests could hold, and minutes of each of them."""
    return (
        len(sample) > 0
        and _is_array(sample, np.float64, (len(sample), len(COLUMNS)))
        and _is_array(minutes, np.float64, (len(sample),))
    )


def _is_array(value: Any, dtype: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401 - as above
    return bool(value.dtype == dtype) and value.shape == shape


def _is_dense(tables: DenseTables) -> bool:
    categories = 3 + 3 * tables.knows_time
    width = 2 + 2 * SIDE_FACTS + BETWEEN_FACTS + 3 * tables.knows_time + tables.attributes
    width += 2 * tables.knows_distance + categories * (1 + 2 * tables.knows_distance)
    return (
        _is_array(tables.sides, np.float64, (ZONE_ROWS, SIDE_FACTS))
        and _is_array(tables.between, np.float64, (ZONE_ROWS**2, BETWEEN_FACTS))
        and _is_array(tables.learned, np.float64, (CATEGORIES, 3))
        and _is_array(tables.holidays, np.uint8, (len(tables.holidays),))
        and tables.width == width
    )


def _is_sparse(tables: SparseTables) -> bool:
    pairs, size = tables.pairs, len(tables.pairs)
    return (
        size > 0
        and tables.first in range(size**2 + 1)
        and _is_array(pairs, np.int32, (size, size))
        and int(pairs.min()) >= -1
        and int(pairs.max()) < tables.first
    )


def _sparse_width(tables: SparseTables) -> int:
    time = (HOURS + DAYS) * tables.knows_time
    return tables.first + time + tables.attributes + tables.knows_distance


def _is_forest(trees: Trees, width: int) -> bool:
    nodes, count, roots = trees.nodes, len(trees.nodes), trees.roots
    groups = -(-len(roots) // SIDE_BY_SIDE)
    shaped = (
        count > 0
        and _is_array(nodes, NODE, (count,))
        and _is_array(trees.values, np.float64, (count,))
        and _is_array(roots, np.int32, (len(roots),))
        and _is_array(trees.depths, np.int32, (groups,))
    )
    if not shaped:
        return False
    place, left = np.arange(count), nodes["left"]
    leaf = left == place
    column = np.where(nodes["feature"] < 0, ~nodes["feature"], nodes["feature"])
    return bool(
        ((roots >= 0) & (roots < count)).all()
        and ((trees.depths >= 0) & (trees.depths <= _LEVELS)).all()
        # A leaf is its own left child, and nothing exceeds its threshold.
        and (leaf | ((left > place) & (left < count - 1))).all()
        and (nodes["threshold"][leaf] == np.inf).all()
        and (column < width).all()
    )

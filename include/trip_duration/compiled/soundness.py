"""Check that tables that were stored can be looked up: machine code looks at no number itself."""

from __future__ import annotations

import numpy as np

from model_loop.serving.compiled.soundness import is_array
from trip_duration.compiled.flat import (
    BETWEEN_FACTS,
    CATEGORIES,
    DAYS,
    HOURS,
    SIDE_FACTS,
    ZONE_ROWS,
    DenseTables,
    SparseTables,
)

_ATTRIBUTES = 3


def sound_width(tables: DenseTables | SparseTables) -> int | None:
    """Return the number of columns that tables make; None if they do not fit together."""
    attributes = tables.attributes in range(_ATTRIBUTES + 1)
    flags = all(isinstance(one, bool) for one in (tables.knows_time, tables.knows_distance))
    if not (attributes and flags):
        return None
    if isinstance(tables, DenseTables):
        return tables.width if _is_dense(tables) else None
    return _sparse_width(tables) if _is_sparse(tables) else None


def _is_dense(tables: DenseTables) -> bool:
    categories = 3 + 3 * tables.knows_time
    width = 2 + 2 * SIDE_FACTS + BETWEEN_FACTS + 3 * tables.knows_time + tables.attributes
    width += 2 * tables.knows_distance + categories * (1 + 2 * tables.knows_distance)
    return (
        is_array(tables.sides, np.float64, (ZONE_ROWS, SIDE_FACTS))
        and is_array(tables.between, np.float64, (ZONE_ROWS**2, BETWEEN_FACTS))
        and is_array(tables.learned, np.float64, (CATEGORIES, 3))
        and is_array(tables.holidays, np.uint8, (len(tables.holidays),))
        and tables.width == width
    )


def _is_sparse(tables: SparseTables) -> bool:
    pairs, size = tables.pairs, len(tables.pairs)
    return (
        size > 0
        and tables.first in range(size**2 + 1)
        and is_array(pairs, np.int32, (size, size))
        and int(pairs.min()) >= -1
        and int(pairs.max()) < tables.first
    )


def _sparse_width(tables: SparseTables) -> int:
    time = (HOURS + DAYS) * tables.knows_time
    return tables.first + time + tables.attributes + tables.knows_distance

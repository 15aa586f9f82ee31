"""Check that a compiled form that was stored can be run: machine code looks at no number itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_loop.datasets.columns import Columns
from model_loop.serving.compiled.flat import NODE, SIDE_BY_SIDE, Linear, Trees

#: Levels of a tree; learned ones have some dozens.
_LEVELS = 1_000


def is_sound(width: int, flat: Trees | Linear) -> bool:
    """Return whether every number that is followed leads to where there is something.

    Parameters
    ----------
    width
        Columns of the design matrix.
    """
    if isinstance(flat, Linear):
        return is_array(flat.weights, np.float64, (width,))
    return _is_forest(flat, width)


def is_sample(columns: Columns, sample: Any, predictions: Any) -> bool:  # noqa: ANN401 - whatever a file holds
    """Return whether there are rows that requests could hold, and a prediction of each of them."""
    return (
        len(sample) > 0
        and is_array(sample, np.float64, (len(sample), len(columns)))
        and is_array(predictions, np.float64, (len(sample),))
    )


def is_explaining(
    width: int,
    columns: int,
    flat: Trees | Linear,
    origins: Any,  # noqa: ANN401 - as above
    covers: Any,  # noqa: ANN401 - as above
) -> bool:
    """Return whether every column has an origin among those of a row, and every node a cover."""
    nodes = () if isinstance(flat, Linear) else flat.nodes
    return bool(
        origins.ndim == 2  # noqa: PLR2004 - a matrix
        and is_array(origins, np.int16, (width, origins.shape[1]))
        and ((origins >= -1) & (origins < columns)).all()
        and is_array(covers, np.float32, (len(covers),))
        and len(covers) in {0, len(nodes)}
        and (np.isfinite(covers) & (covers >= 0)).all()
    )


def is_array(value: Any, dtype: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401 - as above
    """Return whether an array has a type and a shape."""
    return bool(value.dtype == dtype) and value.shape == shape


def _is_forest(trees: Trees, width: int) -> bool:
    nodes, count, roots = trees.nodes, len(trees.nodes), trees.roots
    groups = -(-len(roots) // SIDE_BY_SIDE)
    shaped = (
        count > 0
        and is_array(nodes, NODE, (count,))
        and is_array(trees.values, np.float64, (count,))
        and is_array(roots, np.int32, (len(roots),))
        and is_array(trees.depths, np.int32, (groups,))
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

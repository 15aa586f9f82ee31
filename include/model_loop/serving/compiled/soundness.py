"""Check that a compiled form that was stored can be run: machine code looks at no number itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from model_loop.datasets.classes import is_share
from model_loop.datasets.dataset import Dataset, Target
from model_loop.serving.compiled.flat import NODE, SIDE_BY_SIDE, Linear, Trees
from model_loop.serving.compiled.links import (
    Affine,
    Isotonic,
    Logistic,
    Logits,
    Scores,
    Softmax,
    Step,
)

#: Levels of a tree; learned ones have some dozens.
_LEVELS = 1_000


def is_sound(width: int, target: Target, flat: Trees | Linear | Scores) -> bool:
    """Return whether every number that is followed leads to where there is something.

    Parameters
    ----------
    width
        Columns of the design matrix.
    target
        The target that is predicted: numbers, or probabilities of its classes.
    """
    if isinstance(flat, Scores):
        count = len(flat.columns)
        return (
            target.classes is not None
            and count == (1 if target.classes.is_binary else len(target.classes.labels))
            and flat.unit in {"log-odds", "probability"}
            and is_share(flat.threshold)
            and all(_is_flat(each, width) for each in flat.columns)
            and are_steps(flat.steps, count)
        )
    return not target.is_classified and _is_flat(flat, width)


def _is_flat(flat: Trees | Linear, width: int) -> bool:
    if isinstance(flat, Linear):
        return is_array(flat.weights, np.float64, (width,)) and _is_number(flat.base)
    return _is_forest(flat, width)


def are_steps(steps: Sequence[Step], columns: int) -> bool:
    """Return whether steps are those of so many columns of probabilities; of no column, none."""
    return all(columns and _is_step(step, columns) for step in steps)


def _is_step(step: Step, columns: int) -> bool:
    """Return whether the arrays of a step are those of so many columns."""
    if isinstance(step, Affine):
        return all(is_array(each, np.float64, (columns,)) for each in step)
    if isinstance(step, Isotonic):
        ends = step.ends
        return bool(
            is_array(ends, np.int32, (columns,))
            and (np.diff(ends, prepend=0) > 0).all()
            and is_array(step.inputs, np.float64, (int(ends[-1]),))
            and is_array(step.outputs, np.float64, step.inputs.shape)
        )
    if isinstance(step, Logits):
        return _is_number(step.least)
    return not isinstance(step, Logistic | Softmax) or isinstance(step.single, bool)


def is_sample(dataset: Dataset, sample: Any, predictions: Any) -> bool:  # noqa: ANN401 - whatever a file holds
    """Return whether there are rows that requests could hold, and a prediction of each of them."""
    classes = dataset.target.classes
    shape = (
        (len(sample),)
        if classes is None or classes.is_binary
        else (len(sample), len(classes.labels))
    )
    return (
        len(sample) > 0
        and is_array(sample, np.float64, (len(sample), len(dataset.columns)))
        and is_array(predictions, np.float64, shape)
    )


def is_explaining(
    width: int,
    columns: int,
    flat: Trees | Linear | Scores,
    origins: Any,  # noqa: ANN401 - as above
    covers: Any,  # noqa: ANN401 - as above
) -> bool:
    """Return whether every column has an origin among those of a row, and every node a cover."""
    columns_of_scores = flat.columns if isinstance(flat, Scores) else (flat,)
    nodes = sum(len(each.nodes) for each in columns_of_scores if isinstance(each, Trees))
    return bool(
        origins.ndim == 2  # noqa: PLR2004 - a matrix
        and is_array(origins, np.int16, (width, origins.shape[1]))
        and ((origins >= -1) & (origins < columns)).all()
        and is_array(covers, np.float32, (len(covers),))
        and len(covers) in {0, nodes}
        and (np.isfinite(covers) & (covers >= 0)).all()
    )


def _is_number(value: Any) -> bool:  # noqa: ANN401 - as above
    return isinstance(value, float)


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

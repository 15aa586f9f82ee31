"""Estimators as flat arrays: trees as nodes, and linear models as weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: A node of a tree. A right child follows the left one. A feature f is written as ~f where a
#: missing value goes to the left. A leaf is its own left child, with a threshold that nothing
#: exceeds.
NODE = np.dtype([("threshold", "<f4"), ("feature", "<i4"), ("left", "<i4")])

#: Trees that are walked side by side.
SIDE_BY_SIDE = 16
#: Rows that are led through the same trees before the next trees are looked at.
ROWS_TOGETHER = 64


class Trees(NamedTuple):
    """An ensemble of regression trees: ``base + scale * sum of the leaves``.

    Parameters
    ----------
    nodes, values
        Nodes and values of all trees; values count at the leaves.
    roots
        Number of each tree's first node.
    depths
        Depth of the deepest of each SIDE_BY_SIDE trees.
    base, scale
        Start of the sum, and factor of the leaves.
    single
        Whether leaves are summed in single precision, one after another from the base, as XGBoost
        does.
    absent
        Value of a column of a sparse matrix without an entry.
    """

    nodes: npt.NDArray[np.void]
    values: npt.NDArray[np.float64]
    roots: npt.NDArray[np.int32]
    depths: npt.NDArray[np.int32]
    base: float
    scale: float
    single: bool
    absent: float


class Linear(NamedTuple):
    """A linear model: weights of shape (columns,), and what they are added to."""

    weights: npt.NDArray[np.float64]
    base: float

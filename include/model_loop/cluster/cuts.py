"""Cuts between the bins of columns, from rows that every worker reads.

Workers that each cut their own rows would find other bins with every number of workers, and other
trees. XGBoost takes the cuts of a matrix that it is referred to: each worker makes that matrix of
the same rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_loop.training_set.sampling import draw_evenly

#: Rows from which cuts are made; 1,024 bins of a column hold 256 of them each.
CUT_ROWS = 2**18


def rows_to_cut(
    matrix: npt.NDArray[np.float32], seed: int, most: int = CUT_ROWS
) -> npt.NDArray[np.float32]:
    """Return rows whose cuts suit all rows of a matrix.

    Parameters
    ----------
    matrix
        Dense matrix of shape (rows, columns), as it is or mapped from a file.
    seed
        Seed of the sample.
    most
        Most rows of the sample, drawn evenly from the order of the rows.

    Returns
    -------
    numpy.ndarray
        The sample, where it is not all rows with two more below it: the largest and the smallest
        values of the columns. The last cut lies beyond the largest value that is cut; a larger one
        would count as below it where trees grow, and as above it where they predict.
    """
    if len(matrix) <= most:
        return np.asarray(matrix)
    sample = matrix[draw_evenly(len(matrix), most, seed)]
    ends = [np.fmax.reduce(matrix, axis=0), np.fmin.reduce(matrix, axis=0)]
    return np.concatenate([sample, np.asarray(ends, dtype=np.float32)])

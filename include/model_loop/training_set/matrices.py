"""Design matrices and targets, as estimators take them. Stored models import little else."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Matrix: TypeAlias = csr_matrix | npt.NDArray[np.float32]
Targets: TypeAlias = npt.NDArray[np.float64]
"""Values of the target, shape (rows,)."""


def as_dense(matrix: Matrix) -> npt.NDArray[np.float32]:
    """A design matrix with every entry written out."""
    return matrix.toarray() if isinstance(matrix, csr_matrix) else matrix

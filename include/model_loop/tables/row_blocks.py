"""Successive rows of one file, whatever its format is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class RowBlock:
    """Some successive rows of a file.

    Parameters
    ----------
    columns
        Columns by their names, shape (accepted rows,) each.
    numbers
        Number of each accepted row in the file, from 1, shape (accepted rows,).
    rejected
        Reasons of the rejected rows, by their numbers.
    blank
        Number of rows without any text; they have no numbers.
    """

    columns: Mapping[str, pa.Array]
    numbers: npt.NDArray[np.int64]
    rejected: Mapping[int, str]
    blank: int = 0

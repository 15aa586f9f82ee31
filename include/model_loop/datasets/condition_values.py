"""Values of the rows that a condition compares, one answer for each row.

Apart from the language itself, as declarations are read where pandas is not loaded: a DAG file is
read again and again, and a condition of its declaration holds for no row there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

#: Yes, no or unknown for each row.
Answers = pd.arrays.BooleanArray


def answers(frame: pd.DataFrame, holds: Any, *compared: Any) -> Answers:  # noqa: ANN401 - of one value, or of all rows
    """Return one answer for each row: unknown where a compared value is missing."""
    unknown = np.zeros(len(frame), dtype=bool)
    for value in compared:
        unknown |= np.asarray(pd.isna(value), dtype=bool)
    known = np.zeros(len(frame), dtype=bool)
    known[:] = (
        pd.Series(holds).fillna(value=False) if np.ndim(holds) else holds is True or bool(holds)
    )
    return pd.arrays.BooleanArray(known, unknown)


def missing(frame: pd.DataFrame, value: Any, *, there: bool) -> Answers:  # noqa: ANN401 - of one value, or of all rows
    """Return whether each value is missing, or whether it is there."""
    return answers(frame, pd.notna(value) if there else pd.isna(value))


def members(frame: pd.DataFrame, value: Any, chosen: Sequence[Any], *, excluded: bool) -> Answers:  # noqa: ANN401 - of one value, or of all rows
    """Return whether each value is one of some, or none of them."""
    given = pd.Series(value)
    return answers(frame, given.isin(chosen) ^ excluded, given)


def is_text(value: Any) -> bool:  # noqa: ANN401 - of one value, or of all rows
    """Return whether a value, or the values of a column, are text."""
    return isinstance(value, str) or (isinstance(value, pd.Series) and value.dtype.kind in "OUS")


def numbers_of(given: Answers) -> npt.NDArray[np.float64]:
    """Return answers as 1, 0 and NaN."""
    found: npt.NDArray[np.float64] = given.to_numpy(dtype=np.float64, na_value=np.nan)
    return found

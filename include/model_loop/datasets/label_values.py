"""Labels of a column whose values are classes, as texts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from model_loop.datasets.classes import text_of_label


def texts_of_labels(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the text of each label, None where there is none; of yes and no, 1 and 0."""
    if pd.api.types.is_bool_dtype(values.dtype):
        values = values.astype("Int64")
    return values.map(text_of_label, na_action="ignore").astype(object)

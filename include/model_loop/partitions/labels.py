"""Labels of rows whose target is a class, as texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from model_loop.datasets.declaration import Declaration, class_condition
from model_loop.datasets.declared import positive_label
from model_loop.datasets.label_values import texts_of_labels


def label_texts(declaration: Declaration, rows: pd.DataFrame) -> pd.Series[Any]:
    """Return the text of each row's label, None where a row has no class.

    Raises
    ------
    InvalidInputError
        If the condition of the positive class compares values that have no order.
    """
    condition = class_condition(declaration)
    if condition is None:
        return texts_of_labels(rows[declaration.target])
    answers = condition.answers_of(rows)
    # A row of which nothing is known has no class, whatever the condition makes of it.
    answers[rows[declaration.target].isna().to_numpy(dtype=bool)] = np.nan
    named = {0.0: declaration.task.negative_class, 1.0: positive_label(declaration)}
    return pd.Series(answers, index=rows.index).map(named).astype(object)

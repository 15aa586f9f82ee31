"""Predicted and true classes of a window, from the texts of logs, files and partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from model_loop.datasets.classes import text_of_label
from model_loop.datasets.dataset import Dataset, Target
from model_loop.partitions.labels import label_texts
from model_loop.training_set.matrices import Targets


def no_outcomes(rows: int, target: Target) -> Targets:
    """Return outcomes of rows that no version has predicted: NaN."""
    if target.kind == "multiclass" and target.classes is not None:
        return np.full((rows, len(target.classes.labels)), np.nan)
    return np.full(rows, np.nan)


def outcomes_of_texts(texts: pd.Series[Any], target: Target) -> Targets:
    """Return outcomes by the probabilities of each class, JSON or mappings by the label.

    NaN where there is none, or where it is of other classes.
    """
    outcomes, classes = no_outcomes(len(texts), target), target.classes
    if classes is None:
        return outcomes
    # The probability of the positive class stands for both.
    labels = classes.texts[1:] if classes.is_binary else classes.texts
    for row, said in enumerate(texts):
        shares = msgspec.json.decode(said) if isinstance(said, str) else said
        if isinstance(shares, Mapping) and {*shares} == {*classes.texts}:
            values = [float(shares[label]) for label in labels]
            outcomes[row] = values[0] if classes.is_binary else values
    return outcomes


def codes_of_labels(labels: pd.Series[Any], target: Target) -> Targets:
    """Return the code of each label, shape (rows,); NaN where no class has it, or none is known."""
    if target.classes is None:
        return np.full(len(labels), np.nan)
    texts = labels.map(text_of_label, na_action="ignore")
    return np.asarray(texts.map(dict(target.classes.codes)), dtype=np.float64)


def true_values(rows: pd.DataFrame, dataset: Dataset) -> Targets:
    """Return the targets of raw rows of a partition, shape (rows,): numbers, or codes of classes.

    NaN of a class that the version has never learned.
    """
    if not dataset.target.is_classified or dataset.declaration is None:
        return rows[dataset.target.name].to_numpy(dtype=np.float64)
    return codes_of_labels(label_texts(dataset.declaration, rows), dataset.target)

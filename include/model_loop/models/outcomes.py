"""Predicted outcomes as the loop has them: numbers, or probabilities of classes.

Of a number it is the number, shape (rows,); of yes or no the probability of the positive class,
shape (rows,); of several classes the probability of each, shape (rows, classes), in the order of
their labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from model_loop.datasets.classes import HALF, Classes
from model_loop.datasets.dataset import Target
from model_loop.training_set.matrices import Targets

#: Rows that are predicted at once.
ROWS_AT_ONCE = 2**20


class Predicts(Protocol):
    """Protocol of predictors of raw rows: models, and their compiled forms."""

    def predict(self, rows: Any, /) -> Any:  # noqa: ANN401 - as scikit-learn's
        """Return what is predicted of a frame of raw rows, shape (rows,)."""


@runtime_checkable
class Explains(Predicts, Protocol):
    """Protocol of predictors that compute SHAP values by themselves."""

    threshold: float

    def shap_rows(self, most: int) -> int | None:
        """Return the number of rows to compute SHAP values of; None if there are none."""

    def shap_by_feature(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return what each column adds to the prediction of each row, shape (rows, columns)."""


@dataclass(frozen=True)
class ClassifierParts:
    """A classifier without what was put around it.

    Parameters
    ----------
    base
        The estimator that was fitted.
    calibrated
        Calibrator of its probabilities; None where there is none.
    threshold
        Probability of the positive class from which an answer is positive.
    """

    base: Any
    calibrated: CalibratedClassifierCV | None
    threshold: float


def predict_outcomes(model: Predicts, rows: pd.DataFrame, target: Target) -> Targets:
    """Ask a model for the outcomes of raw rows, of many rows some at a time.

    Parameters
    ----------
    model
        A pipeline, or a compiled form, which returns them by itself.
    """
    if len(rows) > ROWS_AT_ONCE:
        # Encoding takes several times the rows on the way.
        return np.concatenate(
            [
                predict_outcomes(model, rows.iloc[first : first + ROWS_AT_ONCE], target)
                for first in range(0, len(rows), ROWS_AT_ONCE)
            ]
        )
    if target.is_classified and isinstance(model, Pipeline):
        return in_label_order(model.predict_proba(rows), model.classes_, target.labels)
    return np.asarray(model.predict(rows), dtype=np.float64)


def in_label_order(
    probabilities: npt.NDArray[np.float64], labels: npt.ArrayLike, classes: Classes
) -> Targets:
    """Return probabilities as outcomes; a class that the labels do not have gets none.

    Parameters
    ----------
    probabilities
        Shape (rows, labels).
    labels
        Labels of its columns, or their codes.
    """
    names = [str(label) for label in np.asarray(labels).tolist()]
    ordered = np.zeros((len(probabilities), len(classes.labels)))
    ordered[:, [classes.codes[name] for name in names]] = probabilities
    return np.ascontiguousarray(ordered[:, 1]) if classes.is_binary else ordered


def by_code(
    probabilities: npt.NDArray[np.float64], codes: npt.ArrayLike, classes: Classes
) -> Targets:
    """Return probabilities as outcomes, whose columns are of these codes."""
    ordered = np.zeros((len(probabilities), len(classes.labels)))
    ordered[:, np.asarray(codes).astype(np.int64)] = probabilities
    return np.ascontiguousarray(ordered[:, 1]) if classes.is_binary else ordered


def learned_target(codes: Targets, target: Target) -> npt.NDArray[Any]:
    """Return what an estimator is fitted on: the numbers, or the labels of the codes."""
    if not target.is_classified:
        return codes
    return np.array(target.labels.labels)[codes.astype(np.int64)]


def threshold_of(target: Target) -> float:
    """Return the declared threshold, else that of the declared cost, else a half."""
    return HALF if target.classes is None else target.classes.threshold_in_force


def parts_of_classifier(estimator: Any) -> ClassifierParts:  # noqa: ANN401 - any of scikit-learn's
    """Take off a classifier what was put around it after its fit."""
    threshold, calibrated = HALF, None
    if isinstance(estimator, FixedThresholdClassifier):
        threshold = float(estimator.threshold)
        estimator = estimator.estimator_
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    if isinstance(estimator, CalibratedClassifierCV):
        # One that was calibrated on folds of its own has an estimator that is not frozen.
        first, *others = estimator.calibrated_classifiers_
        if not others and isinstance(first.estimator, FrozenEstimator):
            calibrated, estimator = estimator, first.estimator.estimator
    return ClassifierParts(estimator, calibrated, threshold)

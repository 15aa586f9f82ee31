"""The last steps of a classifier: its calibration, its threshold, and its sets of classes.

All of it is chosen by predictions of rows that the predicting model has not learned from, the ones
that intervals of a regressor come from, and never by the rows that models are judged by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from model_loop.datasets.classes import Classes
from model_loop.intervals.residuals import Residuals
from model_loop.models.classification.calibration import (
    CalibrationChoice,
    around,
    choose_calibration,
    decides_by_logits,
    fit_map,
)
from model_loop.models.classification.class_sets import measure_sets, set_scores, sets_at
from model_loop.models.classification.clusters import Clusters, clusters_by_day, clusters_of
from model_loop.models.classification.decision import Decision
from model_loop.models.classification.reliability import reliability
from model_loop.models.classification.thresholds import choose_threshold
from model_loop.models.outcomes import in_label_order
from model_loop.training_set.encodings import Layout
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

#: Levels of the sets that are measured.
_LEVELS = (80.0, 90.0)


def finish_classifier(
    model: Pipeline,
    residuals: Residuals,
    training_set: TrainingSet,
    layout: Layout,
    *,
    seed: int = 42,
) -> tuple[Pipeline, Decision]:
    """Calibrate a fitted classifier where needed, and give it its threshold.

    Parameters
    ----------
    model
        Encoder and fitted classifier together.
    residuals
        True codes and predicted probabilities of rows that the predicting model has not learned
        from; see `models.calibrating.residuals_of`.
    layout
        Layout of the design matrix, by which the rows of folds are found.

    Returns
    -------
    tuple
        The model whose `predict` gives labels at the threshold and whose `predict_proba` gives
        calibrated probabilities, and the decision that is stored beside it.
    """
    target, noun = training_set.target, training_set.dataset.rows[0]
    classes, fitted = target.labels, model.steps[-1][1]
    example = model[:-1].transform(training_set.example_rows[list(training_set.recipe.columns)])
    clusters = clusters_of_residuals(residuals, training_set, layout)
    choice, finished = _calibrated(
        fitted, decides_by_logits(fitted, example), residuals, classes, clusters, noun, seed
    )
    decision = Decision(
        labels=classes.labels,
        positive=classes.positive,
        calibration=choice.method,
        calibration_reason=choice.reason,
        error_before=choice.error_before,
        error_after=choice.error_after,
        error_by_chance=choice.by_chance,
        rows=len(residuals.actual),
        digest=residuals.rows,
    )
    if not classes.is_binary:
        scores = set_scores(residuals.actual, choice.predicted)
        return _with_last(model, finished), replace(decision, set_scores=scores)
    threshold = choose_threshold(
        residuals.actual,
        choice.predicted,
        declared=classes.threshold,
        cost=classes.cost,
        noun=noun,
    )
    decided = FixedThresholdClassifier(
        FrozenEstimator(finished),
        threshold=threshold.value,
        pos_label=classes.positive,
        response_method="predict_proba",
    )
    # Nothing is learned from the rows: what is frozen is fitted.
    decided.fit(_two_rows(example), np.array(classes.labels))
    decision = replace(
        decision,
        threshold=threshold.value,
        threshold_origin=threshold.origin,
        threshold_reason=threshold.reason,
    )
    return _with_last(model, decided), decision


def measure_decision(
    decision: Decision, actual: Targets, predicted: Targets, part: str
) -> Mapping[str, float]:
    """Measure calibration, and sets of classes, on rows that nothing was chosen by.

    Returns
    -------
    Mapping
        By name: calibration error and that of perfect probabilities, and of several classes the
        coverage and the mean size of the sets at two levels.
    """
    measured = reliability(actual, predicted)
    metrics = {
        f"calibration_error_{part}": measured.error,
        f"calibration_error_by_chance_{part}": measured.by_chance,
    }
    if decision.set_scores:
        for level in _LEVELS:
            sets = measure_sets(sets_at(level, decision.set_scores, predicted), actual)
            metrics[f"set_coverage_{level:g}_{part}"] = sets.coverage
            metrics[f"set_size_{level:g}_{part}"] = sets.size
    return metrics


def _calibrated(
    fitted: Any,  # noqa: ANN401 - any classifier of scikit-learn's
    decides: bool | None,  # noqa: FBT001 - as of `decides_by_logits`
    residuals: Residuals,
    classes: Classes,
    clusters: Clusters,
    noun: str,
    seed: int,
) -> tuple[CalibrationChoice, Any]:
    """Return the choice, with probabilities in the order of the labels, and the classifier."""
    actual, predicted = residuals.actual, residuals.predicted
    known = [classes.codes[str(label)] for label in fitted.classes_.tolist()]
    if decides is None or len(known) < len(classes.labels):
        reason = (
            "its decision function is not the logit of its probabilities"
            if decides is None
            else f"it has learned {len(known)} of {len(classes.labels)} classes"
        )
        before = reliability(actual, predicted, seed=seed)
        unchanged = CalibrationChoice(
            method="none",
            reason=f"the probabilities are not mended: {reason}",
            error_before=before.error,
            error_after=before.error,
            by_chance=before.by_chance,
            predicted=predicted,
        )
        return unchanged, fitted
    # The classifier has its labels in their natural order; the positive one may be its first.
    places = np.argsort(known)[actual.astype(np.int64)].astype(np.float64)
    own = 1 - predicted if known == [1, 0] else predicted
    if predicted.ndim > 1:
        own = predicted[:, known]
    choice = choose_calibration(places, own, clusters, decides=decides, noun=noun, seed=seed)
    columns = choice.predicted
    if columns.ndim == 1:
        columns = np.stack([1 - columns, columns], axis=1)
    ordered = replace(choice, predicted=in_label_order(columns, fitted.classes_, classes))
    if choice.method == "none":
        return ordered, fitted
    return ordered, around(fit_map(choice.method, places, own, decides=decides), fitted)


def clusters_of_residuals(
    residuals: Residuals, training_set: TrainingSet, layout: Layout
) -> Clusters:
    """Return the clusters of the rows of residuals, as far as their raw columns are kept."""
    rows: pd.DataFrame | None = training_set.validation_rows
    if residuals.part == "calibration":
        rows = training_set.calibration_rows
    if residuals.part == "folds":
        parts = [fold.validation_rows for fold in training_set.folds[layout]]
        kept = [part for part in parts if part is not None]
        rows = pd.concat(kept, ignore_index=True) if kept else None
    if rows is not None and len(rows) == len(residuals.actual):
        return clusters_of(rows, training_set.dataset)
    return clusters_by_day(residuals.times, len(residuals.actual))


def _with_last(model: Pipeline, estimator: Any) -> Pipeline:  # noqa: ANN401 - as above
    return Pipeline([*model.steps[:-1], (model.steps[-1][0], estimator)])


def _two_rows(example: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - sparse or dense
    """Return two rows with as many columns as an example has."""
    return np.zeros((2, example.shape[1]))

"""Calibrated probabilities: a map from those of a classifier to ones that hold, where needed.

The map is fitted on predictions of rows that the classifier has not learned from, and only where a
cross-validation over stretches of time, or over whole groups, shows that the log loss falls by more
than noise. It is stored as data of scikit-learn's: a `CalibratedClassifierCV` around the fitted
classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from model_loop.models.class_metrics import log_losses
from model_loop.models.classification.clusters import Clusters, Codes, Numbers, chance_below
from model_loop.models.classification.decision import Method
from model_loop.models.classification.reliability import reliability

#: Stretches of the cross-validation.
_FOLDS = 5
#: Rows of the rarest class from which on a sigmoid or a temperature is fitted, rows and rows of the
#: rarest class from which on a step function is.
LEAST_OF_CLASS = 30
ISOTONIC_ROWS, _ISOTONIC_OF_CLASS = 1_000, 100
#: Probability that a map is chosen which does not lower the log loss.
_CHANCE = 0.05
#: Least decrease of the log loss that is worth a map, as a share of it.
_WORTH = 0.001
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class CalibrationChoice:
    """Decision on how probabilities are mended.

    Parameters
    ----------
    method
        The map; ``none`` where none lowers the log loss by more than noise.
    reason
        The reason for people.
    error_before, error_after
        Expected calibration error without and with the map, each row mapped by a map that was
        fitted without its stretch.
    by_chance
        The error that perfect probabilities would show.
    predicted
        The probabilities so mapped, of the shape of those that were given.
    """

    method: Method
    reason: str
    error_before: float
    error_after: float
    by_chance: float
    predicted: Numbers


def choose_calibration(
    actual: Numbers,
    predicted: Numbers,
    clusters: Clusters,
    *,
    decides: bool,
    noun: str = "rows",
    seed: int = 42,
) -> CalibrationChoice:
    """Choose the map of probabilities, if any is needed.

    Parameters
    ----------
    actual, predicted
        Codes of the true classes, shape (rows,), and probabilities of rows that the classifier has
        not learned from: of the positive class, or of each class.
    clusters
        Clusters of the rows.
    decides
        Whether the classifier has a `decision_function`, which calibration then starts from.
    noun
        Word for rows.
    """
    before = reliability(actual, predicted, seed=seed)
    counts = np.bincount(actual.astype(np.int64), minlength=_classes(predicted))

    def unchanged(reason: str) -> CalibrationChoice:
        error, chance = before.error, before.by_chance
        return CalibrationChoice("none", reason, error, error, chance, predicted)

    if counts.min() < LEAST_OF_CLASS or clusters.number < _FOLDS:
        return unchanged(
            f"{counts.min():,} {noun} of the rarest class are too few to mend probabilities by: "
            f"{LEAST_OF_CLASS} are needed"
        )
    losses, folds = log_losses(actual, predicted), clusters.folds(_FOLDS, seed)
    best, gained, mapped = None, _WORTH * losses.mean(), predicted
    for method in _methods(counts, predicted):
        values = _cross_fitted(method, actual, predicted, folds, decides=decides)
        if values is None:
            continue
        gains = losses - log_losses(actual, values)
        if gains.mean() > gained and chance_below(-gains, clusters.codes) < _CHANCE:
            best, gained, mapped = method, float(gains.mean()), values
    if best is None:
        return unchanged(
            f"no map of the probabilities lowers their log loss of {losses.mean():.4g} by more "
            f"than noise"
        )
    after = reliability(actual, mapped, seed=seed)
    reason = (
        f"{best} calibration lowers the log loss of {len(actual):,} {noun} from "
        f"{losses.mean():.4g} to {losses.mean() - gained:.4g} in cross-validation"
    )
    return CalibrationChoice(best, reason, before.error, after.error, before.by_chance, mapped)


def fit_map(
    method: Method, actual: Numbers, predicted: Numbers, *, decides: bool
) -> CalibratedClassifierCV:
    """Fit a map of probabilities: a calibrated classifier that takes `scores_of` probabilities.

    Parameters
    ----------
    actual, predicted
        Codes and probabilities; of two classes, the second is the one whose probability is given.
    """
    scores, codes = scores_of(predicted, decides=decides), actual.astype(np.int64)
    if method == "isotonic":
        # A step at 0 or 1 would claim what no number of rows shows: one more row of the other class
        # at each end keeps it off (Laplace's rule).
        ends = [int(predicted.argmin()), int(predicted.argmax())]
        scores, codes = np.concatenate([scores, scores[ends]]), np.append(codes, [1, 0])
    given = _Decided() if decides else _Given()
    given.classes_ = np.arange(_classes(predicted))
    mapped = CalibratedClassifierCV(FrozenEstimator(given), method=method, ensemble=False)
    return mapped.fit(scores, codes)


def apply_map(mapped: CalibratedClassifierCV, predicted: Numbers, *, decides: bool) -> Numbers:
    """Map probabilities of the shape (rows,) or (rows, classes)."""
    columns: Numbers = mapped.predict_proba(scores_of(predicted, decides=decides))
    return columns[:, 1] if predicted.ndim == 1 else columns


def around(mapped: CalibratedClassifierCV, classifier: Any) -> CalibratedClassifierCV:  # noqa: ANN401 - any of scikit-learn's
    """Put a fitted classifier in the place of the scores that a map was fitted on."""
    frozen, classes = FrozenEstimator(classifier), np.asarray(classifier.classes_)
    couple = mapped.calibrated_classifiers_[0]
    couple.estimator, couple.classes = frozen, classes
    mapped.estimator, mapped.classes_ = frozen, classes
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(classifier, name):
            setattr(mapped, name, getattr(classifier, name))
    return mapped


def decides_by_logits(classifier: Any, example: Any) -> bool | None:  # noqa: ANN401 - as above
    """Return whether a classifier decides by the logits of its probabilities.

    Returns
    -------
    bool or None
        False of a classifier without a `decision_function`; None of one that has another, whose
        values may be mistaken for probabilities.
    """
    if not hasattr(classifier, "decision_function"):
        return False
    columns = np.asarray(classifier.predict_proba(example), dtype=np.float64)
    predicted = columns[:, 1] if columns.shape[1] == 2 else columns  # noqa: PLR2004 - two classes
    logits = scores_of(predicted, decides=True)
    decided = np.asarray(classifier.decision_function(example), dtype=np.float64)
    if decided.ndim > 1:
        # Adding a number to all logits of a row leaves its probabilities as they are.
        decided = decided - decided.mean(axis=1, keepdims=True)
        logits = logits - logits.mean(axis=1, keepdims=True)
    return True if np.allclose(logits.squeeze(), decided.squeeze(), rtol=1e-3, atol=1e-3) else None


def scores_of(predicted: Numbers, *, decides: bool) -> Numbers:
    """Return the scores that a calibrator starts from: logits, or the probabilities themselves.

    Parameters
    ----------
    predicted
        Probabilities of the second of two classes, shape (rows,), or of each class.

    Returns
    -------
    numpy.ndarray
        Shape (rows, classes); logits of two classes (rows, 1).
    """
    if predicted.ndim == 1:
        if not decides:
            return np.stack([1 - predicted, predicted], axis=1)
        chances = np.clip(predicted, _EPSILON, 1 - _EPSILON)
        return np.log(chances / (1 - chances))[:, None]
    return np.log(np.clip(predicted, _EPSILON, 1.0)) if decides else predicted


class _ScoresAsAnswers(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classifier whose rows are its answers already."""

    classes_: npt.NDArray[np.int64]

    def fit(self, X: Numbers, y: Codes) -> Self:  # noqa: ARG002 - scikit-learn's interface
        return self

    def predict(self, X: Numbers) -> Numbers:
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _Given(_ScoresAsAnswers):
    def predict_proba(self, X: Numbers) -> Numbers:
        return X


class _Decided(_ScoresAsAnswers):
    def decision_function(self, X: Numbers) -> Numbers:
        return X[:, 0] if X.shape[1] == 1 else X


def _classes(predicted: Numbers) -> int:
    return 2 if predicted.ndim == 1 else predicted.shape[1]


def _methods(counts: Codes, predicted: Numbers) -> Iterator[Method]:
    if predicted.ndim > 1:
        yield "temperature"
        return
    yield "sigmoid"
    if counts.sum() >= ISOTONIC_ROWS and counts.min() >= _ISOTONIC_OF_CLASS:
        yield "isotonic"


def _cross_fitted(
    method: Method, actual: Numbers, predicted: Numbers, folds: Codes, *, decides: bool
) -> Numbers | None:
    """Map each stretch by a map of the others; None where one of them lacks a class."""
    mapped = np.empty_like(predicted)
    for fold in range(_FOLDS):
        inside = folds == fold
        others = actual[~inside]
        if np.bincount(others.astype(np.int64), minlength=_classes(predicted)).min() < _FOLDS:
            return None
        fitted = fit_map(method, others, predicted[~inside], decides=decides)
        if inside.any():
            mapped[inside] = apply_map(fitted, predicted[inside], decides=decides)
    return mapped

"""Metrics of predicted classes and their probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from model_loop.datasets.classes import HALF, TWO
from model_loop.training_set.matrices import Targets

#: Least probability that a log loss counts with, as scikit-learn has it.
_LEAST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of predicted classes.

    Those of several classes are means over the classes with the same weight of each (macro):
    precision, recall, F1, and average precision and ROC AUC of each class against the rest. A
    metric is NaN if a class that it needs is not among the rows.

    Parameters
    ----------
    log_loss
        Mean of less the logarithm of the probability of the true class.
    average_precision
        Area below the curve of precision by recall, as the sum of its steps.
    roc_auc
        Share of pairs of a positive and another row that the probabilities put in order.
    brier
        Mean squared difference of probabilities and outcomes; of several classes, summed over them.
    accuracy, balanced_accuracy
        Share of rows with the right class; mean of the shares of each class.
    precision, recall, f1
        Share of the answers that are right, share of the rows that are found, and their harmonic
        mean: of the positive class, at the threshold.
    mcc
        Matthews correlation coefficient.
    """

    log_loss: float
    average_precision: float
    roc_auc: float
    brier: float
    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    mcc: float

    def named(self, part: str) -> dict[str, float]:
        """Return the metrics by their tracked names: ``validation_log_loss`` and so on."""
        return {f"{part}_{name}": value for name, value in asdict(self).items()}


def log_losses(actual: Targets, predicted: Targets) -> Targets:
    """Return the log loss of each row, shape (rows,).

    Parameters
    ----------
    actual
        Codes of the true classes, shape (rows,).
    predicted
        Probabilities of the positive class, shape (rows,), or of each class, (rows, classes).
    """
    codes = np.asarray(actual).astype(np.int64)
    if predicted.ndim == 1:
        likely = np.where(codes == 1, predicted, 1.0 - predicted)
    else:
        likely = predicted[np.arange(len(codes)), codes]
    losses: Targets = -np.log(np.clip(likely, _LEAST, 1.0))
    return losses


def decide(predicted: Targets, threshold: float = HALF) -> npt.NDArray[np.int64]:
    """Return the code of each row's class, shape (rows,): the likeliest of several.

    Parameters
    ----------
    threshold
        Probability from which a row is of the positive class; of two classes alone.
    """
    if predicted.ndim == 1:
        return (predicted >= threshold).astype(np.int64)
    return np.asarray(predicted.argmax(axis=1), dtype=np.int64)


def measure_classes(
    actual: Targets, predicted: npt.ArrayLike, threshold: float = HALF
) -> ClassMetrics:
    """Compare predicted probabilities with true classes.

    Parameters
    ----------
    actual
        Codes of the true classes, shape (rows,).
    predicted
        Probabilities of the positive class, shape (rows,), or of each class, (rows, classes).
    threshold
        Probability from which a row is of the positive class.

    Raises
    ------
    ValueError
        If a probability is not between 0 and 1.
    """
    probabilities = np.asarray(predicted, dtype=np.float64)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        msg = "A predicted probability is not between 0 and 1"
        raise ValueError(msg)
    codes = np.asarray(actual).astype(np.int64)
    decided, binary = decide(probabilities, threshold), probabilities.ndim == 1
    number = TWO if binary else probabilities.shape[1]
    precision, recall, f1, _ = precision_recall_fscore_support(
        codes,
        decided,
        labels=[1] if binary else [*range(number)],
        average="macro",
        zero_division=0.0,
    )
    each = probabilities[:, np.newaxis] if binary else probabilities
    outcomes = codes[:, np.newaxis] == ([1] if binary else [*range(number)])
    return ClassMetrics(
        log_loss=float(log_losses(actual, probabilities).mean()),
        average_precision=_mean_over(average_precision_score, outcomes, each),
        roc_auc=_mean_over(roc_auc_score, outcomes, each),
        brier=float(np.square(each - outcomes).sum(axis=1).mean()),
        accuracy=float((decided == codes).mean()),
        balanced_accuracy=_balanced(codes, decided),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        mcc=float(matthews_corrcoef(codes, decided)),
    )


def _balanced(codes: npt.NDArray[np.int64], decided: npt.NDArray[np.int64]) -> float:
    """Return the mean recall of the classes that the rows have."""
    there = np.isin(decided, np.unique(codes))
    # scikit-learn warns of an answer that is no true class: it is a wrong answer like any other.
    return float(balanced_accuracy_score(codes, np.where(there, decided, codes.max() + 1)))


def _mean_over(
    score: object, outcomes: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]
) -> float:
    """Return the mean of a score of each class against the rest; NaN where a class is missing."""
    shares = outcomes.mean(axis=0)
    if ((shares == 0) | (shares == 1)).any():
        return float("nan")
    return float(
        np.mean([score(outcomes[:, k], probabilities[:, k]) for k in range(outcomes.shape[1])])  # type: ignore[operator]  # scikit-learn has no types
    )

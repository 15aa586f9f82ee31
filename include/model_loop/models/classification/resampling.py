"""Intervals of the metrics of a classifier, by resampling whole clusters (percentile bootstrap).

Each resampling draws as many clusters as there are, with replacement (Davison and Hinkley,
"Bootstrap Methods and their Application", 1997, section 3.8), so that a cluster counts several
times or not at all. The share of the classes is not held fixed: it varies from sample to sample,
and precision varies with it. Scores are sorted once for all resamplings.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.models.class_metrics import log_losses
from model_loop.models.classification.clusters import Clusters, Codes, Numbers

#: Most resamplings, the fewest, and rows that all of them draw together.
RESAMPLINGS, _FEWEST, _DRAWN = 500, 200, 10_000_000
CONFIDENCE = 0.95
#: Share of the resamplings in which a metric has to be defined.
_DEFINED = 0.95

Interval = tuple[float, float]


def metric_intervals(
    actual: Numbers,
    predicted: Numbers,
    clusters: Clusters,
    *,
    threshold: float = 0.5,
    confidence: float = CONFIDENCE,
    resamplings: int | None = None,
    seed: int = 42,
) -> dict[str, Interval]:
    """Return the interval of each class metric, by its name.

    A metric that is not defined in too many resamplings, as ROC AUC is not where no row is
    positive, has no interval.

    Parameters
    ----------
    actual
        Codes of the true classes, shape (rows,).
    predicted
        Probability of the positive class, shape (rows,), or of each class, shape (rows, classes).
    threshold
        Probability from which on a row is called positive.
    resamplings
        Number of resamplings: 500 by default, and of more than 20,000 rows fewer.
    """
    if resamplings is None:
        resamplings = max(min(RESAMPLINGS, _DRAWN // max(len(actual), 1)), _FEWEST)
    weighted, random = WeightedMetrics(actual, predicted, threshold), np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(resamplings):
        for name, value in weighted.measure(clusters.draw(random)).items():
            drawn.setdefault(name, []).append(value)
    tails = np.array([1 - confidence, 1 + confidence]) / 2
    intervals: dict[str, Interval] = {}
    for name, values in drawn.items():
        defined = np.array(values)[np.isfinite(values)]
        if len(defined) >= _DEFINED * resamplings:
            low, high = np.quantile(defined, tails)
            intervals[name] = (float(low), float(high))
    return intervals


@dataclass(frozen=True)
class WeightedMetrics:
    """Metrics of weighted rows: those of scikit-learn, with what all weights share made once.

    Parameters
    ----------
    actual, predicted, threshold
        As of `metric_intervals`.
    """

    actual: Numbers
    predicted: Numbers
    threshold: float = 0.5

    def measure(self, weights: Numbers) -> Mapping[str, float]:
        """Return each metric of rows with weights, shape (rows,); NaN where it is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ranked = np.array([ranking.measure(weights) for ranking in self._rankings])
            precision, auc = ranked.mean(axis=0)
            return {
                "log_loss": float(np.average(self._losses, weights=weights)),
                "average_precision": float(precision),
                "roc_auc": float(auc),
                "brier": float(np.average(self._squares, weights=weights)),
                **self._of_labels(weights),
            }

    @functools.cached_property
    def _codes(self) -> Codes:
        return self.actual.astype(np.int64)

    @functools.cached_property
    def _is_binary(self) -> bool:
        return self.predicted.ndim == 1

    @functools.cached_property
    def _columns(self) -> Numbers:
        """Probabilities of shape (rows, classes)."""
        if self._is_binary:
            return np.stack([1 - self.predicted, self.predicted], axis=1)
        return self.predicted

    @functools.cached_property
    def _losses(self) -> Numbers:
        return log_losses(self.actual, self.predicted)

    @functools.cached_property
    def _squares(self) -> Numbers:
        if self._is_binary:
            return np.square(self.predicted - self.actual)
        hits = np.eye(self._columns.shape[1])[self._codes]
        squares: Numbers = np.square(self._columns - hits).sum(axis=1)
        return squares

    @functools.cached_property
    def _rankings(self) -> list[_ScoreOrder]:
        """The ranking by each class's probability; of two classes, by that of the positive."""
        classes = range(1 if self._is_binary else 0, self._columns.shape[1])
        return [_ScoreOrder.of(self._codes == code, self._columns[:, code]) for code in classes]

    @functools.cached_property
    def _pairs(self) -> Codes:
        """Return the cell of each row in the confusion matrix."""
        if self._is_binary:
            called = (self.predicted >= self.threshold).astype(np.int64)
        else:
            called = self.predicted.argmax(axis=1)
        pairs: Codes = self._codes * self._columns.shape[1] + called
        return pairs

    def _of_labels(self, weights: Numbers) -> dict[str, float]:
        classes = self._columns.shape[1]
        table = np.bincount(self._pairs, weights, minlength=classes**2).reshape(classes, classes)
        hits, true, called = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        rows = table.sum()
        recalls = np.divide(hits, true, out=np.zeros(classes), where=true > 0)
        precisions = np.divide(hits, called, out=np.zeros(classes), where=called > 0)
        both = true + called
        f1 = np.divide(2 * hits, both, out=np.zeros(classes), where=both > 0)
        spread = (rows**2 - np.square(called).sum()) * (rows**2 - np.square(true).sum())
        together = hits.sum() * rows - called @ true
        chosen = slice(1, None) if self._is_binary else slice(None)
        return {
            "accuracy": float(hits.sum() / rows),
            "balanced_accuracy": float(recalls[true > 0].mean()),
            "precision": float(precisions[chosen].mean()),
            "recall": float(recalls[chosen].mean()),
            "f1": float(f1[chosen].mean()),
            "mcc": float(together / np.sqrt(spread)) if spread > 0 else 0.0,
        }


@dataclass(frozen=True)
class _ScoreOrder:
    """Rows in the order of a score, the highest first.

    Parameters
    ----------
    order
        Positions of the rows, in that order.
    starts
        Where each further score begins.
    hits
        Whether each row, in that order, is of the class.
    """

    order: Codes
    starts: Codes
    hits: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, hits: npt.NDArray[np.bool_], scores: Numbers) -> _ScoreOrder:
        order = np.argsort(-scores, kind="stable")
        starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
        return cls(order, starts, hits[order])

    def measure(self, weights: Numbers) -> tuple[float, float]:
        """Return average precision and ROC AUC."""
        ordered = weights[self.order]
        rows = np.add.reduceat(ordered, self.starts)
        hits = np.add.reduceat(ordered * self.hits, self.starts)
        above, positive = np.cumsum(rows), np.cumsum(hits)
        precisions = np.divide(positive, above, out=np.zeros(len(above)), where=above > 0)
        negative = above - positive
        pairs = np.diff(negative, prepend=0.0) * (positive - hits / 2)
        return (
            float((hits * precisions).sum() / positive[-1]),
            float(pairs.sum() / (positive[-1] * negative[-1])),
        )

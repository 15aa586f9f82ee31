"""The numbers that the figures of a classifier show, small enough to be read for every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.charts.rankings import CURVE_POINTS, Ranking
from model_loop.datasets.classes import Classes
from model_loop.models.classification.reliability import reliability

#: Thresholds of the confusion matrix: hundredths, and finer ones where a class is rare.
THRESHOLDS = (
    *(0.001, 0.002, 0.005),
    *(step / 100 for step in range(1, 100)),
    *(0.995, 0.998, 0.999),
)
#: Classes that have curves and lines of their own, the most frequent ones.
MOST_CLASSES = 12
#: Rows of the reliability diagram, at most: it draws their classes many times.
_RELIABILITY_ROWS = 50_000
#: Partitions whose classes are counted, the newest ones.
_MOST_PARTITIONS = 60
#: Points of each of many curves, at most.
_LEAST_POINTS = 100
_DIGITS = 5

_Floats = npt.NDArray[np.float64]


def class_numbers(
    actual: _Floats,
    predicted: _Floats,
    classes: Classes,
    threshold: float | None,
    partitions: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the numbers of the figures of a classifier, as plain JSON.

    Parameters
    ----------
    actual
        Codes of the classes, shape (rows,).
    predicted
        Probabilities: of the positive class, shape (rows,); of several classes, of all of them in
        the order of their labels, shape (rows, classes).
    threshold
        The one in force; None for several classes.
    partitions
        Partition of each row; empty where there is but one.
    """
    codes = actual.astype(np.int64)
    counts = np.bincount(codes, minlength=len(classes.labels))
    binary = classes.is_binary
    chances = np.column_stack([1 - predicted, predicted]) if binary else predicted
    judged = _frequent(counts) if not binary else [1]
    at = 0.5 if threshold is None else threshold
    says = (predicted >= at).astype(np.int64) if binary else chances.argmax(axis=1)
    rankings = {code: Ranking.of(codes == code, chances[:, code]) for code in judged}
    # Curves of several classes share a figure, and have to be as small together.
    most = CURVE_POINTS if binary else max(2 * CURVE_POINTS // len(judged), _LEAST_POINTS)
    return {
        "rows": len(codes),
        "classes": list(classes.texts),
        "positive": classes.texts[1] if binary else None,
        "threshold": at if binary else None,
        "costs": None if classes.cost is None else [*classes.cost],
        "counts": counts.tolist(),
        "predicted_counts": np.bincount(says, minlength=len(counts)).tolist(),
        "partitions": _by_partition(partitions, codes, says, len(counts)),
        "curves": [
            {"class": classes.texts[code], **_curves(ranking, most)}
            for code, ranking in rankings.items()
        ],
        "confusion": _by_threshold(rankings[1], at)
        if binary
        else _confusion(codes, says, len(counts)),
        "reliability": _reliability(actual, predicted, classes, judged),
    }


def _reliability(
    actual: _Floats, predicted: _Floats, classes: Classes, judged: Sequence[int]
) -> dict[str, Any]:
    """Return the reliability of some of the rows, evenly chosen where there are many."""
    rows = np.linspace(0, len(actual) - 1, min(len(actual), _RELIABILITY_ROWS)).astype(np.int64)
    measured = reliability(actual[rows], predicted[rows])
    curve = measured.curve[measured.curve.code.isin(judged)]
    return {
        "error": round(measured.error, _DIGITS),
        "by_chance": round(measured.by_chance, _DIGITS),
        "bins": [
            {
                "class": classes.texts[each["code"]],
                "rows": int(each["rows"]),
                **{
                    name: round(float(each[name]), _DIGITS)
                    for name in ("predicted", "observed", "low", "high")
                },
            }
            for each in curve.to_dict(orient="records")
        ],
    }


def _by_partition(
    partitions: Sequence[str],
    codes: npt.NDArray[np.int64],
    says: npt.NDArray[np.int64],
    classes: int,
) -> list[dict[str, Any]]:
    """Count the actual and the predicted classes of each partition, in their order."""
    keys, places = np.unique(np.asarray(partitions, dtype=str), return_inverse=True)
    return [
        {
            "partition": str(key),
            "actual": np.bincount(codes[places == place], minlength=classes).tolist(),
            "predicted": np.bincount(says[places == place], minlength=classes).tolist(),
        }
        for place, key in enumerate(keys[-_MOST_PARTITIONS:], max(len(keys) - _MOST_PARTITIONS, 0))
    ]


def _frequent(counts: npt.NDArray[np.int64]) -> Sequence[int]:
    """Return the codes of the most frequent classes, in the order of their labels."""
    most = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    return sorted(int(code) for code in most)


def _curves(ranking: Ranking, most: int) -> dict[str, Any]:
    counts = {"positives": ranking.positives, "negatives": ranking.negatives}
    if not ranking.is_mixed:
        return counts
    return {
        **counts,
        "area": round(ranking.area(), _DIGITS),
        "average_precision": round(ranking.average_precision(), _DIGITS),
        "roc": _points(*ranking.roc(most)),
        "precision_recall": _points(*ranking.precision_recall(most)),
        "gains": _points(*ranking.gains(most)),
    }


def _points(x: _Floats, y: _Floats) -> list[list[float]]:
    return [x.round(_DIGITS).tolist(), y.round(_DIGITS).tolist()]


def _by_threshold(ranking: Ranking, threshold: float) -> dict[str, Any]:
    thresholds = np.union1d(THRESHOLDS, [threshold])
    return {
        "thresholds": thresholds.tolist(),
        "in_force": int(np.searchsorted(thresholds, threshold)),
        "counts": ranking.confusion(thresholds).tolist(),
    }


def _confusion(
    codes: npt.NDArray[np.int64], says: npt.NDArray[np.int64], classes: int
) -> dict[str, Any]:
    """Count the rows by actual class, row by row, and predicted class."""
    cells = np.bincount(codes * classes + says, minlength=classes * classes)
    return {"counts": cells.reshape(classes, classes).tolist()}

"""Metrics of resampled rows are scikit-learn's, and their intervals hold."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from model_loop.models.classification.clusters import Clusters, Numbers, clusters_by_day
from model_loop.models.classification.resampling import WeightedMetrics, metric_intervals

DAY = 86_400.0


def binary(rows: int, seed: int = 0, share: float = 0.3) -> tuple[Numbers, Numbers]:
    """Draw classes and probabilities of two digits, many of them alike."""
    random = np.random.default_rng(seed)
    predicted = np.round(random.beta(2 * share, 2 * (1 - share), rows), 2)
    return (random.random(rows) < predicted).astype(np.float64), predicted


def several(rows: int, classes: int = 3, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Draw classes and their probabilities."""
    random = np.random.default_rng(seed)
    predicted = random.dirichlet(np.arange(1, classes + 1), rows)
    actual = [random.choice(classes, p=row) for row in predicted]
    return np.array(actual, dtype=np.float64), predicted


def of_sklearn(
    actual: Numbers, predicted: Numbers, weights: Numbers, threshold: float
) -> dict[str, float]:
    """Measure by scikit-learn."""
    weighted = {"sample_weight": weights}
    if predicted.ndim == 1:
        called, average = (predicted >= threshold).astype(float), {}
        ranked = {
            "average_precision": metrics.average_precision_score(actual, predicted, **weighted),
            "roc_auc": metrics.roc_auc_score(actual, predicted, **weighted),
        }
        brier = metrics.brier_score_loss(actual, predicted, **weighted)
    else:
        called, average = predicted.argmax(axis=1).astype(float), {"average": "macro"}
        hits = np.eye(predicted.shape[1])[actual.astype(int)]
        ranked = {
            "average_precision": metrics.average_precision_score(hits, predicted, **weighted),
            "roc_auc": metrics.roc_auc_score(
                actual, predicted, multi_class="ovr", average="macro", **weighted
            ),
        }
        brier = float(np.average(np.square(predicted - hits).sum(axis=1), weights=weights))
    labels = (actual, called)
    return {
        "log_loss": metrics.log_loss(actual, predicted, **weighted),
        **ranked,
        "brier": brier,
        "accuracy": metrics.accuracy_score(*labels, **weighted),
        "balanced_accuracy": metrics.balanced_accuracy_score(*labels, **weighted),
        "precision": metrics.precision_score(*labels, zero_division=0, **average, **weighted),
        "recall": metrics.recall_score(*labels, zero_division=0, **average, **weighted),
        "f1": metrics.f1_score(*labels, zero_division=0, **average, **weighted),
        "mcc": metrics.matthews_corrcoef(*labels, **weighted),
    }


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.1])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_two_classes_are_those_of_scikit_learn(seed: int, threshold: float) -> None:
    """Rows weigh as often as they were drawn; at some thresholds every row is called alike."""
    actual, predicted = binary(400, seed)
    weights = np.random.default_rng(seed).integers(0, 4, 400).astype(np.float64)
    found = WeightedMetrics(actual, predicted, threshold).measure(weights)
    assert found == pytest.approx(of_sklearn(actual, predicted, weights, threshold))


@pytest.mark.parametrize("classes", [3, 5])
def test_metrics_of_several_classes_are_those_of_scikit_learn(classes: int) -> None:
    """Averages over the classes are plain."""
    actual, predicted = several(500, classes)
    weights = np.random.default_rng(1).integers(0, 4, 500).astype(np.float64)
    with warnings.catch_warnings():
        # Its check that probabilities add up to 1 is one of rounding.
        warnings.simplefilter("ignore", UserWarning)
        expected = of_sklearn(actual, predicted, weights, 0.5)
    assert WeightedMetrics(actual, predicted).measure(weights) == pytest.approx(expected)


def test_intervals_hold_the_value_and_are_the_same_again() -> None:
    """Each metric lies in its interval; a seed gives the same interval, another one another."""
    actual, predicted = binary(600)
    clusters = Clusters.of_rows(600)
    intervals = metric_intervals(actual, predicted, clusters, resamplings=200)
    values = WeightedMetrics(actual, predicted).measure(np.ones(600))
    assert intervals.keys() == values.keys()
    assert all(low < values[name] < high for name, (low, high) in intervals.items())
    assert intervals == metric_intervals(actual, predicted, clusters, resamplings=200)
    assert intervals != metric_intervals(actual, predicted, clusters, resamplings=200, seed=1)


def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    """Of 100 samples about 95 % of the intervals of the log loss hold the true log loss."""
    _, probabilities = binary(100_000)
    chances = np.clip(probabilities, 1e-9, 1 - 1e-9)
    true = -float(np.mean(chances * np.log(chances) + (1 - chances) * np.log(1 - chances)))
    held = 0
    for seed in range(100):
        actual, predicted = binary(300, seed)
        intervals = metric_intervals(actual, predicted, Clusters.of_rows(300), resamplings=200)
        low, high = intervals["log_loss"]
        held += low <= true <= high
    assert 0.88 <= held / 100 <= 0.99


def test_whole_clusters_are_resampled() -> None:
    """Rows that come ten times make no interval narrower where their groups are known."""
    actual, predicted = binary(200)
    repeated = np.repeat(actual, 10), np.repeat(predicted, 10)
    groups = Clusters("groups", np.repeat(np.arange(200), 10))

    def width(actual: Numbers, predicted: Numbers, clusters: Clusters) -> float:
        low, high = metric_intervals(actual, predicted, clusters)["log_loss"]
        return high - low

    once = width(actual, predicted, Clusters.of_rows(200))
    assert width(*repeated, groups) == pytest.approx(once, rel=1e-9)
    assert width(*repeated, Clusters.of_rows(2_000)) < once / 2


def test_a_metric_that_is_seldom_defined_has_no_interval() -> None:
    """With two positive rows, one resampling in seven has none: there is no ROC AUC."""
    predicted = np.linspace(0, 1, 100)
    actual = (predicted > 0.985).astype(np.float64)
    intervals = metric_intervals(actual, predicted, Clusters.of_rows(100))
    assert "roc_auc" not in intervals
    assert "log_loss" in intervals


def test_days_are_clusters_where_there_are_enough() -> None:
    """Two weeks are; of fewer days, and without times, rows are resampled."""
    times = np.arange(0, 14 * DAY, DAY / 4)
    assert clusters_by_day(times, len(times)).kind == "days"
    assert clusters_by_day(times, len(times)).number == 14
    assert clusters_by_day(times[:-4], len(times) - 4).kind == "rows"
    assert clusters_by_day(None, 9).number == 9


@pytest.mark.parametrize("kind", ["days", "groups"])
def test_a_cluster_lies_in_a_single_fold(kind: str) -> None:
    """Folds of days are stretches of them; all folds are of about the same size."""
    codes = np.sort(np.random.default_rng(0).integers(0, 60, 6_000))
    folds = Clusters(kind, codes).folds(5, seed=0)  # type: ignore[arg-type]  # one of its kinds
    assert all(len(set(folds[codes == code])) == 1 for code in range(60))
    assert np.bincount(folds).tolist() == pytest.approx([1_200] * 5, rel=0.2)
    assert bool((np.diff(folds) >= 0).all()) == (kind == "days")

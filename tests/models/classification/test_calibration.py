"""Probabilities are mended where that helps, and stored as scikit-learn's own objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier

from model_loop.models.class_metrics import log_losses
from model_loop.models.classification import calibration
from model_loop.models.classification.calibration import (
    apply_map,
    around,
    choose_calibration,
    decides_by_logits,
    fit_map,
)
from model_loop.models.classification.clusters import Clusters, Numbers
from model_loop.models.classification.decision import Method
from model_loop.objects.trust import dump_estimator, load_estimator

CLASSIFIERS = {
    "forest": RandomForestClassifier(20, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "line": LogisticRegression(),
}


def rows_of(classes: int, labels: tuple[Any, ...]) -> tuple[Numbers, Any]:
    """Make rows of several classes."""
    X, y = make_classification(
        600, n_informative=5, n_classes=classes, n_clusters_per_class=1, random_state=0
    )
    return X, np.array(labels)[y]


def drawn(rows: int, temperature: float, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Draw classes, and probabilities whose logits are too large by a factor."""
    random = np.random.default_rng(seed)
    chances = expit(random.normal(-1, 1.2, rows))
    return (random.random(rows) < chances).astype(np.float64), expit(temperature * logit(chances))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_the_mended_classifier_maps_its_own_probabilities(classifier: str, method: Method) -> None:
    """It answers as the map of its probabilities; stored by skops it answers the same."""
    X, y = rows_of(2, ("no", "yes"))
    fitted = CLASSIFIERS[classifier].fit(X[:300], y[:300])
    predicted = fitted.predict_proba(X[300:])[:, 1]
    decides = decides_by_logits(fitted, X[:50])
    assert decides is (classifier != "forest")
    mapped = fit_map(method, (y[300:] == "yes").astype(float), predicted, decides=decides)
    expected = apply_map(mapped, predicted, decides=decides)
    assert np.abs(expected - predicted).max() > 0.01
    mended = around(mapped, fitted)
    np.testing.assert_allclose(mended.predict_proba(X[300:])[:, 1], expected, atol=1e-9)
    assert mended.classes_.tolist() == ["no", "yes"]
    whole = FixedThresholdClassifier(
        FrozenEstimator(mended), threshold=0.3, pos_label="yes", response_method="predict_proba"
    ).fit(X, y)
    again = load_estimator(dump_estimator(whole))
    np.testing.assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
    called = np.where(whole.predict_proba(X)[:, 1] >= 0.3, "yes", "no")
    np.testing.assert_array_equal(again.predict(X), called)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_several_classes_get_a_temperature(classifier: str) -> None:
    """Their order by probability stays as it is."""
    X, y = rows_of(3, (1, 5, 7))
    fitted = CLASSIFIERS[classifier].fit(X[:300], y[:300])
    predicted = fitted.predict_proba(X[300:])
    decides = decides_by_logits(fitted, X[:50])
    assert decides is (classifier != "forest")
    codes = np.searchsorted([1, 5, 7], y[300:]).astype(float)
    mapped = fit_map("temperature", codes, predicted, decides=decides)
    expected = apply_map(mapped, predicted, decides=decides)
    again = load_estimator(dump_estimator(around(mapped, fitted)))
    np.testing.assert_allclose(again.predict_proba(X[300:]), expected, atol=1e-9)
    np.testing.assert_array_equal(again.predict(X[300:]), fitted.predict(X[300:]))


def test_what_is_stored_needs_none_of_this_package(tmp_path: Path) -> None:
    """Scikit-learn and skops alone load a mended classifier."""
    X, y = rows_of(2, (0, 1))
    fitted = CLASSIFIERS["line"].fit(X, y)
    mapped = fit_map("isotonic", y.astype(float), fitted.predict_proba(X)[:, 1], decides=True)
    stored = tmp_path / "mended.skops"
    stored.write_bytes(dump_estimator(around(mapped, fitted)))
    script = (
        "import sys, skops.io\n"
        "names = skops.io.get_untrusted_types(file=sys.argv[1])\n"
        "model = skops.io.load(sys.argv[1], trusted=names)\n"
        "assert not any(name.startswith('model_loop') for name in [*names, *sys.modules])\n"
        "assert model.predict_proba([[0.0] * 20]).shape == (1, 2)\n"
    )
    subprocess.run([sys.executable, "-c", script, stored], check=True)


def test_a_step_function_is_never_sure() -> None:
    """Rows that are told apart perfectly are no certainty."""
    predicted = np.linspace(0.01, 0.99, 400)
    actual = (predicted > 0.5).astype(np.float64)
    mapped = fit_map("isotonic", actual, predicted, decides=False)
    ends = apply_map(mapped, np.array([0.0, 1.0]), decides=False)
    assert 0 < ends[0] < 0.02
    assert 0.98 < ends[1] < 1


def test_probabilities_that_hold_are_left_alone() -> None:
    """Of 10 samples a map is chosen in hardly any."""
    methods = []
    for seed in range(10):
        actual, predicted = drawn(1_000, 1.0, seed)
        choice = choose_calibration(actual, predicted, Clusters.of_rows(1_000), decides=True)
        methods.append(choice.method)
        if choice.method == "none":
            assert choice.predicted is predicted
            assert choice.error_after == choice.error_before
    assert methods.count("none") >= 9


@pytest.mark.parametrize("decides", [True, False])
def test_probabilities_that_are_too_sure_are_mended(decides: bool) -> None:  # noqa: FBT001 - a case
    """The log loss and the calibration error fall, on rows that the map was not fitted on."""
    actual, predicted = drawn(3_000, 3.0)
    choice = choose_calibration(actual, predicted, Clusters.of_rows(3_000), decides=decides)
    assert choice.method in {"sigmoid", "isotonic"}
    assert choice.error_after < choice.error_before / 3
    assert log_losses(actual, choice.predicted).mean() < log_losses(actual, predicted).mean()
    assert choice.method in choice.reason


def test_several_classes_that_are_too_sure_are_mended() -> None:
    """A temperature of 3 is undone."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (2_000, 3))
    chances = softmax(logits, axis=1)
    actual = (random.random((2_000, 1)) > chances.cumsum(axis=1)).sum(axis=1).astype(np.float64)
    sure = softmax(3 * logits, axis=1)
    choice = choose_calibration(actual, sure, Clusters.of_rows(2_000), decides=False)
    assert choice.method == "temperature"
    np.testing.assert_allclose(choice.predicted, chances, atol=0.05)


def test_groups_that_come_often_are_no_evidence() -> None:
    """An improvement of a few groups, each repeated, is noise where the groups are known."""
    actual, predicted = drawn(150, 1.35, seed=3)
    many = np.repeat(actual, 40), np.repeat(predicted, 40)
    clusters = Clusters("groups", np.repeat(np.arange(150), 40))
    assert choose_calibration(*many, clusters, decides=True).method == "none"
    assert choose_calibration(*many, Clusters.of_rows(6_000), decides=True).method != "none"


def test_a_gain_that_noise_explains_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log loss falls in cross-validation, and by no more than the rows of a sample vary."""
    actual, predicted = drawn(400, 1.3, seed=1)
    clusters = Clusters.of_rows(400)
    assert choose_calibration(actual, predicted, clusters, decides=True).method == "none"
    monkeypatch.setattr(calibration, "_CHANCE", 1.1)
    assert choose_calibration(actual, predicted, clusters, decides=True).method == "sigmoid"


def test_few_positive_rows_mend_nothing() -> None:
    """The number that is needed is said."""
    predicted = np.full(2_000, 0.5)
    actual = np.zeros(2_000)
    actual[:29] = 1
    choice = choose_calibration(actual, predicted, Clusters.of_rows(2_000), decides=False)
    assert choice.method == "none"
    assert "29 rows of the rarest class" in choice.reason
    assert "30 are needed" in choice.reason


def test_a_decision_function_of_its_own_is_seen() -> None:
    """Its values cannot be told from the probabilities, so that no map may start from them."""
    X, y = rows_of(2, (0, 1))
    other = SGDClassifier(loss="modified_huber", random_state=0).fit(X, y)
    assert decides_by_logits(other, X[:50]) is None

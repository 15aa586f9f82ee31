"""Calibration errors say more than chance does, also where hardly any row is positive."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from model_loop.models.classification.reliability import reliability


def test_the_curve_is_that_of_scikit_learn() -> None:
    """Bins hold equally many rows."""
    random = np.random.default_rng(0)
    predicted = random.random(2_000)
    actual = (random.random(2_000) < predicted**2).astype(np.float64)
    curve = reliability(actual, predicted).curve
    observed, means = calibration_curve(actual, predicted, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.predicted, means)
    assert curve.rows.tolist() == [200] * 10


def test_probabilities_that_are_too_high_are_wrong_by_more_than_chance() -> None:
    """The excess is about the distance, and perfect probabilities never show so much."""
    random = np.random.default_rng(1)
    chances = random.uniform(0.1, 0.4, 3_000)
    actual = (random.random(3_000) < chances).astype(np.float64)
    wrong = reliability(actual, chances + 0.1)
    assert wrong.excess == pytest.approx(0.1, abs=0.02)
    assert wrong.chance < 0.01
    outside = (wrong.curve.observed < wrong.curve.low) | (wrong.curve.observed > wrong.curve.high)
    assert outside.mean() > 0.8


def test_few_positive_rows_are_no_calibration_error() -> None:
    """Of 1 % positives the plain error of perfect probabilities is half their mean; excess is none.

    A normal approximation of shares is broken here: most bins hold no positive row at all.
    """
    plain, beyond, chances = [], [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        predicted = random.beta(0.5, 49.5, 1_000)
        found = reliability((random.random(1_000) < predicted).astype(np.float64), predicted)
        plain.append(found.error)
        beyond.append(found.error - found.by_chance)
        chances.append(found.chance)
    assert np.mean(plain) > 0.003
    assert abs(np.mean(beyond)) < 0.0005
    assert np.mean(np.array(chances) < 0.05) <= 0.15


def test_every_class_of_several_counts() -> None:
    """Classes that are confused with each other show in their own curves."""
    random = np.random.default_rng(2)
    predicted = random.dirichlet([2, 2, 2], 3_000)
    right = (random.random((3_000, 1)) > predicted.cumsum(axis=1)).sum(axis=1).astype(np.float64)
    assert reliability(right, predicted).excess < 0.01
    swapped = reliability(right, predicted[:, [0, 2, 1]])
    assert swapped.excess > 0.05
    by_class = swapped.curve.groupby("code")[["observed", "predicted"]].apply(
        lambda bins: (bins.observed - bins.predicted).abs().mean()
    )
    assert by_class[0] < 0.05 < by_class[1:].min()


def test_few_rows_have_a_single_bin() -> None:
    """Of 20 rows there is a share, and of a constant probability as well."""
    assert len(reliability(np.zeros(20), np.full(20, 0.5)).curve) == 1
    assert len(reliability(np.zeros(2_000), np.full(2_000, 0.5)).curve) == 1

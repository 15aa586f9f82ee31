"""Thresholds are declared, follow from costs, or are chosen by F1."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from model_loop.models.classification.thresholds import best_f1, choose_threshold, cost_of

RANDOM = np.random.default_rng(0)
PREDICTED = np.round(RANDOM.beta(1, 4, 800), 2)
ACTUAL = (RANDOM.random(800) < PREDICTED).astype(np.float64)


def test_what_is_declared_goes_first() -> None:
    """A threshold that the dataset states stands before its costs, and these before validation."""
    stated = choose_threshold(ACTUAL, PREDICTED, declared=0.7, cost=(1, 5))
    assert (stated.value, stated.origin) == (0.7, "declared")
    assert choose_threshold(ACTUAL, PREDICTED, cost=(1, 5)).origin == "cost"
    assert choose_threshold(ACTUAL, PREDICTED).origin == "validation"


def test_the_threshold_of_a_cost_is_the_cheapest() -> None:
    """No other threshold costs less on many rows whose probabilities hold."""
    random = np.random.default_rng(1)
    predicted = random.random(200_000)
    actual = (random.random(200_000) < predicted).astype(np.float64)
    chosen = choose_threshold(actual, predicted, cost=(1, 4))
    assert chosen.value == pytest.approx(0.2)
    assert "costs 1" in chosen.reason
    assert "miss 4" in chosen.reason
    grid = np.linspace(0.02, 0.98, 49)
    costs = [cost_of(actual, predicted, threshold, (1, 4)).mean() for threshold in grid]
    assert grid[int(np.argmin(costs))] == pytest.approx(0.2, abs=0.03)


def test_a_false_alarm_and_a_miss_cost_what_they_are_said_to() -> None:
    """Right calls cost nothing; a probability at the threshold is an alarm."""
    costs = cost_of(np.array([0, 0, 1, 1.0]), np.array([0.4, 0.5, 0.5, 0.4]), 0.5, (2, 7))
    assert costs.tolist() == [0, 2, 0, 7]


def test_validation_has_the_best_f1() -> None:
    """No other threshold has a better one; it lies between two scores."""
    threshold, score = best_f1(ACTUAL, PREDICTED)
    scores = [f1_score(ACTUAL, each <= PREDICTED) for each in np.unique(PREDICTED)]
    assert score == pytest.approx(max(scores))
    assert score == pytest.approx(f1_score(ACTUAL, threshold <= PREDICTED))
    assert threshold not in PREDICTED


@pytest.mark.parametrize("positive", [0, 9])
def test_few_positive_rows_choose_nothing(positive: int) -> None:
    """One half is left, and the number that is needed is said."""
    actual = np.zeros(800)
    actual[:positive] = 1
    chosen = choose_threshold(actual, PREDICTED, noun="patients")
    assert (chosen.value, chosen.origin) == (0.5, "default")
    assert f"{positive} positive patients" in chosen.reason
    assert "10 of each class" in chosen.reason


def test_rare_positive_rows_are_called() -> None:
    """Of one positive row in a hundred, validation chooses far less than one half."""
    random = np.random.default_rng(2)
    predicted = random.beta(0.3, 29.7, 1_500)
    actual = (random.random(1_500) < predicted).astype(np.float64)
    chosen = choose_threshold(actual, predicted)
    assert 10 <= actual.sum() < 30
    assert chosen.origin == "validation"
    assert chosen.value < 0.3
    assert (actual[predicted >= chosen.value] > 0).any()

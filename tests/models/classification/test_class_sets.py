"""Conformal sets of classes, held against two libraries and their theory."""

from __future__ import annotations

from typing import Any

import crepes
import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import LACConformityScore
from sklearn.base import BaseEstimator, ClassifierMixin

from model_loop.models.classification.class_sets import LEVELS, measure_sets, set_scores, sets_at
from model_loop.models.classification.clusters import Numbers
from model_loop.models.classification.decision import Decision


def drawn(rows: int, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Draw classes with probabilities that are near, but not, the true ones."""
    random = np.random.default_rng(seed)
    true = random.dirichlet([1, 1, 2, 3], rows)
    actual = (random.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1)
    told = true**1.7
    return actual.astype(np.float64), told / told.sum(axis=1, keepdims=True)


class Prefit(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier whose rows are its probabilities."""

    classes_ = np.arange(4)

    def fit(self, X: Numbers, y: Numbers) -> Prefit:  # noqa: ARG002 - scikit-learn's
        """Learn nothing."""
        self.fitted_ = True
        return self

    def predict_proba(self, X: Numbers) -> Numbers:
        """Return the rows."""
        return X

    def predict(self, X: Numbers) -> Any:
        """Return the most probable class."""
        return X.argmax(axis=1)


@pytest.mark.parametrize("rows", [200, 333])
@pytest.mark.parametrize("level", [50.0, 80.0, 90.0, 97.5, 99.5])
def test_sets_are_those_of_mapie(rows: int, level: float) -> None:
    """They hold the same classes, and the most probable one."""
    actual, predicted = drawn(rows)
    _, asked = drawn(100, seed=1)
    oracle = SplitConformalClassifier(
        Prefit().fit(predicted, actual),
        confidence_level=level / 100,
        conformity_score=LACConformityScore(),
    )
    oracle.conformalize(predicted, actual.astype(int))
    _, expected = oracle.predict_set(asked)
    expected = expected[:, :, 0].copy()
    expected[np.arange(100), asked.argmax(axis=1)] = True
    np.testing.assert_array_equal(sets_at(level, set_scores(actual, predicted), asked), expected)


@pytest.mark.parametrize("level", [80.0, 90.0, 95.0])
def test_sets_are_those_of_crepes(level: float) -> None:
    """They hold the same classes."""
    actual, predicted = drawn(400)
    _, asked = drawn(100, seed=1)
    own = 1 - predicted[np.arange(400), actual.astype(int)]
    oracle = crepes.ConformalClassifier().fit(own)
    expected = oracle.predict_set(1 - asked, confidence=level / 100, smoothing=False)
    expected = np.asarray(expected, dtype=bool)
    expected[np.arange(100), asked.argmax(axis=1)] = True
    np.testing.assert_array_equal(sets_at(level, set_scores(actual, predicted), asked), expected)


def test_sets_hold_their_level() -> None:
    """Over many calibrations coverage is the level, although the probabilities are too sure."""
    held = {level: list[float]() for level in (80.0, 90.0, 95.0)}
    for seed in range(40):
        scores = set_scores(*drawn(500, seed))
        actual, predicted = drawn(500, seed + 1_000)
        for level, covered in held.items():
            covered.append(measure_sets(sets_at(level, scores, predicted), actual).coverage)
    for level, covered in held.items():
        assert np.mean(covered) == pytest.approx(level / 100, abs=0.012)


def test_a_higher_level_holds_no_fewer_classes() -> None:
    """Between two levels of the grid it is the higher one."""
    scores, (_, asked) = set_scores(*drawn(500)), drawn(100, seed=1)
    sizes = [sets_at(level, scores, asked).sum() for level in LEVELS]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    for between, level in ((90.2, 90.5), (50.0, 50.0), (99.5, 99.5)):
        np.testing.assert_array_equal(
            sets_at(between, scores, asked), sets_at(level, scores, asked)
        )


def test_few_rows_leave_every_class_in() -> None:
    """Of ten rows nothing is known at a level of 95: each set holds all classes."""
    scores = set_scores(*drawn(10))
    assert sets_at(95.0, scores, drawn(50, seed=1)[1]).all()
    assert not sets_at(70.0, scores, drawn(50, seed=1)[1]).all()


def test_a_decision_names_the_classes() -> None:
    """The most probable class stands first, and is there where no class is probable enough."""
    scores = tuple(np.linspace(0.3, 0.9, 100))
    decision = Decision(("a", "b", "c"), set_scores=scores)
    predicted = np.array([[0.1, 0.5, 0.4], [0.34, 0.33, 0.33]])
    assert decision.classes_at(50.0, predicted) == [["b"], ["a"]]
    assert decision.classes_at(99.5, predicted) == [["b", "c", "a"], ["a", "b", "c"]]

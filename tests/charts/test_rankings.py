"""Curves of classes hold for every row, whatever of them is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from model_loop.charts.rankings import CURVE_POINTS, Ranking


def scores(rows: int, digits: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and scores that tell something of them; few digits make equal scores."""
    draw = np.random.default_rng(seed)
    positive = draw.random(rows) < 0.2
    return positive, np.clip(draw.normal(0.3 + 0.3 * positive, 0.2), 0, 1).round(digits)


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_areas_are_those_of_the_library(digits: int) -> None:
    """Rows of equal scores are counted together."""
    positive, score = scores(3_000, digits)
    ranking = Ranking.of(positive, score)
    assert ranking.area() == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
    expected = average_precision_score(positive, score)
    assert ranking.average_precision() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("digits", [2, 9])
def test_points_are_corners_of_the_curves(digits: int) -> None:
    """Every point that is drawn is one of the whole curve, and both ends are among them."""
    positive, score = scores(20_000, digits)
    ranking = Ranking.of(positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    false, true, _ = roc_curve(positive, score, drop_intermediate=False)
    for drawn, whole in (
        (ranking.roc(), (false, true)),
        (ranking.precision_recall(), (recall[:-1], precision[:-1])),
    ):
        assert len(drawn[0]) <= CURVE_POINTS
        points = set(zip(*(values.round(9) for values in whole), strict=True))
        inner = set(zip(*(values[1:].round(9) for values in drawn), strict=True))
        assert inner <= points
    assert [ends.tolist() for ends in np.transpose(ranking.roc())[[0, -1]]] == [[0, 0], [1, 1]]
    assert ranking.precision_recall()[0][-1] == 1


def test_a_thinned_curve_hardly_moves() -> None:
    """Its area is that of the whole one to a thousandth."""
    positive, score = scores(300_000, 9)
    ranking = Ranking.of(positive, score)
    assert CURVE_POINTS * 0.9 < len(ranking.roc()[0]) <= CURVE_POINTS
    assert auc(*ranking.roc()) == pytest.approx(ranking.area(), abs=1e-3)


def test_corners_alone_are_kept() -> None:
    """Points on a straight line are left out, those where it turns are not."""
    positive = np.array([True, True, False, False, True])
    x, y = Ranking.of(positive, np.array([0.9, 0.8, 0.7, 0.6, 0.5])).roc()
    assert x.tolist() == [0, 0, 1, 1]
    assert y.tolist() == pytest.approx([0, 2 / 3, 2 / 3, 1])
    # Scores of both classes together turn it, though as many positive rows are added each time.
    ranking = Ranking.of(
        np.array([True, True, False, False, True, False]),
        np.array([0.9, 0.8, 0.8, 0.8, 0.7, 0.7]),
    )
    assert ranking.roc()[0].tolist() == pytest.approx([0, 0, 2 / 3, 1])


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.3, 1.0, 1.5])
def test_counts_are_those_of_the_confusion_matrix(threshold: float) -> None:
    """A row whose score is the threshold itself is called positive."""
    positive, score = scores(2_000, 2)
    (cells,) = Ranking.of(positive, score).confusion(np.array([threshold]))
    assert cells.tolist() == confusion_matrix(positive, score >= threshold).ravel().tolist()


def test_gains_are_shares_of_the_positive_rows() -> None:
    """Half of the rows with the highest scores hold both positive rows."""
    ranking = Ranking.of(np.array([False, True, True, False]), np.array([0.1, 0.9, 0.8, 0.2]))
    assert [values.tolist() for values in ranking.gains()] == [
        [0, 0.25, 0.5, 0.75, 1],
        [0, 0.5, 1, 1, 1],
    ]


def test_a_single_class_is_no_curve() -> None:
    """Neither of positive rows alone, nor of none."""
    for positive in (np.ones(3, bool), np.zeros(3, bool), np.zeros(0, bool)):
        assert not Ranking.of(positive, np.linspace(0, 1, len(positive))).is_mixed

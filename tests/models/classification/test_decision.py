"""Tests of the stored decision of a classifier."""

from __future__ import annotations

from model_loop.models.classification.decision import Decision


def test_a_threshold_of_nothing_is_one() -> None:
    """Everything is called positive from 0 on; a half stands in where none was chosen alone."""
    chosen = Decision(labels=(0, 1), positive=1, threshold=0.0)
    assert chosen.threshold_in_force == 0.0
    assert Decision(labels=(0, 1), positive=1).threshold_in_force == 0.5

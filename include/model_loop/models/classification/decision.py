"""Decisions of a classifier beside its probabilities, as they are stored with a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from model_loop.datasets.classes import HALF
from model_loop.models.classification.class_sets import Numbers, sets_at

#: Maps of probabilities.
Method = Literal["none", "sigmoid", "isotonic", "temperature"]
#: Origin of a threshold.
Origin = Literal["declared", "cost", "validation", "default"]


@dataclass(frozen=True)
class Decision:
    """Rules by which the probabilities of a version become answers.

    Parameters
    ----------
    labels
        Labels of the classes, whole numbers or texts, by their code.
    positive
        Label of the positive class; None of several classes.
    threshold
        Probability of the positive class from which on it is the answer; None of several classes,
        where the most probable is.
    threshold_origin, threshold_reason
        How it was chosen, and the same in words.
    calibration, calibration_reason
        Map of the probabilities, ``none`` where they hold without, and the reason.
    error_before, error_after, error_by_chance
        Expected calibration error on validation rows without and with the map, and of perfect
        probabilities.
    rows
        Number of the rows that all of it was chosen by.
    digest
        Their digest; see `intervals.residuals.digest_of`.
    set_scores
        Of several classes, scores of the conformal sets by level; see `class_sets.LEVELS`.
    metrics
        Measures on the test rows by name: coverage and size of the sets, calibration error.
    """

    labels: tuple[str | int, ...]
    positive: str | int | None = None
    threshold: float | None = None
    threshold_origin: Origin | None = None
    threshold_reason: str = ""
    calibration: Method = "none"
    calibration_reason: str = ""
    error_before: float | None = None
    error_after: float | None = None
    error_by_chance: float | None = None
    rows: int = 0
    digest: str = ""
    set_scores: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def threshold_in_force(self) -> float:
        """Probability from which on a row is called positive: a half where none was chosen."""
        return HALF if self.threshold is None else self.threshold

    def classes_at(
        self, level: float, predicted: Numbers, allowed: float = 1.0
    ) -> list[list[str | int]]:
        """Return the conformal set of each row, the most probable class first.

        Parameters
        ----------
        level
            Percentage from 50 to 99.5.
        predicted
            Probabilities, shape (rows, classes), by the order of the labels.
        allowed
            Factor of the share of misses; see `sets_at`.
        """
        inside = sets_at(level, self.set_scores, predicted, allowed)
        order = np.argsort(-predicted, axis=1, kind="stable")
        return [
            [self.labels[code] for code in codes if held[code]]
            for codes, held in zip(order, inside, strict=True)
        ]

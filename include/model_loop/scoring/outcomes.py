"""Answers about a class: from the probabilities of a row to its label and its set of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from model_loop.datasets.classes import HALF, Classes, Label
from model_loop.intervals.adaptive import NO_CORRECTION
from model_loop.scoring.limits import NO_LIMITS, Limits, limits_of_rows

if TYPE_CHECKING:
    from model_loop.datasets.dataset import Dataset, Target
    from model_loop.intervals.adaptive import Correction
    from model_loop.intervals.calibrated import Intervals
    from model_loop.models.classification.decision import Decision
    from model_loop.training_set.matrices import Targets

#: Tolerance at the threshold, which may be the probability of some row.
_ROUNDING = 1e-12


class Outcome(NamedTuple):
    """Predicted class of a row.

    Parameters
    ----------
    label
        Label of the class.
    probabilities
        Probability of each class by the text of its label.
    number
        Probability of the positive class of two, and of the predicted one of several: the number
        that the log keeps.
    threshold
        Probability of the positive class of two from which it is the label; None of several.
    classes
        Labels of the conformal set, the most probable first; None of two classes, and of a version
        without such sets.
    """

    label: Label
    probabilities: dict[str, float]
    number: float
    threshold: float | None = None
    classes: list[Label] | None = None

    @property
    def further(self) -> float | list[Label] | None:
        """Return the threshold of two classes, and the set of several ones."""
        return self.classes if self.threshold is None else self.threshold


@dataclass(frozen=True)
class DecisionRules:
    """Rules by which a version answers with a class.

    Parameters
    ----------
    classes
        Classes in the order of its probabilities.
    threshold
        Probability of the positive class of two from which it is the answer.
    decision
        What is stored beside the version; None where nothing is, which leaves no sets of classes.
    """

    classes: Classes
    threshold: float = HALF
    decision: Decision | None = None

    @property
    def has_sets(self) -> bool:
        """Return whether there are sets of classes."""
        return self.decision is not None and bool(self.decision.set_scores)

    def outcomes(
        self, predicted: Targets, level: float, correction: Correction = NO_CORRECTION
    ) -> list[Outcome]:
        """Return the outcomes of rows.

        Parameters
        ----------
        predicted
            Probabilities as `models.outcomes` describes them.
        level
            Percentage of rows whose true class their sets are to hold.
        correction
            Correction of the sets; see `tracking.corrections`.
        """
        classes, texts = self.classes, self.classes.texts
        if classes.is_binary:
            least = self.threshold - _ROUNDING
            return [
                Outcome(
                    classes.labels[probability >= least],
                    dict(zip(texts, (1.0 - probability, probability), strict=True)),
                    probability,
                    self.threshold,
                )
                for probability in predicted.tolist()
            ]
        sets: list[list[Label]] | list[None] = [None] * len(predicted)
        if self.decision is not None and self.has_sets and len(predicted):
            sets = self.decision.classes_at(level, predicted, correction.upper)
        best = predicted.argmax(axis=1) if len(predicted) else np.empty(0, dtype=np.int64)
        return [
            Outcome(classes.labels[code], dict(zip(texts, row, strict=True)), row[code], None, held)
            for code, row, held in zip(best.tolist(), predicted.tolist(), sets, strict=True)
        ]

    def limits(self, level: float) -> Limits:
        """Return the limits of each answer: none, and the level where there are sets."""
        return Limits(None, None, level) if self.has_sets else NO_LIMITS


def deciding_of(
    target: Target, threshold: float, decision: Decision | None
) -> DecisionRules | None:
    """Return the rules by which a version answers; None of a target that is a number."""
    return DecisionRules(target.labels, threshold, decision) if target.is_classified else None


def answers_of_rows(
    deciding: DecisionRules | None,
    intervals: Intervals | None,
    dataset: Dataset,
    level: float,
    predicted: Targets,
    rows: Sequence[Sequence[Any]],
    correction: Correction = NO_CORRECTION,
) -> tuple[list[float] | list[Outcome], list[Limits]]:
    """Return predicted numbers or outcomes of rows, and the limits of each; see `limits_of_rows`.

    Parameters
    ----------
    deciding
        Rules of a version that answers with classes; None of numbers.

    Raises
    ------
    InvalidInputError
        If the level is not from 50 to 99.
    """
    if deciding is not None:
        outcomes = deciding.outcomes(predicted, level, correction)
        return outcomes, [deciding.limits(level)] * len(outcomes)
    numbers: list[float] = predicted.tolist()
    return numbers, limits_of_rows(intervals, dataset, level, numbers, rows, correction)


def logged(prediction: float | Outcome) -> tuple[Any, ...]:
    """Return what the log holds of a prediction: its number, and of a class the label and all."""
    if isinstance(prediction, Outcome):
        return prediction.number, prediction.label, prediction.probabilities
    return (prediction,)


def of_class(value: object) -> str:
    """Return probabilities, a threshold or a set of classes as text; empty where there is none."""
    return "" if value is None else msgspec.json.encode(value).decode()

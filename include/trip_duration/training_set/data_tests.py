"""Tests of the data itself, run on every training set before anybody learns from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trip_duration.errors import ContractError
from trip_duration.training_set.types import Matrix, TrainingSet
from trip_duration.trips.services import DURATION


@dataclass(frozen=True)
class Outcome:
    """What one data test found."""

    name: str
    passed: bool
    found: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}: {self.name} ({self.found})"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def test_training_set(training_set: TrainingSet) -> list[Outcome]:
    """Run all data tests."""
    return [*_matrices_match_targets(training_set), _durations_in_bounds(training_set)]


def require_passed(outcomes: Sequence[Outcome]) -> None:
    """Refuse a training set of which a test failed.

    Raises
    ------
    ContractError
        Naming every test that failed.
    """
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        raise ContractError(
            "The training set",
            "failed its data tests: " + "; ".join(map(str, failed)),
            "Look at the months that went in and at the cleaning rules.",
        )


def _matrices_match_targets(training_set: TrainingSet) -> Iterable[Outcome]:
    rows = training_set.rows
    for layout, splits in training_set.layouts.items():
        found = {
            "train": splits.train.shape[0],
            "validation": splits.validation.shape[0],
            "all": splits.train_validation.shape[0],
        }
        agree = found == {name: rows[name] for name in found}
        yield Outcome(f"{layout}: one row for each trip", agree, f"{found}")
        matrices = (splits.train, splits.validation, splits.train_validation)
        finite = all(bool(np.isfinite(_values(matrix)).all()) for matrix in matrices)
        yield Outcome(f"{layout}: every value is finite", finite, f"{len(matrices)} matrices")


def _durations_in_bounds(training_set: TrainingSet) -> Outcome:
    rules = training_set.request.rules
    minutes = np.concatenate(
        [training_set.train_validation_minutes, training_set.test_trips[DURATION].to_numpy()]
    )
    low, high = float(minutes.min()), float(minutes.max())
    return Outcome(
        "durations lie within the cleaning rules",
        rules.minimum_duration <= low and high <= rules.maximum_duration,
        f"{low:.2f} to {high:.2f} minutes",
    )


def _values(matrix: Matrix) -> Any:  # noqa: ANN401 - the stored values, whatever the layout
    return matrix if isinstance(matrix, np.ndarray) else matrix.data

"""Tests of the data itself, run on every training set before anybody learns from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.datasets.dataset import Dataset
from model_loop.errors import ContractError
from model_loop.training_set.encoders.tables import feature_columns
from model_loop.training_set.matrices import Matrix
from model_loop.training_set.split import PARTS
from model_loop.training_set.types import TrainingSet

_ROWS_AT_ONCE = 2**20


@dataclass(frozen=True)
class DataTestResult:
    """Result of one data test."""

    name: str
    passed: bool
    found: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}: {self.name} ({self.found})"

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON."""
        return asdict(self)


#: Test of a training set, which yields a result for each thing that it looks at.
DataTest = Callable[[TrainingSet], Iterable[DataTestResult]]


def require_passed(outcomes: Sequence[DataTestResult]) -> None:
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
            "Look at the files that went in and at the rules that rows are set aside by.",
        )


def data_tests_of(dataset: Dataset) -> Mapping[str, DataTest]:
    """Return the tests of a dataset by the names of their tasks: its own, or those of tables."""
    own: Mapping[str, DataTest] | None = dataset.extensions.load("data_tests")
    return TABLE_TESTS if own is None else own


def run_data_tests(training_set: TrainingSet) -> list[DataTestResult]:
    """Run all data tests."""
    tests = data_tests_of(training_set.dataset).values()
    return [outcome for test in tests for outcome in test(training_set)]


def rows_are_conserved(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """Every row that was read is in one part, or was set aside by a rule that was counted."""
    for report in training_set.cleaning:
        yield DataTestResult(
            f"{report.partition}: rows read are rows kept and rows set aside",
            report.rows_read == report.rows_kept + report.rows_set_aside,
            f"{report.rows_read:,} = {report.rows_kept:,} + {report.rows_set_aside:,}",
        )
    kept = sum(report.rows_kept for report in training_set.cleaning)
    rows, calibration = training_set.rows, training_set.calibration_rows
    used = rows["all"] + rows["test"] + training_set.strays
    used += 0 if calibration is None else len(calibration)
    yield DataTestResult(
        "rows kept are in one part, or beyond all of them", kept == used, f"{kept:,} = {used:,}"
    )


def nothing_leaks(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """No part reaches into the next, and every column is known when the model is asked."""
    dataset, recipe, periods = training_set.dataset, training_set.recipe, training_set.periods
    names = [name for name in PARTS if name in periods]
    for earlier, later in itertools.pairwise(names):
        yield DataTestResult(
            f"every {earlier} row is before every {later} row",
            periods[earlier].last < periods[later].first,
            f"{periods[earlier].last} and {periods[later].first}",
        )
    used = {
        column
        for splits in training_set.layouts.values()
        for column in feature_columns(splits.encoder)
    }
    late = dataset.known_too_late({*recipe.columns, *used}, recipe.moment)
    yield DataTestResult(
        f"every column is known at the moment {recipe.moment}",
        not late,
        f"known too late: {', '.join(late)}" if late else f"{len(used)} columns",
    )


def matrices_match_targets(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """There is one finite row of each matrix for each row of the part."""
    rows = training_set.rows
    for layout, splits in training_set.layouts.items():
        matrices = {
            "train": splits.train,
            "validation": splits.validation,
            "all": splits.train_validation,
        }
        found = {name: matrix.shape[0] for name, matrix in matrices.items()}
        wanted = {name: rows[name] for name in found}
        if splits.targets is not None:
            train, validation = map(len, splits.targets)
            wanted = {"train": train, "validation": validation, "all": train + validation}
        agree = found == wanted
        yield DataTestResult(f"{layout}: one row for each row of the table", agree, f"{found}")
        finite = all(map(_is_finite, matrices.values()))
        yield DataTestResult(f"{layout}: every value is finite", finite, "3 matrices")


def _is_finite(matrix: Matrix) -> bool:
    """Return whether every stored value is finite, looking at some rows at a time."""
    values = _values(matrix)
    return all(
        bool(np.isfinite(values[first : first + _ROWS_AT_ONCE]).all())
        for first in range(0, len(values), _ROWS_AT_ONCE)
    )


def distributions_are_sane(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """The target is finite, and varies."""
    unit = training_set.target.with_unit
    targets = {
        "train": training_set.train_target,
        "validation": training_set.validation_target,
        "test": training_set.test_target,
    }
    finite = all(bool(np.isfinite(values).all()) for values in targets.values())
    yield DataTestResult("every target is finite", finite, f"{len(targets)} parts")
    spread = float(np.std(training_set.train_validation_target))
    yield DataTestResult("targets vary", spread > 0, f"standard deviation {unit(f'{spread:.4g}')}")


#: Every test, by the name of its task.
TABLE_TESTS: Mapping[str, DataTest] = MappingProxyType(
    {
        test.__name__: test
        for test in (
            rows_are_conserved,
            nothing_leaks,
            matrices_match_targets,
            distributions_are_sane,
        )
    }
)


def _values(matrix: Matrix) -> npt.NDArray[Any]:
    """Return the stored values, whatever the layout."""
    found: npt.NDArray[Any] = matrix if isinstance(matrix, np.ndarray) else matrix.data
    return found

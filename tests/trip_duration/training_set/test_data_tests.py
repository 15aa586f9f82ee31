"""Each data test fails on a training set that has the fault it looks for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tests.conftest import sample_request

from model_loop.errors import ContractError, InvalidInputError
from model_loop.orchestration import names
from model_loop.training_set.data_tests import (
    TABLE_TESTS,
    DataTestResult,
    require_passed,
    run_data_tests,
)
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import EncodedSplits, Period, TrainingSet
from trip_duration import recipes
from trip_duration.recipes import RECIPES, TripRecipe
from trip_duration.training_set.data_tests import DATA_TESTS


def with_sparse(training_set: TrainingSet, **changes: csr_matrix) -> TrainingSet:
    """A training set with other sparse matrices."""
    splits: EncodedSplits = dataclasses.replace(training_set.layouts["sparse"], **changes)
    layouts = MappingProxyType({**training_set.layouts, "sparse": splits})
    return dataclasses.replace(training_set, layouts=layouts)


def lost_rows(training_set: TrainingSet) -> TrainingSet:
    """Rows of a month went missing without a reason."""
    first = training_set.cleaning[0]
    report = dataclasses.replace(first, rows_read=first.rows_read + 1)
    return dataclasses.replace(training_set, cleaning=(report, *training_set.cleaning[1:]))


def lost_trips(training_set: TrainingSet) -> TrainingSet:
    """Trips went missing between cleaning and encoding."""
    return dataclasses.replace(training_set, test_rows=training_set.test_rows.iloc[1:])


def reaching_into_validation(training_set: TrainingSet) -> TrainingSet:
    """A train trip begins after the first validation trip."""
    late = Period("2024-01-01T00:00:00", "2024-02-10T00:00:00")
    periods = MappingProxyType({**training_set.periods, "train": late})
    return dataclasses.replace(training_set, periods=periods)


def short_target(training_set: TrainingSet) -> TrainingSet:
    """The target is shorter than its matrix."""
    minutes = training_set.train_target[:-1].copy()
    return dataclasses.replace(training_set, train_target=minutes)


def not_finite(training_set: TrainingSet) -> TrainingSet:
    """A value of a matrix is not a number."""
    train = csr_matrix(training_set.layouts["sparse"].train)
    return with_sparse(training_set, train=train * float("nan"))


def unknown_pairs(training_set: TrainingSet) -> TrainingSet:
    """No validation trip is between zones that the train months know."""
    validation = training_set.layouts["sparse"].validation
    return with_sparse(training_set, validation=csr_matrix(validation.shape))


def too_long(training_set: TrainingSet) -> TrainingSet:
    """Durations are out of bounds."""
    return dataclasses.replace(training_set, train_target=training_set.train_target * 100)


def shifted(training_set: TrainingSet) -> TrainingSet:
    """Validation trips last three times as long."""
    minutes = np.minimum(training_set.validation_target * 3, 60.0)
    return dataclasses.replace(training_set, validation_target=minutes)


def constant(training_set: TrainingSet) -> TrainingSet:
    """Every train trip lasts equally long."""
    minutes = np.full_like(training_set.train_target, 10.0)
    return dataclasses.replace(training_set, train_target=minutes)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lost_rows, "2024-01: rows read are rows kept and rows left out"),
        (lost_trips, "rows kept are in one split, or strays"),
        (reaching_into_validation, "every train trip begins before every validation trip"),
        (short_target, "sparse: one row for each trip"),
        (not_finite, "sparse: every value is finite"),
        (unknown_pairs, "validation trips are between zones that the train months know"),
        (too_long, "durations lie within the cleaning rules"),
        (shifted, "median durations are alike in all splits"),
        (constant, "durations vary"),
    ],
    ids=lambda value: getattr(value, "__name__", "message"),
)
def test_finds_the_fault(
    fault: Callable[[TrainingSet], TrainingSet], message: str, sample_training_set: TrainingSet
) -> None:
    """The fault is found, named, and refused."""
    require_passed(run_data_tests(sample_training_set))
    with pytest.raises(ContractError, match=f"FAILED: {message}"):
        require_passed(run_data_tests(fault(sample_training_set)))


def found(training_set: TrainingSet) -> dict[str, DataTestResult]:
    """Return what the data tests found, by their names."""
    return {outcome.name: outcome for outcome in run_data_tests(training_set)}


def test_a_report_says_what_was_found(sample_training_set: TrainingSet) -> None:
    """Each outcome tells the figures that it was judged by, and passes as plain JSON."""
    outcomes = found(sample_training_set)
    for report in sample_training_set.cleaning:
        told = outcomes[f"{report.month}: rows read are rows kept and rows left out"].found
        left_out = report.rows_read - report.rows_kept
        assert told == f"{report.rows_read:,} = {report.rows_kept:,} + {left_out:,}"
    kept = sum(report.rows_kept for report in sample_training_set.cleaning)
    assert outcomes["rows kept are in one split, or strays"].found == f"{kept:,} = {kept:,}"
    rows = {name: sample_training_set.rows[name] for name in ("train", "validation", "all")}
    assert outcomes["dense: one row for each trip"].found == str(rows)
    assert outcomes["sparse: every value is finite"].found == "3 matrices"
    minutes = {
        "train": sample_training_set.train_target,
        "validation": sample_training_set.validation_target,
        "test": sample_training_set.test_rows["duration"].to_numpy(),
    }
    medians = ", ".join(f"{name} {np.median(one):.2f}" for name, one in minutes.items())
    assert outcomes["median durations are alike in all splits"].found == f"{medians} minutes"
    every = np.concatenate(list(minutes.values()))
    told = outcomes["durations lie within the cleaning rules"].found
    assert told == f"{every.min():.2f} to {every.max():.2f} minutes"
    spread = f"standard deviation {minutes['train'].std():.2f} minutes"
    assert outcomes["durations vary"].found == spread
    one = outcomes["durations vary"]
    assert str(one) == f"passed: durations vary ({spread})"
    assert str(dataclasses.replace(one, passed=False)).startswith("FAILED: durations vary")
    assert one.to_json() == {"name": "durations vary", "passed": True, "found": spread}


@pytest.mark.parametrize(("earlier", "later"), [("train", "validation"), ("validation", "test")])
def test_a_split_may_not_even_touch_the_next(
    earlier: str, later: str, sample_training_set: TrainingSet
) -> None:
    """A trip that begins in the second of the first later one is too late; both are told."""
    periods = sample_training_set.periods
    first = periods[later].first
    name = f"every {earlier} trip begins before every {later} trip"
    assert found(sample_training_set)[name].found == f"{periods[earlier].last} and {first}"
    touching = dataclasses.replace(periods[earlier], last=first)
    changed = dataclasses.replace(
        sample_training_set, periods=MappingProxyType({**periods, earlier: touching})
    )
    assert not found(changed)[name].passed


def test_every_reason_of_leaving_out_is_counted(sample_training_set: TrainingSet) -> None:
    """Rows in quarantine, too short and too long ones, and strays, each by their number."""
    first, *others = sample_training_set.cleaning
    more = dataclasses.replace(
        first,
        quarantined=first.quarantined + 1,
        too_short=first.too_short + 2,
        too_long=first.too_long + 4,
        rows_kept=first.rows_kept + 8,
        rows_read=first.rows_read + 15,
    )
    changed = dataclasses.replace(
        sample_training_set, cleaning=(more, *others), strays=sample_training_set.strays + 8
    )
    require_passed(list(DATA_TESTS["rows_are_conserved"](changed)))


def test_bounds_themselves_are_allowed(sample_training_set: TrainingSet) -> None:
    """Durations at the ends of the rules, twice the median, half of the pairs, a small spread."""
    rules = sample_training_set.request.rules
    low, high = rules.minimum_duration, rules.maximum_duration
    train = np.full_like(sample_training_set.train_target, 2 * low)
    train[0], train[1] = low, high
    minutes = sample_training_set.validation_target
    validation = np.full_like(minutes, 4 * low)
    test_rows = sample_training_set.test_rows.assign(duration=2 * low)
    bound = dataclasses.replace(
        sample_training_set,
        train_target=train,
        validation_target=validation,
        test_rows=test_rows,
    )
    require_passed(list(DATA_TESTS["distributions_are_sane"](bound)))
    train = np.where(np.arange(len(train)) % 2, 4 * low, 4 * low - 0.1)
    require_passed(
        list(DATA_TESTS["distributions_are_sane"](dataclasses.replace(bound, train_target=train)))
    )
    sparse = csr_matrix(sample_training_set.layouts["sparse"].validation)
    rows = sparse.shape[0] // 2 * 2
    entries = int(np.diff(csr_matrix(sample_training_set.layouts["sparse"].train).indptr).max())
    full = np.ones((rows // 2, entries))
    half = csr_matrix(np.vstack([full, np.pad(full[:, 1:], ((0, 0), (0, 1)))]))
    changed = with_sparse(sample_training_set, validation=half)
    require_passed(list(DATA_TESTS["categories_were_seen"](changed)))
    one_more = csr_matrix(np.vstack([half.toarray(), np.zeros((1, entries))]))
    changed = with_sparse(sample_training_set, validation=one_more)
    with pytest.raises(ContractError, match="FAILED: validation trips are between zones"):
        require_passed(list(DATA_TESTS["categories_were_seen"](changed)))


def with_first(value: float, minutes: Any) -> Any:
    """Return durations of which the first is another one."""
    return np.r_[value, minutes[1:]]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_durations_of_every_split_are_looked_at(
    part: str, sample_training_set: TrainingSet
) -> None:
    """Each has to keep to the rules and to be like the others; seconds count as much as hours."""
    rules = sample_training_set.request.rules

    def with_minutes(change: Callable[[Any], Any]) -> TrainingSet:
        trips = sample_training_set.test_rows
        name = "test_rows" if part == "test" else f"{part}_target"
        was = trips["duration"].to_numpy() if part == "test" else getattr(sample_training_set, name)
        minutes = change(np.asarray(was, dtype=np.float64))
        changes: dict[str, Any] = {name: minutes}
        if part == "test":
            changes[name] = trips.assign(duration=minutes)
        return dataclasses.replace(sample_training_set, **changes)

    for value in (rules.minimum_duration - 0.01, rules.maximum_duration + 0.01):
        changed = with_minutes(functools.partial(with_first, value))
        with pytest.raises(ContractError, match="FAILED: durations lie within the cleaning rules"):
            require_passed(list(DATA_TESTS["distributions_are_sane"](changed)))
    changed = with_minutes(lambda minutes: minutes / 60)
    with pytest.raises(ContractError, match=rf"FAILED: median durations.*{part} 0\."):
        require_passed(list(DATA_TESTS["distributions_are_sane"](changed)))
    changed = with_minutes(lambda minutes: np.full_like(minutes, 1e-3))
    shift = found(changed)["median durations are alike in all splits"]
    assert not shift.passed


def test_end_of_trip_columns_are_found(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe with a column that holds the outcome is refused at any moment."""
    leaking = dataclasses.replace(sample_training_set.recipe, columns=("PULocationID", "amount"))
    monkeypatch.setattr(TrainingSet, "recipe", leaking)
    with pytest.raises(ContractError, match=r"every raw column is known when.*too late: amount"):
        require_passed(list(DATA_TESTS["nothing_leaks"](sample_training_set)))


@pytest.mark.parametrize("column", ["dropoff_datetime", "duration", "amount", "tip_amount"])
def test_a_recipe_that_knows_the_outcome_is_refused_before_anything_is_built(
    column: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By name, whatever its type: the end of a trip is a time that no split could hold."""
    leaking = TripRecipe("leaking", "a leak", (*RECIPES["booking"].columns, column), "booked")
    monkeypatch.setattr(recipes, "RECIPES", {**RECIPES, "leaking": leaking})
    request = sample_request("leaking")
    with pytest.raises(InvalidInputError, match=rf"'leaking' knows {column}.*a leak"):
        build_training_set(request, storage_root=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_guard_says_the_moment_and_finds_what_is_known_later(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metered distance is no leak when the trip has ended, and one when a ride is booked."""
    outcomes = [str(it) for it in DATA_TESTS["nothing_leaks"](sample_training_set)]
    assert any("known when the trip has ended (moment: ended)" in told for told in outcomes)
    monkeypatch.setattr(TrainingSet, "recipe", RECIPES["booking"])
    with pytest.raises(
        ContractError, match=r"every feature is known when a ride is booked.*late: trip_distance"
    ):
        require_passed(list(DATA_TESTS["nothing_leaks"](sample_training_set)))


def test_each_is_a_task() -> None:
    """The DAG has a task for every data test."""
    assert tuple(DATA_TESTS) == names.DATA_TESTS
    assert tuple(TABLE_TESTS) == names.TABLE_TESTS

"""Intervals of trained models: from which residuals, and what they hold on the test rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from tests.conftest import sample_request
from tests.parcels import build_parcels, declared, write_parcels
from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals, digest_of
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.models.calibrating import (
    Calibration,
    calibrate_model,
    residuals_of,
    sizing_rows,
)
from model_loop.models.catalogue import FAMILIES, XGBOOST, get_family
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.objects import read_object, write_object
from model_loop.tracking.card import model_card
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet

SEARCH = SearchRequest(max_evaluations=1, threads=1)
THREE = dataclasses.replace(SEARCH, max_evaluations=3)
LINE = "linear_model.LinearRegression"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A training set whose validation part is large enough to choose by."""
    folder = tmp_path_factory.mktemp("many")
    return build_parcels(folder, declared(write_parcels(folder / "parcels.csv", 4_000)))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A training set so small that folds choose."""
    return build_parcels(tmp_path_factory.mktemp("few"))


def trained_on(training_set: TrainingSet, family: str = LINE) -> TrainedModel:
    """Tune and train a family."""
    return train(tune(family, training_set, SEARCH), training_set, SEARCH)


def calibration_of(trained: TrainedModel) -> Calibration:
    """Return the calibration of a model that has one."""
    assert trained.calibration is not None
    return trained.calibration


def residuals(trained: TrainedModel, training_set: TrainingSet) -> Residuals:
    """Return the residuals of a model's intervals."""
    family = get_family(trained.tuned.family)
    return residuals_of(trained.model, trained.tuned, training_set, SEARCH, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_intervals_that_hold(many: TrainingSet, family: str) -> None:
    """They are of the validation rows, and what they hold on the test rows is a metric."""
    trained = trained_on(many, family)
    calibration = calibration_of(trained)
    intervals, metrics = calibration.intervals, calibration.metrics
    assert intervals.part == "validation"
    assert intervals.rows == len(many.validation_target)
    assert intervals.digest == many.rows_digests["validation"]
    assert intervals.days[0] == many.periods["validation"].first[:10]
    assert trained.evaluation is not None
    low, high = intervals.at(90.0).limits_of(
        trained.evaluation.predictions.predicted.to_numpy(np.float64),
        many.test_rows.sent_at.to_numpy(),
    )
    held = measure_intervals(low, high, many.test_target, 90.0)
    assert metrics["interval_coverage_90_test"] == pytest.approx(held.coverage, abs=0.002)
    assert metrics["interval_width_90_test"] == pytest.approx(held.width, rel=1e-5)
    assert metrics["interval_coverage_80_test"] < metrics["interval_coverage_90_test"]
    assert metrics["interval_coverage_90_test"] == pytest.approx(0.9, abs=0.05)


def test_validation_is_predicted_by_a_fit_of_the_train_rows(many: TrainingSet) -> None:
    """The final model has learned from validation: its errors there are too small."""
    found, splits = residuals(trained_on(many), many), many.layout_for("sparse")
    alone = LinearRegression().fit(splits.train, many.train_target)
    np.testing.assert_allclose(found.predicted, alone.predict(splits.validation), rtol=1e-6)
    assert found.learned == (digest_of(many.train_target),)
    np.testing.assert_array_equal(found.times, many.validation_times)


@pytest.mark.parametrize(
    ("family", "rows"),
    [
        (LINE, "many"),
        (LINE, "few"),
        (XGBOOST, "many"),
        (XGBOOST, "few"),
        ("ensemble.RandomForestRegressor", "many"),
        ("ensemble.GradientBoostingRegressor", "many"),
    ],
)
def test_nothing_is_fitted_twice(
    request: pytest.FixtureRequest, family: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search hands on what its best trial predicts; another fit of it predicts the same."""
    training_set: TrainingSet = request.getfixturevalue(rows)
    tuned = read_object(
        write_object(tune(family, training_set, THREE), UPath("memory://"), "tuned")
    )
    known, unneeded = get_family(family), Pipeline([("estimate", LinearRegression())])
    with monkeypatch.context() as patch:
        patch.setattr("model_loop.models.calibrating.Fit", None)
        handed = residuals_of(unneeded, tuned, training_set, THREE, known)
    alone = dataclasses.replace(tuned, predicted=None)
    again = residuals_of(unneeded, alone, training_set, THREE, known)
    np.testing.assert_array_equal(handed.predicted, again.predicted)
    np.testing.assert_array_equal(handed.actual, again.actual)
    assert (handed.part, handed.learned) == (again.part, again.learned)


def test_predictions_of_other_rows_calibrate_nothing(many: TrainingSet) -> None:
    """Those handed on have to have the very errors by which the trial was chosen."""
    trained = trained_on(many)
    right, tuned = residuals(trained, many), trained.tuned
    assert tuned.predicted is not None
    for wrong in (tuned.predicted[::-1], tuned.predicted[1:], tuned.predicted + 1e-6):
        changed = dataclasses.replace(trained, tuned=dataclasses.replace(tuned, predicted=wrong))
        np.testing.assert_array_equal(residuals(changed, many).predicted, right.predicted)


def test_rows_that_the_calibrated_model_knows_are_refused(many: TrainingSet) -> None:
    """Nor can the test rows calibrate, under the name of another part."""
    found = residuals(trained_on(many), many)
    learned = (many.rows_digests["validation"],)
    with pytest.raises(InvalidInputError, match="has learned from"):
        dataclasses.replace(found, learned=learned)
    test = many.test_target
    with pytest.raises(InvalidInputError, match="may calibrate"):
        dataclasses.replace(found, actual=test, predicted=test, times=None)


def test_the_last_days_are_measured_by_the_days_before(many: TrainingSet) -> None:
    """A coverage out of time is known before any test row is looked at."""
    metrics = calibration_of(trained_on(many)).metrics
    assert metrics["interval_coverage_90_validation"] == pytest.approx(0.9, abs=0.06)


def test_folds_calibrate_where_they_choose(few: TrainingSet) -> None:
    """Each row is predicted by a fit of other rows; all of them calibrate."""
    assert few.folds
    calibration = calibration_of(trained_on(few))
    judged = sum(len(fold.validation_target) for fold in few.folds["sparse"])
    assert calibration.intervals.part == "folds"
    assert calibration.intervals.rows == judged
    assert "interval_coverage_90_validation" not in calibration.metrics


@pytest.mark.parametrize("family", [LINE, XGBOOST])
def test_a_share_of_calibration_is_predicted_by_the_final_model(
    tmp_path: Path, family: str
) -> None:
    """It has not learned from these rows, which come before the test rows."""
    declaration = declared(write_parcels(tmp_path / "parcels.csv", 4_000))
    held = build_parcels(tmp_path, declaration, (0.5, 0.2, 0.1, 0.2))
    trained, rows = trained_on(held, family), held.calibration_rows
    assert rows is not None
    found = residuals(trained, held)
    assert found.part == "calibration"
    np.testing.assert_array_equal(found.actual, rows.days)
    np.testing.assert_allclose(
        found.predicted, trained.model.predict(rows[list(held.recipe.columns)])
    )
    intervals = calibration_of(trained).intervals
    assert intervals.rows == len(rows)
    assert intervals.days[0] >= held.periods["validation"].last[:10]


def test_a_recipe_without_the_time_has_no_groups_of_hours(sample_root: Path) -> None:
    """A request does not say the hour then; one with it has its days."""
    without, with_time = (
        build_training_set(sample_request(recipe), storage_root=str(sample_root))
        for recipe in ("pair_distance", "rich")
    )
    assert without.validation_times is None
    assert with_time.validation_times is not None
    assert len(with_time.validation_times) == len(with_time.validation_target)
    intervals = calibration_of(trained_on(without)).intervals
    assert intervals.days == ()
    assert intervals.groups == ()
    assert calibration_of(trained_on(with_time)).intervals.days != ()


def test_they_are_stored_and_said(many: TrainingSet, tmp_path: Path) -> None:
    """A task hands them on, and the card says what they hold; one without has no section."""
    trained = trained_on(many)
    stored = read_object(write_object(trained, UPath(tmp_path), "trained"))
    assert stored.calibration == trained.calibration
    card = model_card(trained, many)
    assert f"From the residuals of {len(many.validation_target):,} validation rows" in card
    coverage = calibration_of(trained).metrics["interval_coverage_90_test"]
    assert f"| 90 % | {coverage:.1%} |" in card
    assert "## Intervals" not in model_card(dataclasses.replace(trained, calibration=None), many)
    assert "in expected sizes of errors" not in card
    bins = (ScaleBins("prediction", edges=(1.0,)), ScaleBins("category", "place", values=("a",)))
    scale = ErrorScale(0.0, bins, (ScaleFactors(1, -1, (0, 0)),))
    calibration = calibration_of(trained)
    sized = dataclasses.replace(
        calibration, intervals=dataclasses.replace(calibration.intervals, scale=scale)
    )
    card = model_card(dataclasses.replace(trained, calibration=sized), many)
    assert "They are in expected sizes of errors, by place:" in card


def test_a_model_without_intervals_is_a_model(
    many: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails in calibrating does not hold back a model."""
    monkeypatch.setattr("model_loop.models.training.calibrate_model", None)
    trained = trained_on(many)
    assert trained.calibration is None
    assert trained.test is not None
    assert train(trained.tuned, many, SEARCH, calibrated=False).calibration is None


def test_the_test_rows_teach_nothing(many: TrainingSet) -> None:
    """Other true values of the test part change measures alone."""
    trained = trained_on(many)
    other = many.test_rows.assign(days=many.test_rows.days + 100)
    changed = dataclasses.replace(many, test_rows=other)
    family = get_family(LINE)
    again = calibrate_model(trained.model, trained.tuned, changed, SEARCH, family)
    assert again.intervals == calibration_of(trained).intervals
    assert again.metrics["interval_coverage_90_test"] == 0.0


def test_sizes_of_errors_are_learned_from_the_rows_of_the_residuals(many: TrainingSet) -> None:
    """All of them, or a sample by its places; a sample of an earlier version has none."""
    found, target = residuals(trained_on(many), many), many.target.name
    assert many.validation_rows is not None
    places = np.arange(3, len(many.validation_rows), 7)
    sample = many.validation_rows.iloc[places].reset_index(drop=True)
    drawn = dataclasses.replace(many, validation_rows=sample, validation_places=places)
    for training_set, rows_of_it in ((many, len(many.validation_target)), (drawn, len(places))):
        given = sizing_rows(found, training_set)
        assert given is not None
        known, rows = given
        assert len(rows) == rows_of_it
        np.testing.assert_array_equal(rows[target].to_numpy(np.float64), known.actual)
    former = dataclasses.replace(many, validation_rows=sample, validation_places=None)
    assert sizing_rows(found, former) is None

"""Compiled models say what the registered models say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import sample_request
from tests.serving.conftest import fit, loaded

from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import FAMILIES
from model_loop.models.extras import extra_families
from model_loop.scoring.rows import from_frame, to_frame
from model_loop.serving.compiled import forests
from model_loop.serving.compiled.compiler import compile_model, make_predictor
from model_loop.serving.compiled.flat import Trees
from model_loop.serving.compiled.forests import Flattened
from model_loop.serving.compiled.model import TOLERANCE
from model_loop.tracking.registry import read_model, save_model
from model_loop.training_set.encodings import ENCODINGS, Encoding
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.compiled.forms import odd_rows
from trip_duration.dataset import TRIPS
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES
from trip_duration.training_set.encoders.columns import holidays_between
from trip_duration.training_set.request import TrainingSetRequest

REAL_TRIPS = 10_000


def differences(training_set: TrainingSet, family: str, trips: pd.DataFrame) -> np.ndarray:
    """Minutes between compiled and registered model, on trips and on odd rows."""
    model = fit(family, training_set)
    predictor = make_predictor(TRIPS, 1, loaded(model, training_set))
    assert predictor.compiled, predictor.plain
    rows = np.concatenate([from_frame(TRIPS, trips, predictor.columns), odd_rows(2_000, seed=1)])
    expected = model.predict(to_frame(TRIPS, rows, predictor.columns))
    # Trips read from a frame are the same to the model as the frame itself.
    given = model.predict(trips[list(predictor.columns)])
    np.testing.assert_array_equal(expected[: len(trips)], given)
    form = compile_model(TRIPS, 1, loaded(model, training_set)).form
    assert form is not None
    vectors = form.verify(machine_code=False)
    found = np.stack([predictor.predict(rows), vectors(rows)])
    return np.asarray(np.abs(found - expected))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("family", ["xgboost", "ensemble.RandomForestRegressor", "svm.LinearSVR"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_agrees(sample_root: Path, family: str, encoding: Encoding, recipe: str) -> None:
    """Every kind of model, with every recipe in both encodings, on trips and on oddities."""
    request = sample_request(recipe, encoding)
    training_set = build_training_set(request, storage_root=str(sample_root))
    assert differences(training_set, family, training_set.test_rows).max() <= TOLERANCE


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_compiled_agrees_on_real_trips(
    published_months: str, sample_root: Path, encoding: Encoding
) -> None:
    """All families of the catalogue agree on 10,000 trips, some between zones never seen before."""
    split = MonthSplit.parse("2023-01", "2023-02", "2024-01..2024-04")
    request = TrainingSetRequest(published_months, "green", split, encoding=encoding)
    training_set = build_training_set(request, storage_root=str(sample_root))
    trips = training_set.test_rows.head(REAL_TRIPS)
    assert len(trips) == REAL_TRIPS
    encoder = training_set.layout_for("sparse").encoder
    seen = set(map(tuple, encoder.pairs_.tolist()))  # type: ignore[attr-defined]  # a one-hot encoder
    pairs = set(zip(trips.PULocationID.tolist(), trips.DOLocationID.tolist(), strict=True))
    assert pairs - seen
    for family in FAMILIES:
        assert differences(training_set, family, trips).max() <= TOLERANCE, family


@pytest.mark.parametrize("family", ["linear_model.LinearRegression", "xgboost"])
def test_selected_columns(sample_training_set: TrainingSet, family: str) -> None:
    """A step that keeps some columns is compiled too."""
    model = fit(family, sample_training_set, keep=2)
    predictor = make_predictor(TRIPS, 1, loaded(model, sample_training_set))
    assert predictor.compiled, predictor.plain


def test_what_differs_is_not_used(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiled form that is wrong by more than the tolerance is refused, and the model serves."""
    model = fit("xgboost", sample_training_set)
    flatten = forests.flatten

    def wrong(*arguments: object) -> Flattened:
        trees, covers = flatten(*arguments) or ()  # type: ignore[arg-type, misc]  # as given
        assert isinstance(trees, Trees)
        return trees._replace(base=trees.base + 1e-4), covers

    monkeypatch.setattr(forests, "flatten", wrong)
    predictor = make_predictor(TRIPS, 1, loaded(model, sample_training_set))
    assert not predictor.compiled
    assert "differs by up to" in predictor.plain
    rows = odd_rows(50)
    expected = model.predict(to_frame(TRIPS, rows, predictor.columns))
    np.testing.assert_array_equal(predictor.predict(rows), expected)


def test_other_families_are_served_as_they_are(sample_training_set: TrainingSet) -> None:
    """A family without a compiled form answers by itself."""
    name = "neighbors.KNeighborsRegressor"
    family = extra_families({name: {"n_neighbors": [3, 5]}})[name]
    model = fit(family, sample_training_set)
    predictor = make_predictor(TRIPS, 1, loaded(model, sample_training_set))
    assert predictor.plain == "KNeighborsRegressor has no compiled form"
    assert np.isfinite(predictor.predict(odd_rows(5))).all()


def test_a_fault_of_the_compiler_is_none_of_the_model(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If compiling fails, the version is served as it is, with the reason."""

    def changed(*_: object) -> None:
        raise KeyError("base_score")

    monkeypatch.setattr(forests, "flatten", changed)
    model = loaded(fit("xgboost", sample_training_set), sample_training_set)
    predictor = make_predictor(TRIPS, 1, model)
    assert predictor.plain == "compiling it failed: KeyError('base_score')"
    assert np.isfinite(predictor.predict(odd_rows(5))).all()


def test_columns_that_no_request_has(sample_training_set: TrainingSet) -> None:
    """A model that reads something else cannot be served."""
    model = fit("linear_model.LinearRegression", sample_training_set)
    model.steps = model.steps[1:]
    foreign = dataclasses.replace(loaded(model, sample_training_set), inputs=("fare_amount",))
    with pytest.raises(InvalidInputError, match="fare_amount"):
        make_predictor(TRIPS, 1, foreign)


def test_a_stored_model_brings_its_example(
    sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """The example that a model is proven on comes back as it was stored."""
    save_model(
        fit("linear_model.LinearRegression", sample_training_set),
        tmp_path / "model",
        sample_training_set.example_rows,
    )
    found = read_model(tmp_path / "model", "The model")
    assert found.example is not None
    predictor = make_predictor(TRIPS, 7, found)
    assert predictor.compiled
    stored = from_frame(TRIPS, found.example, predictor.columns)
    given = from_frame(TRIPS, sample_training_set.example_rows, predictor.columns)
    np.testing.assert_array_equal(stored, given)


def test_holidays_of_a_century() -> None:
    """Holidays of many years at once are those of each year."""
    century = {str(day)[:4]: 0 for day in holidays_between(2000, 2099)}
    for year in (2000, 2021, 2022, 2024, 2099):
        of_year = {str(day) for day in holidays_between(year, year)}
        assert of_year == {str(d) for d in holidays_between(2000, 2099) if str(d)[:4] == str(year)}
    assert len(century) == 100

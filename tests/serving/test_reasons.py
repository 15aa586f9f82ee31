"""Reasons of predictions: SHAP values of compiled forms, as the field's libraries compute them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import shap
from sklearn.pipeline import Pipeline
from tests.serving.conftest import TRIP, Server, fit, loaded
from tests.serving.flights import rows as flight_rows
from tests.serving.test_compiled_columns import DATASET, KINDS, compiled, model_of, written

from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError
from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import FAMILIES
from model_loop.models.explanation import by_feature
from model_loop.models.extras import extra_families
from model_loop.scoring.reasons import reasons_in_words, strongest_reasons
from model_loop.scoring.rows import Rows, from_frame, to_frame
from model_loop.serving.compiled import compiler
from model_loop.serving.compiled.compiler import compile_model, make_predictor
from model_loop.serving.compiled.explaining import explainer_of, require_reasons
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError
from model_loop.serving.compiled.shapley import shapley_of
from model_loop.serving.http.requests import EXPLAINED_ROWS
from model_loop.serving.models.predictor import ServedVersion
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.registry import LoadedModel
from model_loop.training_set.matrices import as_dense
from model_loop.training_set.types import TrainingSet
from trip_duration.compiled.forms import odd_rows
from trip_duration.dataset import TRIPS
from trip_duration.services import PICKUP_TIME

FLIGHT_KINDS = (*KINDS, "xgboost sparse")


def flight_form(kind: str) -> tuple[Pipeline, CompiledModel, Rows]:
    """Return a model, its form, and rows with missing values and an unknown category."""
    model = model_of(kind)
    asked = flight_rows(60, seed=9)
    asked.loc[:5, "carrier"] = "ZZ"
    columns = DATASET.recipe("departed").columns
    return model, compiled(model), from_frame(DATASET, asked, columns)


def of_flights(model: Pipeline) -> LoadedModel:
    """Return a model of flights as the registry gives it."""
    columns = DATASET.recipe("departed").columns
    return LoadedModel(model, columns, 1.0, flight_rows(5)[list(columns)])


def by_library(model: Pipeline, dataset: Dataset, rows: Rows, columns: Any) -> tuple[Any, float]:
    """Return what each column of the design matrix adds, as shap or XGBoost says."""
    estimator = model.steps[-1][1]
    encoded: Any = model[:-1].transform(to_frame(dataset, rows, columns))
    if isinstance(estimator, BoosterRegressor):
        return estimator.contributions(encoded)
    matrix = as_dense(encoded)
    if hasattr(estimator, "coef_"):
        return matrix * np.ravel(estimator.coef_), float(np.ravel(estimator.intercept_)[0])
    explainer = shap.TreeExplainer(estimator)
    base = float(np.ravel(explainer.expected_value)[0])
    return explainer.shap_values(matrix, check_additivity=False), base


def by_column(form: CompiledModel, rows: Rows) -> tuple[npt.NDArray[np.float64], float]:
    """Return what each column of the design matrix adds, as the compiled form says."""
    (flat,) = form.columns
    shapley = shapley_of(flat, form.covers)
    return np.array([shapley.of(row) for row in form.design(rows)]), shapley.base


def require_sum(form: CompiledModel, rows: Rows, *, tolerance: float = 1e-6) -> None:
    """Check that contributions add up to the predictions."""
    predictions = form.verify(machine_code=False)(rows)
    found = explainer_of(form)(rows)
    assert found.added.shape == (len(rows), len(form.dataset.columns))
    size = max(1.0, float(np.abs(predictions).max()))
    difference = np.abs(found.base + found.added.sum(axis=1) - predictions).max()
    assert difference <= tolerance * size


@pytest.mark.parametrize("kind", FLIGHT_KINDS)
def test_values_are_those_of_the_libraries(kind: str) -> None:
    """TreeSHAP of shap and of XGBoost, and weight times value, on rows with every oddity."""
    model, form, rows = flight_form(kind)
    expected, base = by_library(model, DATASET, rows, DATASET.recipe("departed").columns)
    found, own_base = by_column(form, rows)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=2e-4 if "xgboost" in kind else 1e-9)
    assert own_base == pytest.approx(base, abs=1e-4)
    require_sum(form, rows)


@pytest.mark.parametrize("family", [*FAMILIES, "tree.DecisionTreeRegressor"])
def test_every_family_of_trips_adds_up(sample_training_set: TrainingSet, family: str) -> None:
    """Of real models of each family, on every oddity of requests, and as the libraries say."""
    chosen = (
        family if family in FAMILIES else extra_families({family: {"max_depth": [6, 9]}})[family]
    )
    model = fit(chosen, sample_training_set)
    form = compile_model(TRIPS, 1, loaded(model, sample_training_set)).form
    assert form is not None
    rows = odd_rows(40, seed=5)
    require_sum(form, rows)
    columns = loaded(model, sample_training_set).inputs
    expected, base = by_library(model, TRIPS, rows, columns)
    selected = model.named_steps.get("select")
    found, own_base = by_column(form, rows)
    if selected is not None:
        found = found[:, list(selected.places)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert own_base == pytest.approx(base, abs=1e-4)


@pytest.mark.parametrize("kind", FLIGHT_KINDS)
def test_every_encoded_column_comes_from_columns_of_the_row(kind: str) -> None:
    """One-hot codes, filled numbers with their flags, and phases of a time: none is left over."""
    model, form, rows = flight_form(kind)
    assert form.origins is not None
    names = [str(name) for name in model[0].get_feature_names_out()]
    places = DATASET.columns.places
    for name, origin in zip(names, form.origins.tolist(), strict=True):
        own = [column for column in places if f"_{column}" in name]
        assert origin == [places[max(own, key=len)]], name
    values, _ = by_column(form, rows)
    found = explainer_of(form)(rows).added
    for column, place in places.items():
        own_columns = np.flatnonzero(form.origins[:, 0] == place)
        expected = values[:, own_columns].sum(axis=1)
        np.testing.assert_allclose(found[:, place], expected, atol=1e-9)
        assert bool(len(own_columns)) == (column in DATASET.recipe("departed").columns)


@pytest.mark.parametrize("family", ["xgboost", "linear_model.Lasso"])
def test_what_several_columns_make_is_shared(sample_training_set: TrainingSet, family: str) -> None:
    """Means of pairs are of both zones in equal shares; hours and weekdays are of the time."""
    model = loaded(fit(family, sample_training_set), sample_training_set)
    form = compile_model(TRIPS, 1, model).form
    assert form is not None
    rows = odd_rows(20, seed=6)
    values, _ = by_column(form, rows)
    encoder = model.model[0]
    made_of = [
        tuple({PICKUP_TIME if one in {"hour", "weekday"} else one for one in encoder.sources(name)})
        for name in map(str, encoder.get_feature_names_out())
    ]
    assert any(len(own) > 1 for own in made_of)
    expected = by_feature(values, made_of)
    found = explainer_of(form)(rows).added
    for name, place in TRIPS.columns.places.items():
        own = expected[name] if name in expected else np.zeros(len(rows))
        np.testing.assert_allclose(found[:, place], own, atol=1e-9)


def test_reasons_survive_the_way_to_a_server() -> None:
    """Stored forms give the same reasons; older forms answer without them."""
    _, form, rows = flight_form("gradient dense")
    again = CompiledModel.read(written(form), DATASET)
    np.testing.assert_array_equal(explainer_of(again)(rows).added, explainer_of(form)(rows).added)
    former = CompiledModel.read(written(dataclasses.replace(form, origins=None)), DATASET)
    np.testing.assert_array_equal(former.verify()(rows), form.verify()(rows))
    with pytest.raises(InvalidInputError, match="earlier version of this package"):
        require_reasons(former, "Version 1")


@pytest.mark.parametrize(
    "fault", ["no such column", "another width", "a negative cover", "a cover too few"]
)
def test_what_does_not_fit_is_not_read(fault: str) -> None:
    """A stored form whose origins or covers lead nowhere is refused."""
    _, form, _ = flight_form("gradient dense")
    assert form.origins is not None
    origins, covers = form.origins.copy(), form.covers.copy()
    if fault == "no such column":
        origins[0, 0] = len(DATASET.columns)
    elif fault == "another width":
        origins = origins[:-1]
    elif fault == "a negative cover":
        covers[0] = -1
    else:
        covers = covers[:-1]
    broken = dataclasses.replace(form, origins=origins, covers=covers)
    with pytest.raises(NotCompiledError, match="explains its predictions"):
        CompiledModel.read(written(broken), DATASET)


def test_large_forests_give_reasons_in_files_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form for which no request can wait says what a row costs, and where reasons are given."""
    monkeypatch.setattr(compiler, "MOST_NUMBERS", 1_000)
    model = model_of("forest dense")
    served = make_predictor(DATASET, 7, of_flights(model))
    rows = from_frame(DATASET, flight_rows(3, seed=9), DATASET.recipe("departed").columns)
    assert served.form is not None
    assert not len(served.form.covers)
    assert np.isfinite(served.predict(rows)).all()
    with pytest.raises(InvalidInputError, match=r"files only.* nodes.* s") as refused:
        _ = served.explain
    assert "batch_scoring" in refused.value.remedy
    whole = compile_model(DATASET, 7, of_flights(model), waits=False).form
    assert whole is not None
    require_sum(whole, rows)


def test_families_that_are_no_sum_say_so(sample_training_set: TrainingSet) -> None:
    """The error names the version, the rule and the remedy."""
    name = "neighbors.KNeighborsRegressor"
    family = extra_families({name: {"n_neighbors": [3, 5]}})[name]
    model = loaded(fit(family, sample_training_set), sample_training_set)
    served = make_predictor(TRIPS, 4, model)
    with pytest.raises(InvalidInputError, match="KNeighborsRegressor") as refused:
        _ = served.explain
    assert refused.value.given == "Version 4"
    assert "linear or made of trees" in refused.value.remedy


def test_the_strongest_are_named_with_their_values() -> None:
    """By the names of requests, with value and unit; the others are one number, and all add up."""
    _, form, rows = flight_form("forest dense")
    found = explainer_of(form)(rows)
    predictions = form.verify(machine_code=False)(rows)
    for number, (row, prediction) in enumerate(zip(rows, predictions, strict=True)):
        added = found.added[number]
        told = strongest_reasons(DATASET, row.tolist(), prediction, found, number, most=2)
        assert len(told.strongest) == 2
        assert abs(told.strongest[0].added) >= abs(told.strongest[1].added)
        total = told.base + sum(one.added for one in told.strongest) + told.others
        assert total == pytest.approx(prediction, abs=1e-9)
        sizes = sorted(np.abs(added))
        assert [abs(one.added) for one in told.strongest] == [sizes[-1], sizes[-2]]
    first = rows[0]
    names = {
        one.column: one
        for one in strongest_reasons(
            DATASET, first.tolist(), predictions[0], found, 0, most=9
        ).strongest
    }
    assert (names["carrier"].title, names["carrier"].value) == ("Airline", "ZZ")
    assert (names["distance"].unit, names["distance"].value) == ("mi", first[3])
    assert str(names["time_hour"].value).startswith("2013-")
    assert names["weekend"].value in {True, False, None}


def asked(server: Server, query: str, body: object = TRIP) -> httpx.Response:
    """Send a request to predict with a query."""
    return server.ask("POST", f"/predict{query}", json=body)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_answer_gives_reasons_where_they_are_asked_for(
    make_server: Callable[..., Server], version: int
) -> None:
    """Of boosted trees and of a linear model: they add up, and nothing else changes."""
    server = make_server(Deployment(champion=version))
    (plain,) = server.predict(TRIP)
    assert "reasons" not in plain
    assert asked(server, "?explain=false").json()[0].keys() == plain.keys()
    answers = asked(server, "?explain=true", {"inputs": [TRIP, {**TRIP, "trip_distance": 9}]})
    near, far = answers.json()
    assert near["prediction"] == plain["prediction"]
    assert near.keys() - plain.keys() == {"reasons"}
    for one, miles in ((near, 1.5), (far, 9)):
        reasons = one["reasons"]
        total = reasons["base"] + reasons["others"] + sum(x["added"] for x in reasons["strongest"])
        assert total == pytest.approx(one["prediction"], abs=1e-9)
        assert reasons["average"] == (version != 2)
        (distance,) = (x for x in reasons["strongest"] if x["column"] == "trip_distance")
        assert (distance["value"], distance["unit"]) == (miles, "miles")
        assert distance["title"] == "Distance"
        zones = {x["column"] for x in reasons["strongest"]}
        assert zones <= {column.field for column in TRIPS.columns}
    assert len({one["prediction_id"] for one in (plain, near, far)}) == 3


def test_reasons_that_cannot_be_given_are_refused(
    make_server: Callable[..., Server], predictors: dict[int, ServedVersion]
) -> None:
    """By name and with a remedy: a family without, a word that is no answer, too many rows."""
    server = make_server(Deployment(champion=1))
    unknown = asked(server, "?explain=yes")
    assert unknown.status_code == 422
    assert "explain=yes" in unknown.text
    passed_over = asked(server, "?level=80")
    assert passed_over.status_code == 422
    assert passed_over.json()["error"]["given"] == "'level' in the address"
    many = asked(server, "?explain=true", {"inputs": [TRIP] * (EXPLAINED_ROWS + 1)})
    assert many.status_code == 413
    assert f"more than {EXPLAINED_ROWS} rows" in many.text
    plain = dataclasses.replace(predictors[1], form=None, plain="MLPRegressor has no compiled form")
    server.registry.predictors = {9: dataclasses.replace(plain, version=9)}
    server.registry.now = Deployment(champion=9)
    server.live.refresh()
    server.live.wait(20)
    refused = asked(server, "?explain=true")
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert error["given"] == "Version 9"
    assert "MLPRegressor has no compiled form" in error["rule"]
    assert "linear or made of trees" in error["remedy"]
    assert server.predict(TRIP)[0]["model_version"] == 9


def test_the_description_names_the_parameter_and_the_reasons(
    make_server: Callable[..., Server],
) -> None:
    """A query parameter of the route, and a schema of what the answer gives."""
    document = make_server(Deployment(champion=1)).ask("GET", "/openapi.json").json()
    (explain,) = document["paths"]["/predict"]["post"]["parameters"]
    assert (explain["name"], explain["in"], explain["schema"]["type"]) == (
        *("explain", "query"),
        "boolean",
    )
    schemas = document["components"]["schemas"]
    assert {"base", "strongest", "others", "average"} == {*schemas["Reasons"]["properties"]}
    assert {"column", "title", "value", "unit", "added"} == {*schemas["Contribution"]["properties"]}


def test_a_server_needs_no_library_for_reasons() -> None:
    """Neither shap nor scikit-learn is imported by what computes them."""
    program = (
        "import sys, model_loop.serving.compiled.explaining, trip_duration.compiled.forms;"
        "print({'shap', 'sklearn', 'xgboost', 'pandas', 'numba'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.decode().strip() == "set()"


def test_reasons_in_words() -> None:
    """The strongest with their values, and what adds or takes."""
    _, form, rows = flight_form("forest dense")
    found = explainer_of(form)(rows)
    (prediction, *_) = form.verify(machine_code=False)(rows).tolist()
    told = strongest_reasons(DATASET, rows[0].tolist(), prediction, found, 0, most=2)
    words = reasons_in_words(DATASET.target, {"reasons": msgspec.to_builtins(told)})
    assert words.startswith(f" From {told.base:.4g} min on average: ")
    for one in told.strongest:
        assert f"{one.title} = " in words or f"{one.title} is unknown" in words
    assert ("adds" in words) == any(one.added > 0 for one in told.strongest)
    assert ("subtracts" in words) == any(one.added < 0 for one in told.strongest)
    assert f"; others {told.others:+.2g}." in words
    exact = msgspec.to_builtins(told) | {"others": told.base * 1e-7}
    assert "others" not in reasons_in_words(DATASET.target, {"reasons": exact})
    assert reasons_in_words(DATASET.target, {}) == ""

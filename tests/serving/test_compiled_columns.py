"""Compiled forms of encoders that are made of scikit-learn's parts alone."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures
from tests.serving.flights import fitted, flights, rows

from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.models.estimators import make_booster
from model_loop.models.search import SearchRequest
from model_loop.scoring.rows import as_rows, from_frame, to_frame
from model_loop.serving.compiled import kernels, vectors
from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError
from model_loop.tracking.registry import LoadedModel
from model_loop.training_set.encodings import Layout
from model_loop.training_set.matrices import as_dense

DATASET = flights()


def compiled(model: Pipeline, recipe: str = "departed") -> CompiledModel:
    """Compile a model."""
    columns = DATASET.recipe(recipe).columns
    made = compile_model(DATASET, 1, LoadedModel(model, columns, 1.0, rows(5)[list(columns)]))
    assert made.form is not None, made.plain
    return made.form


def model_of(kind: str, holidays: Sequence[int] = ()) -> Pipeline:
    """Return a fitted model: linear, forest, gradient or xgboost, of sparse or dense columns."""
    estimator, _, layout = kind.partition(" ")
    which: Layout = "sparse" if layout == "sparse" else "dense"
    model = fitted(DATASET, "departed", "sparse" if estimator == "linear" else which, holidays)
    if estimator == "linear" or (estimator, layout) == ("forest", "dense"):
        return model
    learned = rows()
    encoder = model.named_steps["encode"]
    matrix: Any = encoder.transform(learned)
    made: Any = GradientBoostingRegressor(n_estimators=15, random_state=2)
    if estimator == "xgboost":
        settings = {"max_depth": 6, "learning_rate": 0.3}
        made = make_booster(get_family(XGBOOST), settings, SearchRequest(threads=1), rounds=25)
    made.fit(matrix, learned["arr_delay"])
    return Pipeline([("encode", encoder), ("estimate", made)])


KINDS = ("linear", "forest dense", "gradient dense", "gradient sparse", "xgboost dense")


def written(form: CompiledModel) -> io.BytesIO:
    """Return the file of a form."""
    file = io.BytesIO()
    form.write(file)
    file.seek(0)
    return file


@pytest.mark.parametrize("machine_code", [True, False])
@pytest.mark.parametrize("holidays", [(), (15_706, 15_889, 16_064)])
@pytest.mark.parametrize("kind", [*KINDS, "xgboost sparse"])
def test_the_form_says_what_the_model_says(
    kind: str, holidays: Sequence[int], *, machine_code: bool
) -> None:
    """Of known, unknown and missing categories, missing numbers and times of any day."""
    model = model_of(kind, holidays)
    file = written(compiled(model))
    predict = CompiledModel.read(file, DATASET).verify(machine_code=machine_code)
    columns = DATASET.recipe("departed").columns
    asked = rows(400, seed=9)
    asked.loc[:20, "carrier"] = "ZZ"
    asked.loc[10:30, "time_hour"] = np.nan
    table = from_frame(DATASET, asked, columns)
    expected = model.predict(to_frame(DATASET, table, columns))
    np.testing.assert_allclose(predict(table), expected, atol=1e-4)
    (one,) = predict(as_rows(DATASET, [table[0].tolist()]))
    assert one == pytest.approx(expected[0], abs=1e-4)


def test_an_earlier_recipe_does_without_what_is_known_later() -> None:
    """Values of other columns are not looked at."""
    model = fitted(DATASET, "planned", "sparse")
    predict = compiled(model, "planned").verify()
    columns = DATASET.recipe("planned").columns
    table = from_frame(DATASET, rows(30, seed=4), DATASET.columns.names)
    expected = model.predict(to_frame(DATASET, table, columns))
    np.testing.assert_allclose(predict(table), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda model: model.set_params(estimate=HistGradientBoostingRegressor()), "Hist"),
        (lambda model: Pipeline([("more", PolynomialFeatures()), *model.steps]), "other steps"),
    ],
)
def test_what_has_no_form_says_why(change: Any, why: str) -> None:
    """The library answers then, and the log says the reason."""
    columns = DATASET.recipe("planned").columns
    made = compile_model(
        DATASET, 1, LoadedModel(change(fitted(DATASET, "planned", "dense")), columns, 1.0, None)
    )
    assert made.form is None
    assert why in made.plain


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 3},
        {"number_columns": np.array([99], dtype=np.int32)},
        {"category_firsts": np.array([10**6, 0], dtype=np.int64)},
        {"targets": np.array([-1], dtype=np.int32)},
        {"phase_bins": np.array([10**6] * 3, dtype=np.int32)},
        {"flag_targets": np.zeros(9, dtype=np.int32)},
        {"day_columns": np.zeros(1, dtype=np.int32)},
        {"day_columns": np.array([9], dtype=np.int32), "day_targets": np.zeros(1, dtype=np.int32)},
        {"first_day": 0.5},
        {"holidays": np.zeros(3)},
        {"holidays": np.zeros((2, 2), dtype=np.bool_)},
    ],
)
def test_tables_that_lead_elsewhere_are_refused(changes: dict[str, Any]) -> None:
    """Machine code looks at no number itself."""
    form = compiled(fitted(DATASET, "planned", "dense"), "planned")
    damaged = dataclasses.replace(form, tables=form.tables._replace(**changes))
    with pytest.raises(NotCompiledError):
        CompiledModel.read(written(damaged), DATASET)


@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_holidays_begin_and_end_at_midnight(layout: Layout) -> None:
    """The encoder, machine code and arrays agree on each side of it, and on any other day."""
    day, beyond = 15_889, 15_891
    model = fitted(DATASET, "planned", layout, [day, beyond, 40_000])
    encoder = model.named_steps["encode"]
    seconds = [day - 1e-6 / 86_400, day, day + 0.5, day + 1 - 1e-6 / 86_400, day + 1, beyond]
    seconds = [86_400 * each for each in (*seconds, -5.0, 0.0, 15_888, 40_000, 40_001, 10**5)]
    asked = rows(len(seconds) + 1).assign(time_hour=[*seconds, np.nan])
    expected = as_dense(encoder.transform(asked[list(DATASET.recipe("planned").columns)]))
    flag = list(encoder.get_feature_names_out()).index("is_holiday__time_hour")
    assert expected[:, flag].tolist() == [0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    tables = compiled(model, "planned").tables
    table = from_frame(DATASET, asked, DATASET.recipe("planned").columns)
    table[:, DATASET.columns.places["carrier"]] = 0.0
    table[:, DATASET.columns.places["flight"]] = 0.0
    table = table.astype(np.float64)
    assert vectors.encode(table, tables, 0.0)[:, flag].tolist() == expected[:, flag].tolist()
    found = np.empty(tables.width)
    for row, holiday in zip(table, expected[:, flag], strict=True):
        kernels.encode(row, tables, 0.0, found)
        assert found[flag] == holiday


def test_a_form_of_an_earlier_version_knows_no_holidays() -> None:
    """It lacks their fields, and is read as it was."""
    form = compiled(fitted(DATASET, "planned", "dense"), "planned")
    new = {f"tables.{name}" for name in ("day_columns", "day_targets", "first_day", "holidays")}
    with np.load(written(form)) as parts:
        former = {name: part for name, part in parts.items() if name not in new}
    assert len(former) == len(parts.files) - len(new)
    file = io.BytesIO()
    np.savez(file, **former)
    file.seek(0)
    predict = CompiledModel.read(file, DATASET).verify()
    np.testing.assert_array_equal(predict(form.sample), form.verify()(form.sample))

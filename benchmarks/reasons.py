"""Cost of the reasons of a prediction, by family, beside the libraries that explain models.

Models of the size that tuning finds on green 2024-01 and 2024-02, recipe rich, answer one trip
after another from their compiled form; shap's `TreeExplainer` and XGBoost's `pred_contribs` explain
the same trips from an encoded row. Months come from MODEL_LOOP_TLC_FOLDER, or are generated.
"""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shap
import xgboost as xgb
from benchmarks.preparation import months_folder
from benchmarks.results import record
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import FAMILIES, XGBOOST, ModelFamily
from model_loop.models.estimators import make_booster, make_sklearn
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Categorical, Integer, Settings
from model_loop.scoring.rows import from_frame
from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.compiled.explaining import MOST_NUMBERS, explainer_of, numbers_of
from model_loop.serving.compiled.flat import Trees
from model_loop.tracking.registry import LoadedModel
from model_loop.training_set.matrices import as_dense
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

TRIPS_ASKED, BY_LIBRARY = 200, 20
#: Served as by `benchmarks.serving`.
ROUNDS, BOOSTED = 600, {"max_depth": 10, "learning_rate": 0.03}


def main() -> None:
    """Print the cost of one row for each family, and keep it."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    with tempfile.TemporaryDirectory() as storage:
        request = TrainingSetRequest(str(months_folder()), "green", split, "rich", "native")
        training_set = build_training_set(request, storage_root=storage)
    print("| | nodes | median, ms | p95, ms | by its library, ms | of a request |")
    print("| --- | --- | --- | --- | --- | --- |")
    for family in FAMILIES.values():
        measure(family, training_set)


def measure(family: ModelFamily, training_set: TrainingSet) -> None:
    """Fit a model of a family, and print and keep what its reasons cost."""
    model = fit(family, training_set)
    columns = training_set.recipe.columns
    asked = training_set.test_inputs.head(TRIPS_ASKED)
    loaded = LoadedModel(model, columns, 1.0, training_set.example_rows)
    form = compile_model(TRIPS, 1, loaded, waits=False).form
    assert form is not None
    explain, rows = explainer_of(form), from_frame(TRIPS, asked, columns)
    seconds = timed(lambda number: explain(rows[number : number + 1]), range(len(rows)))
    nodes = float(len(form.flat.nodes)) if isinstance(form.flat, Trees) else math.nan
    median, late = 1e3 * float(np.median(seconds)), 1e3 * float(np.quantile(seconds, 0.95))
    theirs = 1e3 * by_library(model, asked)
    figures = {"nodes": nodes, "median, ms": median, "p95, ms": late, "by its library, ms": theirs}
    record("reasons", family.name, {k: v for k, v in figures.items() if math.isfinite(v)})
    waits = "yes" if numbers_of(form.flat) <= MOST_NUMBERS else "in files only"
    cells = " | ".join("" if math.isnan(v) else f"{v:,.4g}" for v in figures.values())
    print(f"| {family.name} | {cells} | {waits} |", flush=True)


def fit(family: ModelFamily, training_set: TrainingSet) -> Pipeline:
    """Return a model with settings in the middle of the search space."""
    splits = training_set.layout_for(family.layout)
    estimator: Any = (
        make_booster(family, BOOSTED, SearchRequest(), rounds=ROUNDS)
        if family.name == XGBOOST
        else make_sklearn(family, middle(family), random_state=42)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(splits.train_validation, training_set.train_validation_target)
    return Pipeline([("encode", splits.encoder), ("estimate", estimator)])


def middle(family: ModelFamily) -> Settings:
    """Return the middle of each dimension of a search space."""
    found: dict[str, Any] = {}
    for name, one in family.space.items():
        if isinstance(one, Categorical):
            found[name] = one.values[0]
            continue
        value = math.sqrt(one.low * one.high) if one.log else (one.low + one.high) / 2
        found[name] = round(value) if isinstance(one, Integer) else value
    return found


def by_library(model: Pipeline, asked: Any) -> float:  # noqa: ANN401 - a frame
    """Return the median seconds that shap or XGBoost takes for an encoded row; NaN for neither."""
    estimator = model.steps[-1][1]
    encoded = as_dense(model[:-1].transform(asked.head(BY_LIBRARY)))
    if isinstance(estimator, BoosterRegressor):
        booster = estimator.booster_

        def explain(number: int) -> object:
            row = xgb.DMatrix(encoded[number : number + 1], nthread=1)
            return booster.predict(row, pred_contribs=True)
    elif hasattr(estimator, "coef_"):
        return math.nan
    else:
        explainer = shap.TreeExplainer(estimator)

        def explain(number: int) -> object:
            return explainer.shap_values(encoded[number : number + 1], check_additivity=False)

    return float(np.median(timed(explain, range(len(encoded)))))


def timed(ask: Callable[[int], object], numbers: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the seconds that each question takes, after a first one that is not counted."""
    ask(numbers[0])
    seconds = []
    for number in numbers:
        begun = time.perf_counter()
        ask(number)
        seconds.append(time.perf_counter() - begun)
    return np.array(seconds)


if __name__ == "__main__":
    main()

"""What our search finds, against two others on the same features in the same time.

The others are FLAML (Wang et al., 2021), with all the learners that it has, and a random search of
scikit-learn's `StackingRegressor` over forests and histogram boosting. All see the dense features
of the train month and choose by the validation month; each gets the seconds that ours took.

Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 and 2024-02), or are generated. Names of
recipes on the command line restrict it to those.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings

import numpy as np
from benchmarks.preparation import months_folder
from benchmarks.results import record
from flaml import AutoML
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.linear_model import RidgeCV

from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.models.fitting import FitData
from model_loop.models.search import SearchRequest
from model_loop.models.tuning import tune
from model_loop.training_set.build import build_training_set
from model_loop.training_set.request import TrainingSetRequest
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES

EVALUATIONS = 20
SEED = 42
THREADS = 2


def main() -> None:
    """Search three times for each recipe and print the best validation errors."""
    print("| Recipe | ours | FLAML | stacking | each had |")
    print("| --- | --- | --- | --- | --- |")
    for recipe in sys.argv[1:] or RECIPES:
        training_set = build(recipe)
        request = SearchRequest(max_evaluations=EVALUATIONS, random_state=SEED, threads=THREADS)
        ours = tune(XGBOOST, training_set, request)
        data = FitData.of(training_set, get_family(XGBOOST), request)
        found = [ours.validation.rmse, flaml(data, ours.seconds), stacking(data, ours.seconds)]
        names = ("ours, min", "FLAML, min", "stacking, min")
        kept = {**dict(zip(names, found, strict=True)), "each had, s": ours.seconds}
        record("quality", recipe, kept)
        cells = " | ".join(f"{rmse:.3f} ({rmse / found[0] - 1:+.1%})" for rmse in found)
        print(f"| `{recipe}` | {cells} | {ours.seconds:.0f} s |", flush=True)


def build(recipe: str) -> TrainingSet:
    """The training set of the two months."""
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(str(months_folder()), "green", split, recipe, "native")
    with tempfile.TemporaryDirectory() as storage:
        return build_training_set(request, storage_root=storage)


def flaml(data: FitData, seconds: float) -> float:
    """The lowest validation RMSE that FLAML finds."""
    search = AutoML()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(
            data.train,
            data.train_target,
            X_val=data.validation,
            y_val=data.validation_target,
            task="regression",
            metric="rmse",
            time_budget=seconds,
            n_jobs=THREADS,
            seed=SEED,
            retrain_full=False,
            verbose=0,
        )
    return rmse(data, search.predict(data.validation))


def stacking(data: FitData, seconds: float) -> float:
    """The lowest validation RMSE of stacked models with settings drawn at random.

    The first is always fitted to its end, so that there is one.
    """
    random, best, deadline = np.random.default_rng(SEED), np.inf, time.monotonic() + seconds
    while best == np.inf or time.monotonic() < deadline:
        forest = {
            "n_estimators": int(random.integers(20, 60)),
            "min_samples_leaf": int(random.integers(2, 20)),
            "max_features": float(random.uniform(0.2, 0.6)),
            "random_state": SEED,
            "n_jobs": THREADS,
        }
        boosting = HistGradientBoostingRegressor(
            learning_rate=float(np.exp(random.uniform(np.log(0.04), np.log(0.3)))),
            max_iter=int(random.integers(100, 400)),
            max_leaf_nodes=int(random.integers(15, 127)),
            min_samples_leaf=int(random.integers(5, 60)),
            random_state=SEED,
        )
        model = StackingRegressor(
            [
                ("boosting", boosting),
                ("forest", RandomForestRegressor(**forest)),
                ("extra", ExtraTreesRegressor(**forest)),
            ],
            RidgeCV(),
            cv=3,
        ).fit(data.train, data.train_target)
        best = min(best, rmse(data, model.predict(data.validation)))
    return best


def rmse(data: FitData, predicted: np.ndarray) -> float:
    """Root mean squared error on validation, in minutes."""
    return float(np.sqrt(np.square(predicted - data.validation_target).mean()))


if __name__ == "__main__":
    main()

"""What our search finds, against two others on the same features in the same time.

The others are FLAML (Wang et al., 2021), with all the learners that it has, and a random search of
scikit-learn's `StackingRegressor` over forests and histogram boosting. All see the dense features
of the train month and choose by the validation month; each gets the seconds that ours took.

Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 and 2024-02), or are generated. Names of
recipes on the command line restrict it to those. Files of datasets on the command line are measured
instead: each recipe with three seeds, ours and FLAML on the test part, which neither has seen, each
refitted on train and validation; FLAML has the seconds of our search and last fit.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from benchmarks.calibration import training_set as table_training_set
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

from model_loop.datasets.declaration import read_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.models.fitting import FitData
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.partitions.source import resolved_source
from model_loop.training_set.build import build_training_set
from model_loop.training_set.request import TrainingSetRequest
from model_loop.training_set.table_build import read_source
from model_loop.training_set.table_split import SHARES
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES

EVALUATIONS = 20
SEED, SEEDS = 42, (1, 2, 3)
THREADS = 2


def main() -> None:
    """Search for each recipe, and print the errors."""
    if files := [Path(each) for each in sys.argv[1:] if each.endswith(".toml")]:
        tables(files)
        return
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


def tables(files: list[Path]) -> None:
    """Print the mean test error of ours and of FLAML for each recipe of some datasets."""
    print("| Table, recipe | ours | FLAML | ours is | each had |")
    print("| --- | --- | --- | --- | --- |")
    for path in files:
        declaration = resolved_source(read_declaration(path), path.parent)
        read = read_source(declaration, declaration.name)
        for recipe in dataset_of(read.declaration).recipes:
            found = np.array(
                [on_test(table_training_set(read, recipe, SHARES, seed), seed) for seed in SEEDS]
            )
            ours, theirs, seconds = found.mean(axis=0)
            cells = (f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs - 1:+.1%}")
            named = f"{declaration.name}, {recipe}"
            print(f"| {named} | {' | '.join(cells)} | {seconds:.0f} s |", flush=True)


def on_test(training_set: TrainingSet, seed: int) -> tuple[float, float, float]:
    """Test RMSE of ours and of FLAML, and the seconds that each had."""
    request = SearchRequest(max_evaluations=EVALUATIONS, random_state=seed, threads=THREADS)
    trained = train(tune(XGBOOST, training_set, request), training_set, request)
    assert trained.test is not None
    seconds, dense = trained.tuned.seconds + trained.seconds, training_set.layouts["dense"]
    search = AutoML()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(
            dense.train,
            training_set.train_target,
            X_val=dense.validation,
            y_val=training_set.validation_target,
            task="regression",
            metric="rmse",
            time_budget=seconds,
            n_jobs=THREADS,
            seed=seed,
            retrain_full=True,
            verbose=0,
        )
    columns = [*training_set.recipe.columns]
    test = dense.train_encoder.transform(training_set.test_rows[columns]).astype(np.float32)
    errors = search.predict(test) - training_set.test_target
    return trained.test.rmse, float(np.sqrt(np.square(errors).mean())), seconds


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

"""Errors of our search, against others on the same features in the same time, judged on test.

All see the dense features of the train part, choose by validation, are fitted again on both, and
are judged on the test part, which none of them has seen. Each gets the seconds that ours took.

Trips are measured by default: XGBoost of ours, FLAML (Wang et al., 2021) with all the learners that
it has, and a random search of scikit-learn's `StackingRegressor` over forests and histogram
boosting. Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 to 2024-03), or are generated. Names
of recipes on the command line restrict it to those. Names or files of datasets measure these
instead, ours and FLAML alone: RMSE of numbers, log loss and ROC AUC of classes. Errors of these two
are means of three seeds.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.calibration import completed
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

from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import datasets_folder
from model_loop.models.catalogue import XGBOOST
from model_loop.models.class_metrics import ClassMetrics
from model_loop.models.evaluation import measure_outcomes
from model_loop.models.outcomes import by_code
from model_loop.models.search import Metrics, SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.training_set.matrices import Targets
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.split import SHARES
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES
from trip_duration.training_set.request import TrainingSetRequest

EVALUATIONS = 20
SEED, SEEDS = 42, (1, 2, 3)
THREADS = 2
#: Those that come with the package.
TABLES = ("bikes", "flights", "diabetes", "late")


def main() -> None:
    """Measure trips, or the tables on the command line."""
    named = sys.argv[1:]
    if files := [each for each in named if each in TABLES or each.endswith(".toml")]:
        tables(files)
    else:
        trips(named or list(RECIPES))


def trips(recipes: list[str]) -> None:
    """Print the mean test errors of each recipe, and how much higher than ours the others' are."""
    print("| Recipe | ours | FLAML | stacking, one seed | each had |")
    print("| --- | --- | --- | --- | --- |")
    for recipe in recipes:
        (own, _), (theirs, _), seconds = compared(functools.partial(build, recipe))
        found = [own, theirs, stacking(build(recipe, SEED), seconds)]
        names = ("ours, min", "FLAML, min", "stacking, min")
        kept = {**dict(zip(names, found, strict=True)), "each had, s": seconds}
        record("quality", recipe, kept)
        cells = " | ".join(f"{each:.3f} ({each / own - 1:+.1%})" for each in found)
        print(f"| `{recipe}` | {cells} | {seconds:.0f} s |", flush=True)


#: RMSE of numbers and nothing more; log loss and ROC AUC of classes.
Errors = tuple[float, float]


def compared(made: Callable[[int], TrainingSet]) -> tuple[Errors, Errors, float]:
    """Mean test errors of ours and of FLAML over the seeds, and the mean seconds that each had.

    They take turns, so that other processes of the machine slow both.

    Parameters
    ----------
    made
        ``(seed) -> training set``.
    """
    runs = []
    for seed in SEEDS:
        training_set = made(seed)
        own, seconds = ours(training_set, seed)
        runs.append((*own, *flaml(training_set, seconds, seed), seconds))
        print(f"seed {seed}: {runs[-1]}", file=sys.stderr, flush=True)
    error, auc, their_error, their_auc, seconds = np.array(runs).mean(axis=0).tolist()
    return (error, auc), (their_error, their_auc), seconds


def build(recipe: str, seed: int) -> TrainingSet:
    """The training set of three months."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    request = TrainingSetRequest(
        str(months_folder()), "green", split, recipe, "native", random_state=seed
    )
    with tempfile.TemporaryDirectory() as storage:
        return build_training_set(request, storage_root=storage)


def tables(named: list[str]) -> None:
    """Print the mean test error of ours and of FLAML for each recipe of some datasets."""
    print("| Table, recipe | ours | FLAML | ours is | each had |")
    print("| --- | --- | --- | --- | --- |")
    for name in named:
        path = datasets_folder() / f"{name}.toml" if name in TABLES else Path(name)
        declaration = completed(path)
        for recipe in dataset_of(declaration).recipes:
            (own, auc), (theirs, their_auc), seconds = compared(
                functools.partial(table_training_set, declaration, recipe, SHARES)
            )
            row, worse = f"{declaration.name}, {recipe}", own / theirs - 1
            kept = {"ours": own, "FLAML": theirs, "ours is higher, %": 100 * worse}
            cells = (f"{own:.4g}", f"{theirs:.4g}", f"{worse:+.1%}")
            if declaration.task.kind != "regression":
                kept = {
                    "ours, log loss": own,
                    "FLAML, log loss": theirs,
                    "ours is higher, %": 100 * worse,
                    "ours, ROC AUC": auc,
                    "FLAML, ROC AUC": their_auc,
                }
                cells = (f"{own:.4f}, {auc:.4f}", f"{theirs:.4f}, {their_auc:.4f}", cells[-1])
            kept |= {"each had, s": seconds}
            if name in TABLES and declaration.task.kind == "regression":
                record("quality of tables", row, kept)
            elif name in TABLES:
                record("quality of classes", row, kept)
            print(f"| {row} | {' | '.join(cells)} | {seconds:.0f} s |", flush=True)


def ours(training_set: TrainingSet, seed: int) -> tuple[Errors, float]:
    """Test errors of XGBoost, and the seconds of its search and last fit."""
    request = SearchRequest(max_evaluations=EVALUATIONS, random_state=seed, threads=THREADS)
    request = request.for_target(training_set.target)
    trained = train(tune(XGBOOST, training_set, request), training_set, request)
    assert trained.test is not None
    return errors_of(trained.test), trained.tuned.seconds + trained.seconds


def errors_of(metrics: Metrics) -> Errors:
    """RMSE of numbers; log loss and ROC AUC of classes."""
    if isinstance(metrics, ClassMetrics):
        return metrics.log_loss, metrics.roc_auc
    return metrics.rmse, float("nan")


def flaml(training_set: TrainingSet, seconds: float, seed: int) -> Errors:
    """Test errors of the best model that FLAML finds, fitted again on train and validation."""
    dense, target = training_set.layouts["dense"], training_set.target
    search = AutoML()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(
            dense.train,
            training_set.train_target,
            X_val=dense.validation,
            y_val=training_set.validation_target,
            task=target.kind,
            metric=target.main_metric,
            time_budget=seconds,
            n_jobs=THREADS,
            seed=seed,
            retrain_full=True,
            verbose=0,
        )
    # It keeps the encoding of the train part, in which it has chosen.
    features = features_of_test(training_set, final=False)
    if target.is_classified:
        probabilities = search.predict_proba(features)
        predicted = by_code(probabilities, search.classes_, target.labels)
    else:
        predicted = search.predict(features)
    return errors_of(measure_outcomes(training_set.test_target, predicted, target))


def stacking(training_set: TrainingSet, seconds: float) -> float:
    """Test RMSE of stacked models with settings drawn at random, chosen by validation.

    The first is always fitted to its end, so that there is one.
    """
    dense, deadline = training_set.layouts["dense"], time.monotonic() + seconds
    random, best = np.random.default_rng(SEED), (np.inf, StackingRegressor([]))
    while best[0] == np.inf or time.monotonic() < deadline:
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
        ).fit(dense.train, training_set.train_target)
        rmse = error(model.predict(dense.validation), training_set.validation_target)
        best = min(best, (rmse, model), key=lambda each: each[0])
    model = best[1].fit(dense.train_validation, training_set.train_validation_target)
    return error(model.predict(features_of_test(training_set)), training_set.test_target)


def features_of_test(training_set: TrainingSet, *, final: bool = True) -> np.ndarray:
    """Dense features of the test rows, by the encoder of all learned rows or of train alone."""
    dense = training_set.layouts["dense"]
    encoder = dense.encoder if final else dense.train_encoder
    return np.asarray(encoder.transform(training_set.test_inputs), dtype=np.float32)


def error(predicted: np.ndarray, actual: Targets) -> float:
    """Root mean squared error, in the unit of the target."""
    return float(np.sqrt(np.square(predicted - actual).mean()))


if __name__ == "__main__":
    main()

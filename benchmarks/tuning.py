"""Tuning all families: ours against the plain way, in one run on the same months.

The plain way: the one-hot matrix of a ``DictVectorizer``, wide spaces like those of the course
project, one trial after another with hyperopt's ``fmin``, nothing pruned, families in turn.

Ours, twice: on the same matrix with the same spaces (``one_hot``), and on our own features and
spaces (``native``, recipe `pair_distance`: the same three columns of a trip). scikit-learn's
families are searched by two processes, as two slots of Airflow's pool do; XGBoost takes both cores.

Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 and 2024-02), or are generated.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from benchmarks.preparation import months_folder, plain
from benchmarks.results import record
from upath import UPath

from model_loop.models.catalogue import FAMILIES, XGBOOST, ModelFamily, get_family
from model_loop.models.estimators import make_sklearn
from model_loop.models.proposals import to_hyperopt
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Categorical, Integer, Real, Space
from model_loop.models.spaces import plain as plain_values
from model_loop.models.termination import EarlyTermination
from model_loop.models.tuning import tune
from model_loop.objects.reference import ObjectReference
from model_loop.objects.store import read_object, write_object
from model_loop.training_set.encodings import ENCODINGS, Encoding
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

EVALUATIONS = 20
SEED = 42
_PLAIN_PATIENCE = 50
_PLAIN_ROUNDS = 750

_FOREST: Space = {
    "max_depth": Integer(5, 45),
    "min_samples_leaf": Integer(1, 10),
    "min_samples_split": Integer(2, 20),
    "n_estimators": Integer(10, 60),
}
#: Wide ranges, like those of the course project.
SPACES: Mapping[str, Space] = {
    "linear_model.LinearRegression": {"fit_intercept": Categorical((True, False))},
    "linear_model.Lasso": {"alpha": Real(1e-4, 1.0), "max_iter": Integer(1_000, 5_000)},
    "svm.LinearSVR": {
        "epsilon": Real(0.0, 1.0),
        "C": Real(1e-3, 20.0, log=True),
        "max_iter": Integer(1_000, 5_000),
    },
    "ensemble.ExtraTreesRegressor": {**_FOREST, "n_estimators": Integer(10, 40)},
    "ensemble.GradientBoostingRegressor": {
        **_FOREST,
        "max_depth": Integer(5, 40),
        "n_estimators": Integer(10, 50),
        "learning_rate": Real(0.007, 1.0, log=True),
    },
    "ensemble.RandomForestRegressor": _FOREST,
    XGBOOST: {
        "max_depth": Integer(4, 100),
        "learning_rate": Real(0.05, 1.0, log=True),
        "reg_alpha": Real(0.007, 0.37, log=True),
        "reg_lambda": Real(0.0025, 0.37, log=True),
        "min_child_weight": Real(0.37, 20.0, log=True),
        "subsample": Real(0.5, 1.0),
        "colsample_bytree": Real(0.5, 1.0),
    },
}

#: Seconds and best validation RMSE, by family.
Found = dict[str, tuple[float, float]]


def main() -> None:
    """Search three times and print the ratios; names of families restrict it to those."""
    families = sys.argv[1:] or list(FAMILIES)
    folder = months_folder()
    plain_found, plain_seconds = search_plainly(folder, families)
    for encoding in ENCODINGS:
        found, seconds = search(folder, encoding, families)
        print(f"{encoding}: all in {seconds:.1f} s, {plain_seconds / seconds:.1f} times faster")
        faster = f"{encoding} faster, times"
        if families == list(FAMILIES):
            all_of = {"plain, s": plain_seconds, f"{encoding}, s": seconds}
            record("tuning", "all", {**all_of, faster: plain_seconds / seconds})
        for family in families:
            (slow, plain_rmse), (fast, rmse) = plain_found[family], found[family]
            plainly = {"plain, s": slow, "plain RMSE, min": plain_rmse}
            once = plainly if encoding == ENCODINGS[0] else {}
            own = {f"{encoding}, s": fast, f"{encoding} RMSE, min": rmse, faster: slow / fast}
            record("tuning", family, {**once, **own})
            print(
                f"| {family} | {slow:.1f} s, {plain_rmse:.3f} | {fast:.1f} s, {rmse:.3f} "
                f"| {slow / fast:.1f} | {(rmse / plain_rmse - 1):+.2%} |",
                flush=True,
            )


def search_plainly(folder: Path, families: list[str]) -> tuple[Found, float]:
    """The plain way; preparing the matrix is not counted."""
    _, train, validation = plain(folder)
    for matrix in (train, validation):
        # DictVectorizer's are 64 bits wide, which coordinate descent no longer takes.
        matrix.indices, matrix.indptr = (
            part.astype(np.int32) for part in (matrix.indices, matrix.indptr)
        )
    with tempfile.TemporaryDirectory() as storage:
        reference = build(folder, "one_hot", storage)
    minutes = (reference.train_target, reference.validation_target)
    found: Found = {}
    began = time.perf_counter()
    for family in families:
        started = time.perf_counter()
        best = fmin(get_family(family), (train, minutes[0]), (validation, minutes[1]))
        found[family] = (time.perf_counter() - started, best)
        print(f"plain {family}: {found[family][0]:.1f} s, {best:.3f}", flush=True)
    return found, time.perf_counter() - began


def fmin(family: ModelFamily, train: tuple[Any, Any], validation: tuple[Any, Any]) -> float:
    """The lowest validation RMSE that hyperopt finds."""
    import hyperopt

    space = SPACES[family.name]

    def objective(point: dict[str, Any]) -> float:
        settings = plain_values(space, point)
        if family.name == XGBOOST:
            known = xgb.DMatrix(*validation)
            booster = xgb.train(
                {**family.fixed, **settings, "seed": SEED},
                xgb.DMatrix(*train),
                num_boost_round=_PLAIN_ROUNDS,
                evals=[(known, "validation")],
                early_stopping_rounds=_PLAIN_PATIENCE,
                verbose_eval=False,
            )
            predicted = booster.predict(known, iteration_range=(0, booster.best_iteration + 1))
        else:
            model: Any = make_sklearn(without_fixed(family), settings, random_state=SEED)
            model.fit(*train)
            predicted = model.predict(validation[0])
        return float(np.sqrt(np.square(predicted - validation[1]).mean()))

    trials = hyperopt.Trials()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hyperopt.fmin(
            objective,
            to_hyperopt(space),
            algo=hyperopt.tpe.suggest,
            max_evals=EVALUATIONS,
            rstate=np.random.default_rng(SEED),
            trials=trials,
            show_progressbar=False,
            verbose=False,
        )
    return float(min(trials.losses()))


def search(folder: Path, encoding: Encoding, families: list[str]) -> tuple[Found, float]:
    """Our way: scikit-learn's families two at a time, then XGBoost on both cores."""
    with tempfile.TemporaryDirectory() as storage:
        reference = write_object(build(folder, encoding, storage), UPath(storage), "training_set")
        # The longest first, so that both processes end at about the same time.
        longest = ["GradientBoosting", "RandomForest", "SVR", "ExtraTrees", "Lasso", "Linear"]
        sklearn = sorted(
            (name for name in families if name != XGBOOST),
            key=lambda name: next(place for place, part in enumerate(longest) if part in name),
        )
        spawning = multiprocessing.get_context("spawn")
        with spawning.Pool(2) as pool:
            pool.map(warm_up, range(2), chunksize=1)
            began = time.perf_counter()
            jobs = [(name, encoding, reference, 1) for name in sklearn]
            results = pool.starmap(search_family, jobs, chunksize=1)
            if XGBOOST in families:
                results += pool.starmap(search_family, [(XGBOOST, encoding, reference, 2)])
            seconds = time.perf_counter() - began
    return dict(results), seconds


def search_family(
    name: str, encoding: Encoding, training_set: ObjectReference, threads: int
) -> tuple[str, tuple[float, float]]:
    """One family, with what a task does: read the training set, search."""
    family = get_family(name)
    if encoding == "one_hot":
        family = dataclasses.replace(without_fixed(family), space=SPACES[name])
    request = SearchRequest(
        max_evaluations=EVALUATIONS,
        random_state=SEED,
        early_termination=EarlyTermination("truncation"),
        threads=threads,
    )
    started = time.perf_counter()
    tuned = tune(family, read_object(training_set), request)
    seconds = time.perf_counter() - started
    pruned = sum(trial.stopped is not None for trial in tuned.trials)
    print(f"{encoding} {name}: {seconds:.1f} s, {pruned} pruned", file=sys.stderr, flush=True)
    return name, (seconds, tuned.validation.rmse)


def warm_up(_number: int) -> None:
    """Import what the searches need; a worker of Airflow has done so before."""
    import hyperopt  # noqa: F401 - for its import

    time.sleep(1)


def build(folder: Path, encoding: Encoding, storage: str) -> TrainingSet:
    """The training set of the two months."""
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(str(folder), "green", split, "pair_distance", encoding)
    return build_training_set(request, storage_root=storage)


def without_fixed(family: ModelFamily) -> ModelFamily:
    """A family of scikit-learn with scikit-learn's own defaults; XGBoost as it is."""
    return family if family.name == XGBOOST else dataclasses.replace(family, fixed={})


if __name__ == "__main__":
    main()

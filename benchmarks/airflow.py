"""Overhead of Airflow: both training DAGs against the same work in two plain processes.

Both tune, train, judge, explain and register all seven families on the same training set, log to
the same MLflow server, and have two cores: Airflow by a pool of two slots, of which XGBoost takes
both; the plain way by a pool of two processes, then one fit on both cores. Seconds are those from
the request to the last result; Airflow and its server are up before.

Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 to 2024-03), or are generated.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

from benchmarks.preparation import months_folder
from benchmarks.results import record
from benchmarks.stacks import local_stack, run_all
from benchmarks.tuning import warm_up
from upath import UPath

from model_loop.local.start import api_of
from model_loop.models.catalogue import SKLEARN_FAMILIES, XGBOOST
from model_loop.models.search import SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects.reference import ObjectReference
from model_loop.objects.store import read_object, write_object
from model_loop.tracking.lineage import lineage_of, log_lineage
from model_loop.tracking.models import log_model_report
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

EVALUATIONS = 20
RECIPE = "rich"
MONTHS = ("2024-01", "2024-02", "2024-03")


def main() -> None:
    """Do the work twice and print the ratio."""
    folder = months_folder()
    with tempfile.TemporaryDirectory() as place:
        os.environ["AIRFLOW_HOME"] = f"{place}/home"
        with local_stack(Path(place)) as stack:
            api = api_of(stack)
            api.wait_for_dags({"data_preparation", "sklearn_training", "xgboost_training"})
            conf = {
                "source": str(folder),
                "train_months": [MONTHS[0]],
                "validation_months": [MONTHS[1]],
                "test_months": [MONTHS[2]],
                "recipe": RECIPE,
            }
            run_all(api, {"data_preparation": conf})
            plain = run_plainly(folder, stack.mlflow_url, place)
            search = {**conf, "max_evaluations": EVALUATIONS}
            _, airflow = run_all(api, {"sklearn_training": search, "xgboost_training": search})
    added = 100 * (airflow / plain - 1)
    found = {"plain, s": plain, "with Airflow, s": airflow, "added, %": added}
    record("airflow", "both training DAGs", found)
    print(f"plain {plain:.1f} s, with Airflow {airflow:.1f} s ({airflow / plain - 1:+.1%})")


def run_plainly(folder: Path, tracking_uri: str, storage: str) -> float:
    """Seconds of the same work without Airflow."""
    request = TrainingSetRequest(str(folder), "green", MonthSplit.parse(*MONTHS), RECIPE)
    built = build_training_set(request, storage_root=storage)
    stored = write_object(built, UPath(storage), "plain")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(warm_up, range(2), chunksize=1)
        started = time.perf_counter()
        jobs = [(name, stored, tracking_uri, 1) for name in SKLEARN_FAMILIES]
        pool.starmap(everything, jobs, chunksize=1)
        pool.starmap(everything, [(XGBOOST, stored, tracking_uri, 2)])
        return time.perf_counter() - started


def everything(name: str, stored: ObjectReference, tracking_uri: str, threads: int) -> None:
    """All that the DAGs do for one family."""
    training_set: TrainingSet = read_object(stored)
    request = SearchRequest(
        max_evaluations=EVALUATIONS, early_termination=EarlyTermination("truncation")
    )
    if threads == 1:
        os.environ["OMP_NUM_THREADS"] = "1"
    tracker = Tracker(tracking_uri, "plain")
    run_id = tracker.open_run(f"plain/{name}", name, {})
    with TrialLogger(tracker, run_id, {}) as log_trial:
        tuned = tune(name, training_set, request, log_trial)
    trained = train(tuned, training_set, request)
    log_model_report(tracker, run_id, trained, training_set)
    log_lineage(tracker, run_id, lineage_of(trained, training_set, request))
    register_model(
        tracker,
        run_id,
        trained.model,
        name="plain",
        example=training_set.example_rows,
        tags={},
    )
    tracker.close_run(run_id)


if __name__ == "__main__":
    main()

"""Training through a real Airflow and MLflow: reports, killed searches, models trained again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.artifacts
import pandas as pd
import pytest
from tests.integration.conftest import PROJECT, RunningStack

from model_loop.local.airflow_api import FINISHED, TaskState
from model_loop.tracking.deployments import alias_of
from model_loop.tracking.names import FIGURES
from trip_duration.services import MOMENTS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

WAIT_SECONDS = 600
FAMILY = "ensemble.GradientBoostingRegressor"
EVALUATIONS = 8


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Wait until a check finds something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.2)
    return found


def trials_of(running: RunningStack, run_id: str) -> dict[str, str]:
    """Number and run of each trial that has ended, of all families of a DAG run."""
    client = running.tracking
    experiment = client.get_experiment_by_name("trip-duration")
    assert experiment is not None
    ids = [experiment.experiment_id]
    identity = f"tags.`trip_duration.identity` = 'sklearn_training/{run_id}/{FAMILY}'"
    families = client.search_runs(ids, identity)
    if not families:
        return {}
    condition = f"tags.mlflow.parentRunId = '{families[0].info.run_id}'"
    trials = client.search_runs(ids, condition, max_results=1_000)
    numbers = [trial.data.tags["trial"] for trial in trials]
    assert len(set(numbers)) == len(numbers), "a trial was logged twice"
    return {
        trial.data.tags["trial"]: trial.info.run_id
        for trial in trials
        if trial.info.status != "RUNNING"
    }


def tune_task(running: RunningStack, run_id: str) -> TaskState:
    """The task that searches."""
    tasks = running.api.tasks("sklearn_training", run_id)
    return next(task for task in tasks if task.task_id == "model.tune")


def test_every_family_has_its_report(
    running: RunningStack, results: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Errors by slice, importances and charts lie beside each model; the naive error below all."""
    client = running.tracking
    for result in results:
        for family in result["families"]:
            run_id = family["run_id"]
            names = {item.path for item in client.list_artifacts(run_id)}
            assert {"errors_by_slice.csv", "permutation_importance.csv", "lineage.json"} <= names
            assert FIGURES in names
            path = client.download_artifacts(run_id, "errors_by_slice.csv", str(tmp_path))
            slices = pd.read_csv(path)
            assert set(slices["slice"]) == {"borough", "hour", "distance", "duration"}
            assert family["test_rmse"] < result["compared_with"]["median of all rows"]["test_rmse"]
        mlflow.set_tracking_uri(running.stack.mlflow_url)
        table = mlflow.artifacts.load_dict(
            f"runs:/{result['run_id']}/comparison.json",
        )
        listed = [row[0] for row in table["data"]]
        families = [family["family"] for family in result["families"]]
        assert listed[: len(families) + 1] == [*families, "median of all rows"]
        assert "of the pair of zones" in listed[len(families) + 1]


@pytest.mark.faults
def test_a_killed_search_goes_on(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """SIGKILL in the middle of a search: the retry evaluates what is left, and nothing twice."""
    conf = {"models": [FAMILY], "max_evaluations": EVALUATIONS, "early_termination": "none"}
    run_id = running.api.trigger("sklearn_training", conf)
    before = eventually(
        lambda: (found := trials_of(running, run_id)) and len(found) >= 2 and found,
        "trials",
    )
    path = f"/dags/sklearn_training/dagRuns/{run_id}/taskInstances/model.tune/0"
    process = running.api.get(path)["pid"]
    os.kill(process, signal.SIGKILL)
    state = eventually(
        lambda: (now := running.api.run_state("sklearn_training", run_id)) in FINISHED and now,
        "end of the run",
    )
    assert state == "success"
    task = tune_task(running, run_id)
    assert task.try_number == 2
    lines = "\n".join(running.api.log("sklearn_training", run_id, task))
    assert f"{FAMILY}: going on where the search was interrupted" in lines
    after = trials_of(running, run_id)
    assert len(after) == EVALUATIONS
    assert before.items() <= after.items()
    assert results


def reproduced(running: RunningStack, model_uri: str) -> dict[str, Any]:
    """Output of `model-loop reproduce` for a version that the DAGs have registered."""
    version, stack = model_uri.rpartition("/")[2], running.stack
    done = subprocess.run(
        [str(Path(sys.executable).parent / "model-loop"), "reproduce", version, "--json"],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={
            **os.environ,
            **stack.environment(),
            "MODEL_LOOP_TRACKING_URI": stack.mlflow_url,
        },
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_versions_are_trained_again(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """`model-loop reproduce` finds the errors of a version that the DAGs have registered."""
    found = reproduced(running, results[-1]["families"][0]["model_uri"])
    assert found["agrees"]
    assert found["training_set"] == results[-1]["training_set"]
    assert [month["month"] for month in found["months"]] == ["2024-01", "2024-02", "2024-03"]


def finished_run(running: RunningStack, conf: dict[str, Any]) -> str:
    """Train scikit-learn families; the id of the run."""
    run_id = running.api.trigger("sklearn_training", conf)
    state = eventually(
        lambda: (now := running.api.run_state("sklearn_training", run_id)) in FINISHED and now,
        "end of the run",
    )
    failed = [
        line
        for task in running.api.tasks("sklearn_training", run_id)
        if task.state == "failed"
        for line in running.api.log("sklearn_training", run_id, task)[-12:]
    ]
    assert state == "success", "\n".join(failed)
    return run_id


def test_further_regressors_on_selected_columns(
    running: RunningStack, results: list[dict[str, Any]]
) -> None:
    """A regressor from the conf, on half of the columns, beside the champion of the registry."""
    client, other = running.tracking, results[-1]
    _, name, version = other["families"][0]["model_uri"].split("/")
    alias = alias_of("champion", other["moment"], MOMENTS)
    before = client.get_registered_model(name).aliases.get(alias)
    client.set_registered_model_alias(name, alias, version)
    conf = {
        # Champions are of one moment, and so is what is compared with them.
        "recipe": other["recipe"],
        "models": [],
        "extra_models": {"linear_model.Ridge": {"alpha": {"low": 0.01, "high": 10.0, "log": True}}},
        "feature_selection": "correlation",
        "primary_metric": "mae",
        "max_evaluations": 3,
    }
    run_id = finished_run(running, conf)
    if before is None:
        client.delete_registered_model_alias(name, alias)
    else:
        client.set_registered_model_alias(name, alias, str(before))
    result = running.api.result("sklearn_training", run_id, "results")
    (family,) = result["families"]
    assert family["family"] == "linear_model.Ridge"
    assert family["loss"] == family["validation_mae"]
    compared = result["compared_with"]
    first, *_, last = compared
    assert (first, last) == ("median of all rows", f"champion (version {version})")
    assert compared[last]["test_rmse"] == pytest.approx(other["families"][0]["test_rmse"])
    names = {item.path for item in client.list_artifacts(family["run_id"])}
    assert "feature_selection.csv" in names
    assert reproduced(running, family["model_uri"])["agrees"]

"""The loop of a table of classes through a real Airflow: prepared, trained, promoted and asked."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from tests.integration.conftest import RunningStack
from tests.integration.test_scoring import end_of, failures, run

from model_loop.datasets.registry import datasets_folder
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

#: Patients that are asked about, without the outcome.
ASKED = 10
TRAININGS: dict[str, dict[str, Any]] = {
    "diabetes__xgboost_training": {"max_evaluations": 2},
    "diabetes__sklearn_training": {
        "models": ["linear_model.LogisticRegression"],
        "max_evaluations": 2,
        "primary_metric": "average_precision",
    },
}


@pytest.fixture(scope="module")
def trained(running: RunningStack) -> dict[str, dict[str, Any]]:
    """The results of both trainings, which have the table prepared first, by the DAG."""
    running.api.wait_for_dags({*TRAININGS, "diabetes__promotion"})
    runs = {dag_id: running.api.trigger(dag_id, conf) for dag_id, conf in TRAININGS.items()}
    for dag_id, run_id in runs.items():
        assert end_of(running, dag_id, run_id) == "success", failures(running, dag_id, run_id)
    return {
        dag_id: running.api.result(dag_id, run_id, "results") for dag_id, run_id in runs.items()
    }


def test_patients_are_prepared_and_trained(
    running: RunningStack, trained: dict[str, dict[str, Any]]
) -> None:
    """Results and runs have the log loss, and the constant prediction is beaten by far."""
    for result in trained.values():
        rows = result["rows"]
        assert rows["all"] + rows["test"] == 10_000
        (family,) = result["families"]
        tracked = running.tracking.get_run(family["run_id"]).data
        assert tracked.metrics["test_log_loss"] == family["test_log_loss"]
        constant = result["compared_with"]["share of all rows"]["test_log_loss"]
        assert family["test_log_loss"] < 0.75 * constant
    (boosted,) = trained["diabetes__xgboost_training"]["families"]
    assert boosted["test_roc_auc"] > 0.98


def test_a_metric_of_numbers_is_no_choice(running: RunningStack) -> None:
    """The form of the DAG refuses it before anything is done."""
    with pytest.raises(Exception, match="primary_metric"):
        running.api.trigger("diabetes__xgboost_training", {"primary_metric": "rmse"})


def test_the_champion_answers_with_a_class(
    running: RunningStack, trained: dict[str, dict[str, Any]]
) -> None:
    """The boosted model passes the gate; the DAG says labels with their probabilities."""
    run(running, "diabetes__promotion", why="the first")
    tracker = Tracker(running.stack.mlflow_url, "diabetes-promotion")
    standing = Promoter(tracker, "diabetes", "request").standing()
    (boosted,) = trained["diabetes__xgboost_training"]["families"]
    assert standing.champion == int(boosted["model_uri"].rpartition("/")[2])
    table = pd.read_csv(datasets_folder() / "data" / "diabetes.csv.gz").sample(
        ASKED, random_state=0
    )
    rows = table.drop(columns=["PatientID", "Diabetic"])
    answered = run(running, "diabetes__prediction", inputs=rows.to_dict(orient="records"))
    found = running.api.result("diabetes__prediction", answered, "predict")["predictions"]
    assert {each["prediction"] for each in found} <= {0, 1}
    for each in found:
        assert sum(each["probabilities"].values()) == pytest.approx(1.0)
        assert each["prediction"] == int(each["probabilities"]["1"] >= each["threshold"])
    pairs = zip(found, table["Diabetic"], strict=True)
    assert sum(each["prediction"] == actual for each, actual in pairs) >= 0.8 * ASKED

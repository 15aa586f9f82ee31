"""The loop of a declared table through a real Airflow: prepared, trained, promoted and asked."""

from __future__ import annotations

import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.integration.conftest import RunningStack, mails
from tests.integration.test_scoring import end_of, failures, run

from model_loop.datasets.registry import datasets_folder
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

#: Rows that are asked for; without the columns that are known only afterwards.
ASKED, LATER = 20, ["instant", "casual", "registered", "cnt"]
#: The table comes as one file, and is cut by its time.
PARTITIONS = {f"bikes|{year}-{month:02d}" for year in (2011, 2012) for month in range(1, 13)}
ROWS = 17_379
TRAININGS: dict[str, dict[str, Any]] = {
    "bikes__xgboost_training": {"max_evaluations": 2},
    "bikes__sklearn_training": {
        "models": ["linear_model.LinearRegression"],
        "max_evaluations": 1,
    },
}
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def trained(running: RunningStack) -> dict[str, dict[str, Any]]:
    """The results of both trainings of bikes, which have the table prepared first, by the DAG."""
    running.api.wait_for_dags({*TRAININGS, "bikes__promotion"})
    runs = {dag_id: running.api.trigger(dag_id, conf) for dag_id, conf in TRAININGS.items()}
    for dag_id, run_id in runs.items():
        assert end_of(running, dag_id, run_id) == "success", failures(running, dag_id, run_id)
    return {
        dag_id: running.api.result(dag_id, run_id, "results") for dag_id, run_id in runs.items()
    }


@pytest.fixture(scope="module")
def champion(running: RunningStack, trained: dict[str, dict[str, Any]]) -> int:
    """The version that the gate has let pass: that of the lowest error on validation."""
    families = [family for result in trained.values() for family in result["families"]]
    best = min(families, key=lambda family: family["validation_rmse"])
    run_id = run(running, "bikes__promotion", why="the first")
    tracker = Tracker(running.stack.mlflow_url, "bikes-promotion")
    standing = Promoter(tracker, "bikes", "request").standing()
    version = int(best["model_uri"].rpartition("/")[2])
    assert standing.champion == version, running.api.result("bikes__promotion", run_id, "judge")
    return version


def mails_about(running: RunningStack, words: str) -> list[tuple[EmailMessage, str]]:
    """Wait for mails that hold some words; return them with their texts."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = [(mail, body.get_content()) for mail in mails(running) if (body := mail.get_body())]
        if about := [(mail, text) for mail, text in found if words in text]:
            return about
        time.sleep(0.5)
    pytest.fail(f"no mail about {words}")


def test_a_table_is_prepared_and_trained(
    running: RunningStack, trained: dict[str, dict[str, Any]]
) -> None:
    """Each month is an event of the asset, parts are those of the form, the mean is beaten."""
    events = running.api.get("/assets/events?source_dag_id=bikes__data_preparation&limit=100")
    assert {event["partition_key"] for event in events["asset_events"]} >= PARTITIONS
    for dag_id, result in trained.items():
        rows = result["rows"]
        assert rows["all"] + rows["test"] == ROWS
        assert rows["test"] == pytest.approx(0.15 * ROWS, rel=0.2)
        (family,) = result["families"]
        tracked = running.tracking.get_run(family["run_id"]).data
        assert tracked.metrics["test_rmse"] == family["test_rmse"]
        assert tracked.tags["pipeline"] == dag_id
    boosted = trained["bikes__xgboost_training"]
    compared = boosted["compared_with"]
    assert len(compared) > 1
    best = boosted["families"][0]["test_rmse"]
    assert all(best < errors["test_rmse"] for errors in compared.values())


def test_what_is_there_is_not_prepared_again(
    running: RunningStack, trained: dict[str, dict[str, Any]]
) -> None:
    """The same form finds the training set that was made of the same file."""
    dag_id = "bikes__data_preparation"
    run_id = run(running, dag_id)
    result = running.api.result(dag_id, run_id, "results")
    assert result["built"] is False
    assert {result["digest"]} == {each["training_set"] for each in trained.values()}
    states = {task.task_id: task.state for task in running.api.tasks(dag_id, run_id)}
    assert states["encode_partitions"] == "skipped"


def test_form_and_file_give_the_same_answers(running: RunningStack, champion: int) -> None:
    """The champion answers rows of a file as it answers them over REST."""
    table = pd.read_csv(datasets_folder() / "data" / "bikes_hourly.csv.gz")
    rows = table.sample(ASKED, random_state=0).drop(columns=LATER)
    folder = Path(running.stack.storage_root.removeprefix("file://")) / "asked"
    folder.mkdir()
    rows.to_csv(folder / "bikes.csv", index=False)
    scored = run(running, "bikes__batch_scoring", input=str(folder / "bikes.csv"))
    joined = running.api.result("bikes__batch_scoring", scored, "join")
    assert (joined["model_version"], joined["predicted_rows"]) == (champion, ASKED)
    answered = run(running, "bikes__prediction", inputs=rows.to_dict(orient="records"))
    found = running.api.result("bikes__prediction", answered, "predict")["predictions"]
    from_file = pd.read_csv(joined["files"][0]["output"])["prediction"]
    assert [each["prediction"] for each in found] == pytest.approx(list(from_file), rel=1e-6)
    assert {each["unit"] for each in found} == {"rentals"}


def test_mails_speak_of_the_table(running: RunningStack, champion: int) -> None:
    """Mails of a promotion and a failure name the DAG, the table and the remedy."""
    (mail, text), *_ = mails_about(running, f"The champion of bikes is now version {champion}")
    assert "bikes" in str(mail["subject"])
    assert "trigger bikes__promotion with action rollback" in text
    missing = f"{running.stack.storage_root}/none.csv"
    run_id = running.api.trigger("bikes__data_preparation", {"source": missing})
    assert end_of(running, "bikes__data_preparation", run_id) == "failed"
    assert "none.csv" in failures(running, "bikes__data_preparation", run_id)
    (mail, text), *_ = mails_about(running, run_id)
    assert "bikes__data_preparation failed in plan_partitions" in f"{mail['subject']} {text}"
    assert "none.csv" in text

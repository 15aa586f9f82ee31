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
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def trained(running: RunningStack) -> dict[str, Any]:
    """The result of a training of bikes, which has the table prepared first."""
    running.api.wait_for_dags({f"bikes__{job}" for job in ("xgboost_training", "promotion")})
    run_id = run(running, "bikes__xgboost_training", max_evaluations=2)
    tasks = {task.task: task.state for task in running.api.tasks("bikes__xgboost_training", run_id)}
    assert tasks["data_preparation"] == "success"
    result: dict[str, Any] = running.api.result("bikes__xgboost_training", run_id, "results")
    return {**result, "dag_run": run_id}


@pytest.fixture(scope="module")
def champion(running: RunningStack, trained: dict[str, Any]) -> int:
    """The version that the gate has let pass."""
    version = int(trained["families"][0]["model_uri"].rpartition("/")[2])
    run_id = run(running, "bikes__promotion", why="the first")
    promoter = Promoter(
        Tracker(running.stack.mlflow_url, "trip-duration-promotion"), "bikes", "request"
    )
    standing = promoter.standing()
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


def test_a_table_is_prepared_and_trained(running: RunningStack, trained: dict[str, Any]) -> None:
    """Each month is an event of the asset, parts are those of the form, the mean is beaten."""
    events = running.api.get("/assets/events?source_dag_id=bikes__data_preparation&limit=100")[
        "asset_events"
    ]
    assert {event["partition_key"] for event in events} == PARTITIONS
    rows = trained["rows"]
    assert rows["all"] + rows["test"] == 17_379
    assert rows["test"] == pytest.approx(0.15 * 17_379, rel=0.2)
    assert (trained["service"], trained["recipe"]) == ("bikes", "request")
    best = trained["families"][0]["test_rmse"]
    assert all(best < errors["test_rmse"] for errors in trained["compared_with"].values())
    runs = running.tracking.get_run(trained["families"][0]["run_id"])
    assert runs.data.tags["pipeline"] == "bikes__xgboost_training"
    assert runs.data.metrics["test_rmse"] == best


def test_what_is_there_is_not_prepared_again(
    running: RunningStack, trained: dict[str, Any]
) -> None:
    """The same form finds the training set that was made of the same file."""
    run_id = run(running, "bikes__data_preparation")
    result = running.api.result("bikes__data_preparation", run_id, "results")
    assert result["built"] is False
    assert result["digest"] == trained["training_set"]
    tasks = {
        task.task_id: task.state for task in running.api.tasks("bikes__data_preparation", run_id)
    }
    assert tasks["encode_partitions"] == "skipped"


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
    """A promotion and a failure are told with the DAG, the table and what to do."""
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

"""Today's local stack starts where a stack of version aa3853a has stopped, and goes on.

The state is that of tests/upgrade/README.md: what had waited for months, a person, a mail server or
a retraining waits still.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.integration.closed_loop import champion, eventually
from tests.integration.conftest import RunningStack, mails, make_stack, running_stack
from tests.integration.test_serving import sign_in
from tests.upgrade.stores import OldStores, object_store, unpack

from model_loop.local.airflow_api import FINISHED
from model_loop.orchestration.web.mounting import URL_PREFIX

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

#: Airflow asks again when an answer comes before the worker that asked has gone.
READING_SECONDS = 7


@pytest.fixture(scope="module")
def upgraded(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningStack, OldStores]]:
    """A stack on the old state, and that state."""
    old = unpack(tmp_path_factory.mktemp("upgrade"))
    with object_store(old):
        stack = make_stack(old.state)
        settings = {
            "storage_root": old.storage_root,
            "sample_trips_per_month": 600,
            "retraining_schedule": "",
            "retraining_train_partitions": 1,
        }
        told = {*stack.settings.model_fields_set, *settings}
        changed = stack.settings.model_copy(update=settings)
        assert changed.model_fields_set == told
        with running_stack(replace(stack, settings=changed)) as running:
            running.api.wait_for_dags({"watch_months", "retraining", "promotion", "monitoring"})
            for dag_id in ("retraining", "monitoring"):
                path = f"/dags/{dag_id}"
                running.api.send("PATCH", path, json={"is_paused": False}).raise_for_status()
            yield running, old


def finish(running: RunningStack, dag_id: str, **conf: Any) -> str:
    """Run a DAG to its good end; the id of the run."""
    return ended(running, dag_id, running.api.trigger(dag_id, conf))


def ended(running: RunningStack, dag_id: str, run_id: str) -> str:
    """Wait for the good end of a run."""
    state = eventually(
        lambda: (now := running.api.run_state(dag_id, run_id)) in FINISHED and now,
        f"end of {dag_id}",
    )
    failed = [task for task in running.api.tasks(dag_id, run_id) if task.state == "failed"]
    log = [line for task in failed for line in running.api.log(dag_id, run_id, task)]
    assert state == "success", "\n".join(log)
    return run_id


def test_runs_and_results_of_then_are_shown(upgraded: tuple[RunningStack, OldStores]) -> None:
    """Every run is listed, with its state and the results of its tasks."""
    running, old = upgraded
    found = running.api.get("/dags/~/dagRuns?limit=1000")["dag_runs"]
    states = {f"{run['dag_id']}/{run['dag_run_id']}": run["state"] for run in found}
    for name, then in old.expected["runs"].items():
        if then["state"] in FINISHED:
            assert states[name] == then["state"], name
        dag_id, _, run_id = name.partition("/")
        for task, value in then["results"].items():
            task_id, _, index = task.partition("[")
            path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
            shown = running.api.get(f"{path}/return_value?map_index={index.rstrip(']')}")
            assert shown["value"] == value, (name, task)


def test_the_champion_of_then_answers(upgraded: tuple[RunningStack, OldStores]) -> None:
    """Trips are answered with the same minutes by the DAG and inside Airflow."""
    running, old = upgraded
    (then,) = (
        run["results"]["predict[-1]"]
        for name, run in old.expected["runs"].items()
        if name == f"prediction/{old.expected['prediction_run']}"
    )
    inputs = [
        {
            "PULocationID": trip["pickup_zone"],
            "DOLocationID": trip["dropoff_zone"],
            "trip_distance": trip["trip_distance"],
            "pickup_at": trip["pickup_at"],
        }
        for trip in old.expected["trips"]
    ]
    run_id = finish(running, "prediction", inputs=inputs)
    now = running.api.result("prediction", run_id, "predict")
    assert now["model_version"] == then["model_version"]
    assert [one["minutes"] for one in now["predictions"]] == [
        one["minutes"] for one in then["predictions"]
    ]
    bearer = {"Authorization": f"Bearer {sign_in(running)}"}
    url = f"{running.stack.airflow_url}{URL_PREFIX}"
    models = requests.get(f"{url}/models", headers=bearer, timeout=120)
    assert models.status_code == 200, models.text
    for page in ("overview", "data", "models", "monitoring"):
        shown = requests.get(f"{url}/dashboard/{page}", headers=bearer, timeout=120)
        assert shown.status_code == 200, shown.text
    health = requests.get(f"{url}/health", headers=bearer, timeout=120).json()
    assert health["problems"] == {}


def test_a_mail_that_waited_is_sent(upgraded: tuple[RunningStack, OldStores]) -> None:
    """A failure that found no mail server is mailed once, and the mail says that it is late."""
    running, old = upgraded
    finish(running, "alerts")
    text = eventually(
        lambda: [text for text in texts(running) if old.expected["failed_run"] in text],
        "mail of the old failure",
    )
    assert len(text) == 1
    assert "This mail comes late" in text[0]


def texts(running: RunningStack) -> list[str]:
    """Plain texts of all mails that were sent since the upgrade."""
    bodies = [mail.get_body(("plain",)) for mail in mails(running)]
    return [body.get_content() for body in bodies if body is not None]


def test_a_person_who_was_asked_before_is_heard(upgraded: tuple[RunningStack, OldStores]) -> None:
    """A promotion that waited for its approval goes on; a rollback leads to the old champion."""
    running, old = upgraded
    then, run_id = old.expected["standing"]["champion"], old.expected["asked_run"]
    assert champion(running, "ended") == then
    path = f"/dags/promotion/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails"
    detail = running.api.get(path)
    assert f"version {old.expected['asked_version']}" in detail["subject"]
    time.sleep(READING_SECONDS)
    answer = {"chosen_options": ["Approve"], "params_input": {}}
    running.api.send("PATCH", path, json=answer).raise_for_status()
    ended(running, "promotion", run_id)
    assert champion(running, "ended") == old.expected["asked_version"]
    finish(running, "promotion", action="rollback", why="complaints")
    assert champion(running, "ended") == then


def test_the_loop_goes_on_with_the_old_champion(upgraded: tuple[RunningStack, OldStores]) -> None:
    """Batch and monitoring work with it, and an earlier drift is not reported again."""
    running, old = upgraded
    then = old.expected["standing"]["champion"]
    scored = finish(running, "batch_scoring", months=["2024-05"])
    assert running.api.result("batch_scoring", scored, "join")["model_version"] == then
    watched = finish(running, "monitoring", least_trips=20, report=False)
    tasks = {task.task_id: task.state for task in running.api.tasks("monitoring", watched)}
    # The old one has told of this drift a moment ago, and a retraining is to answer it.
    assert tasks["judge"] == "success"
    assert tasks["retrain"] == "skipped"


#: A task of each DAG that reads what the others have returned, and the run that it is cleared in.
READERS = {
    "data_preparation": "results",
    "sklearn_training": "results",
    "xgboost_training": "results",
    "batch_scoring": "join",
    "monitoring": "judge",
    "retraining": "choose_challenger",
}
#: Parts of an answer that no address of a server and no champion changes.
LASTING = ("training_set", "rows", "families", "predicted_rows", "rejected_rows", "model_version")


@pytest.mark.parametrize("dag_id", READERS)
def test_a_run_of_then_is_gone_on_with(
    upgraded: tuple[RunningStack, OldStores], dag_id: str
) -> None:
    """A task of it is cleared, and comes to the same by the results of the old ones."""
    running, old = upgraded
    found = {
        name.partition("/")[2]: run["results"].get(f"{READERS[dag_id]}[-1]") or {}
        for name, run in old.expected["runs"].items()
        if name.startswith(f"{dag_id}/") and run["state"] == "success"
    }
    assert found
    for run_id, before in found.items():
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
        body |= {"task_ids": [READERS[dag_id]], "reset_dag_runs": True}
        path = f"/dags/{dag_id}/clearTaskInstances"
        running.api.send("POST", path, json=body).raise_for_status()
        ended(running, dag_id, run_id)
        # A run is as its last task is.
        states = {task.task_id: task.state for task in running.api.tasks(dag_id, run_id)}
        assert states[READERS[dag_id]] == "success"
        lasting = [name for name in LASTING if name in before]
        now = running.api.result(dag_id, run_id, READERS[dag_id]) if lasting else {}
        assert [now[name] for name in lasting] == [before[name] for name in lasting]


def test_the_drift_of_then_is_answered(upgraded: tuple[RunningStack, OldStores]) -> None:
    """A retraining by hand answers it, and is compared with the old champion."""
    running, old = upgraded
    weak = old.expected["ranked"]["native"][-1]
    finish(running, "promotion", action="rollback", version=weak)
    run_id = finish(
        running,
        "retraining",
        newest_month="2024-03",
        again=True,
        recipe="rich",
        models=["linear_model.LinearRegression"],
        max_evaluations=1,
    )
    told = running.api.result("retraining", run_id, "finish")
    assert told["promoted"]
    assert told["champion"] == champion(running, "ended") == told["challenger"] > 16
    assert "drift: psi average(all)" in told["why"]
    trained = running.api.result("xgboost_training", f"retraining.{run_id}", "results")
    of_run = trained["run_url"].rpartition("/")[2]
    comparison = running.tracking.download_artifacts(of_run, "comparison.json")
    table = json.loads(Path(comparison).read_text())
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["data"]}
    assert rows[f"champion (version {weak})"]["test_rmse"] > rows["xgboost"]["test_rmse"]


def test_what_waits_for_months_waits_still(upgraded: tuple[RunningStack, OldStores]) -> None:
    """The run that had no end goes on looking, and holds up no other one."""
    running, old = upgraded
    tasks = running.api.tasks("new_months", old.expected["waiting_run"])
    assert [task.state for task in tasks] == ["deferred"]
    log = (running.stack.logs / "airflow-triggerer.log").read_text()
    assert "Traceback" not in log


def test_nothing_has_failed(upgraded: tuple[RunningStack, OldStores]) -> None:
    """No mail reports a new failure, and no stored file was moved aside."""
    running, old = upgraded
    told = [text for text in texts(running) if " failed" in text]
    then = [old.expected[name] for name in ("failed_run", "failed_alert_run")]
    assert [text for text in told if not any(run_id in text for run_id in then)] == []
    new = running.api.get("/dags/~/dagRuns?limit=1000&state=failed")["dag_runs"]
    assert {run["dag_run_id"] for run in new} == {
        name.partition("/")[2]
        for name, run in old.expected["runs"].items()
        if run["state"] == "failed"
    }
    assert running.api.get("/importErrors")["import_errors"] == []

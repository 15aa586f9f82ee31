"""Alerts from a real Airflow to a real mail server."""

from __future__ import annotations

import email
import email.policy
import functools
import os
import signal
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.conftest import SMALL_SAMPLE
from tests.integration.conftest import RunningStack
from tests.serving.test_log import entry
from upath import UPath

from model_loop.local.airflow_api import FINISHED
from model_loop.local.supervision import Supervision
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.tracking.actions import Action
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.names import experiment_of
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from model_loop.tracking.shares import SETTLING_SECONDS
from trip_duration.dataset import TRIPS
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.services import get_service

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

WAIT_SECONDS = 600
LASSO = "linear_model.Lasso"

Found = TypeVar("Found")


def until(find: Callable[[], Found | None], seconds: float = WAIT_SECONDS) -> Found:
    """Wait for a value until a deadline, and return it."""
    deadline = time.monotonic() + seconds
    while (found := find()) is None:
        assert time.monotonic() < deadline, "nothing was found in time"
        time.sleep(0.2)
    return found


def mail(running: RunningStack, words: str, *, about: str = "") -> EmailMessage | None:
    """The mail whose subject has some words and whose text is about something, if it has come."""
    for path in sorted((running.stack.mails / "new").glob("*")):
        found = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        if words in found["subject"] and about in part(found, "plain"):
            return found
    return None


def part(message: EmailMessage, kind: str) -> str:
    """The HTML or the plain text of a mail."""
    body = message.get_body((kind,))
    assert body is not None
    content: str = body.get_content()
    return content


def finished(running: RunningStack, dag_id: str, run_id: str) -> str | None:
    """The state of a run that has ended."""
    state = running.api.run_state(dag_id, run_id)
    return state if state in FINISHED else None


def process_of(running: RunningStack, run_id: str, *, attempt: int) -> int | None:
    """The process that tunes Lasso, once it has begun to."""
    found = running.api.get(f"/dags/sklearn_training/dagRuns/{run_id}/taskInstances?limit=200")
    for task in found["task_instances"]:
        mine = task["task_id"] == "model.tune" and task["rendered_map_index"] == LASSO
        if mine and task["state"] == "running" and task["try_number"] == attempt:
            pid: int | None = task["pid"]
            return pid
    return None


def test_a_mapped_task_that_fails_says_which(running: RunningStack, tmp_path: Path) -> None:
    """One month of three is broken: the mail names it, its error, the log and what to do."""
    for month in ("2024-01", "2024-02", "2024-03"):
        file = UPath(tmp_path / f"green_tripdata_{month}.parquet")
        write_month(file, get_service("green"), Month.parse(month), SMALL_SAMPLE)
    (tmp_path / "green_tripdata_2024-02.parquet").write_bytes(b"<html>not found</html>")
    run_id = running.api.trigger("data_preparation", {"source": str(tmp_path)})
    message = until(lambda: mail(running, "data_preparation failed in", about=run_id))
    assert message["subject"].endswith("failed in check_month (2024-02)")
    text, html = part(message, "plain"), part(message, "html")
    for said in ("is not a readable Parquet file", "What to try", "The end of the log", run_id):
        assert said in text
        assert said in html
    assert "ERROR" in text
    assert f"{running.stack.airflow_url}/dags/data_preparation/runs/{run_id}/tasks/" in html


@pytest.mark.faults
def test_a_killed_task_is_told_after_its_last_try(running: RunningStack) -> None:
    """A killed process is tried again without a mail; the last try sends one for its family."""
    conf: dict[str, Any] = {"models": [LASSO], "max_evaluations": 1_000, "recipe": "pair_distance"}
    run_id = running.api.trigger("sklearn_training", conf)
    for attempt in (1, 2, 3):
        pid = until(functools.partial(process_of, running, run_id, attempt=attempt))
        assert mail(running, "sklearn_training", about=run_id) is None
        os.kill(pid, signal.SIGKILL)
    message = until(lambda: mail(running, "sklearn_training failed in", about=run_id))
    assert until(lambda: finished(running, "sklearn_training", run_id)) == "failed"
    assert message["subject"] == f"[model loop] sklearn_training failed in model.tune ({LASSO})"
    text = part(message, "plain")
    assert "at try 3 of 3" in text
    assert "SIGKILL" in text
    assert "no memory left" in text
    assert f"MLflow: {running.stack.mlflow_url}/#/experiments/" in text


def test_a_canary_that_fails_is_ended_and_told(running: RunningStack) -> None:
    """The next look of the DAG takes its requests away, and the mail says how to undo that."""
    client, settings = running.tracking, running.stack.settings
    tracker = Tracker(
        running.stack.mlflow_url, experiment_of(TRIPS, settings.experiment, "promotion")
    )
    promoter = Promoter(tracker, "fhvhv", "ended")
    client.create_registered_model(promoter.name)
    try:
        run_id = tracker.open_run("canary", "model", {})
        for _ in range(2):
            client.create_model_version(promoter.name, f"runs:/{run_id}/model", run_id)
        promoter.act(Action("promote", "fhvhv", 1), "canary/promote")
        begun = promoter.act(Action("canary", "fhvhv", 2, share=0.5), "canary/canary").at
        log = RequestLog(open_log(settings.request_log_url, settings.serving_folder))
        for number in range(200):
            at = begun + SETTLING_SECONDS + number / 100
            one = entry(number + 1, at)._replace(service="fhvhv", part="failed")
            log.record(one._replace(prediction_id=f"canary-{number}"))
        log._write_all()
        time.sleep(SETTLING_SECONDS + 5)
        run_id = running.api.trigger("alerts", {})
        assert until(lambda: finished(running, "alerts", run_id)) == "success"
        message = until(lambda: mail(running, "the canary of fhvhv, version 2, has ended"))
        assert "model-loop traffic canary 2 --share 0.5 --variant fhvhv" in part(message, "plain")
        assert promoter.standing() == Deployment(champion=1)
        assert promoter.history()[0].kind == "end_canary"
    finally:
        client.delete_registered_model(promoter.name)


def test_a_mail_server_that_is_down_loses_nothing(running: RunningStack) -> None:
    """While the server is down the delivery fails and says why; then the mail comes late."""
    supervision = Supervision(running.stack)
    supervision._server.stopProcess("mail")
    try:
        waiting = running.api.trigger("alerts", {"test": True})
        assert until(lambda: finished(running, "alerts", waiting)) == "failed"
        tasks = {task.task_id: task for task in running.api.tasks("alerts", waiting)}
        assert tasks["canaries"].state == "success"
        task = tasks["deliver"]
        assert "Connection refused" in "\n".join(running.api.log("alerts", waiting, task))
    finally:
        supervision._server.startProcess("mail")
    run_id = running.api.trigger("alerts", {})
    assert until(lambda: finished(running, "alerts", run_id)) == "success"
    message = until(lambda: mail(running, "this is a test", about=waiting))
    assert "This mail comes late" in part(message, "plain")

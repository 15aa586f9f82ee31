"""Faults while the loop runs, each for real: `make test-faults`.

What comes of each is in the table of docs/how-to/retraining.md.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.integration.closed_loop import (
    SMALL,
    champion,
    ended,
    eventually,
    loop,
    process_id,
    promoter,
    publish,
    runs,
    waiting,
    website,
)
from tests.integration.conftest import RunningStack, mails
from tests.websites import Website

from model_loop.local.supervision import Supervision

__all__ = ["loop", "website"]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

FIRST = {**SMALL, "again": True}


def failures(loop: RunningStack) -> int:
    """How many mails tell of a failure; promotions and refusals are mails too."""
    return sum(" failed in " in str(mail["subject"]) for mail in mails(loop))


def retrain(loop: RunningStack, **changed: object) -> int:
    """Ask for a retraining; its number."""
    number = len(runs(loop, "retraining"))
    loop.api.trigger("retraining", {**FIRST, **changed})
    return number


def task_runs(loop: RunningStack, dag_id: str, number: int, task_id: str) -> str | None:
    """Wait until a task of the run that a retraining has begun is running."""
    run_id = f"retraining.{runs(loop, 'retraining')[number]['dag_run_id']}"
    found = [run["dag_run_id"] for run in runs(loop, dag_id)]
    if run_id not in found:
        return None
    tasks = loop.api.tasks(dag_id, run_id)
    return (
        run_id if any(one.task_id == task_id and one.state == "running" for one in tasks) else None
    )


def test_a_first_champion(loop: RunningStack) -> None:
    """There is something to lose."""
    assert ended(loop, retrain(loop))["state"] == "success"
    assert champion(loop) is not None


def test_the_source_is_down(loop: RunningStack, website: tuple[Website, Path]) -> None:
    """The sensor waits, and finds the month when the source is back; no mail is sent."""
    site, folder = website
    mailed, number = failures(loop), len(runs(loop, "retraining"))
    eventually(lambda: waiting(loop), "waiting sensor")
    site.status, site.failures = 503, None
    publish(folder, "2024-04")
    time.sleep(25)
    assert waiting(loop)
    assert len(runs(loop, "retraining")) == number
    site.status = None
    assert ended(loop, number)["state"] == "success"
    assert failures(loop) == mailed


def test_a_half_published_file(loop: RunningStack, website: tuple[Website, Path]) -> None:
    """Half a file fails the run with one mail; the whole file starts the next run."""
    _, folder = website
    before, mailed, number = champion(loop), failures(loop), len(runs(loop, "retraining"))
    whole = (folder / "green_tripdata_2024-03.parquet").read_bytes()
    half = folder / "half"
    half.write_bytes(whole[: len(whole) // 2])
    half.rename(folder / "green_tripdata_2024-05.parquet")
    assert ended(loop, number)["state"] == "failed"
    assert champion(loop) == before
    eventually(lambda: failures(loop) == mailed + 1, "mail")
    publish(folder, "2024-05")
    assert ended(loop, number + 1)["state"] == "success"


def test_a_training_fails(loop: RunningStack) -> None:
    """The retraining fails and names it; the other training is not lost; the champion stays."""
    before, mailed = champion(loop), failures(loop)
    number = retrain(loop, extra_models={"svm.NuSVR": {"nu": [2.0]}})
    run = ended(loop, number)
    assert run["state"] == "failed"
    states = {one.task_id: one.state for one in loop.api.tasks("retraining", run["dag_run_id"])}
    assert states["sklearn_training"] == "failed"
    assert states["xgboost_training"] == "success"
    assert champion(loop) == before
    eventually(lambda: failures(loop) > mailed, "mail")
    time.sleep(3)
    assert failures(loop) == mailed + 1


def test_the_tracking_server_is_down(loop: RunningStack) -> None:
    """Killed in the middle of a training and started again: tasks try again, all ends well."""
    number = retrain(loop)
    eventually(lambda: task_runs(loop, "xgboost_training", number, "model.tune"), "search")
    server = process_id(loop, "mlflow")
    assert server
    os.killpg(os.getpgid(server), signal.SIGKILL)
    eventually(lambda: process_id(loop, "mlflow") not in {None, server}, "MLflow again")
    assert ended(loop, number)["state"] == "success"


def test_the_scheduler_is_killed(loop: RunningStack) -> None:
    """SIGKILL in the middle of a training: the run goes on, no version is there twice."""
    number = retrain(loop)
    run_id = eventually(lambda: task_runs(loop, "xgboost_training", number, "model.tune"), "search")
    scheduler = process_id(loop, "airflow-scheduler")
    assert scheduler
    os.kill(scheduler, signal.SIGKILL)
    eventually(lambda: process_id(loop, "airflow-scheduler") not in {None, scheduler}, "scheduler")
    assert ended(loop, number)["state"] == "success"
    (family,) = loop.api.result("xgboost_training", run_id, "results")["families"]
    condition = f"run_id = '{family['run_id']}'"
    assert len(loop.tracking.search_model_versions(condition)) == 1


def test_an_approval_times_out(loop: RunningStack) -> None:
    """Nobody answers: the default, Reject, is the answer, and nothing moves."""
    weak = weak_champion(loop)
    history = len(promoter(loop).history())
    run = ended(loop, retrain(loop, approval=True))
    assert run["state"] == "success"
    promotion = loop.api.tasks("promotion", f"retraining.{run['dag_run_id']}")
    states = {one.task_id: one.state for one in promotion}
    assert (states["approval"], states["move"]) == ("success", "skipped")
    assert champion(loop) == weak
    assert len(promoter(loop).history()) == history


def weak_champion(loop: RunningStack) -> int:
    """Make the linear model champion, which XGBoost will beat; its version."""
    latest = runs(loop, "sklearn_training")[-1]["dag_run_id"]
    (family,) = loop.api.result("sklearn_training", latest, "results")["families"]
    version = int(family["model_uri"].rpartition("/")[2])
    run_id = loop.api.trigger("promotion", {"version": version, "gate": False})
    # The move comes before its entry in the history.
    eventually(lambda: loop.api.run_state("promotion", run_id) == "success", "promotion")
    assert champion(loop) == version
    return version


def test_everything_can_be_started_again(loop: RunningStack) -> None:
    """All processes but the sensor's run end; after a restart the same run waits on."""
    run_id = eventually(lambda: waiting(loop), "waiting sensor")
    for name in ("airflow-triggerer", "airflow-dag-processor", "airflow-execution-api"):
        number = process_id(loop, name)
        assert number
        os.kill(number, signal.SIGKILL)
    eventually(
        lambda: all(one.state == "RUNNING" for one in Supervision(loop.stack).status()), "all parts"
    )
    assert waiting(loop) == run_id

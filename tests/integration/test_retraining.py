"""The loop that closes by itself: a website publishes a month, and a champion comes of it.

A stack of its own, whose source is a web server and whose looks are frequent.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.integration.conftest import RunningStack, mails, make_stack
from tests.websites import Website, website_over

from trip_duration.local.airflow_api import FINISHED
from trip_duration.local.start import api_of, ensure_up
from trip_duration.local.supervision import Supervision
from trip_duration.tracking.promotion import Promoter
from trip_duration.tracking.runs import Tracker
from trip_duration.trips.months import Month
from trip_duration.trips.sample import SampleOptions, write_month
from trip_duration.trips.services import get_service

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WAIT_SECONDS = 240
SMALL = {"max_evaluations": 1, "models": ["linear_model.LinearRegression"]}


def publish(folder: Path, month: str, service: str = "green") -> None:
    """Put a month on the website, whole and at once."""
    partial = folder / "partial.parquet"
    write_month(
        partial, get_service(service), Month.parse(month), SampleOptions(trips=1_500, seed=5)
    )
    partial.rename(folder / f"green_tripdata_{month}.parquet")


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Website, Path]]:
    """A website that has published up to March."""
    folder = tmp_path_factory.mktemp("published")
    for month in ("2024-01", "2024-02", "2024-03"):
        publish(folder, month)
    with website_over(folder) as site:
        yield site, folder


@pytest.fixture(scope="module")
def loop(
    website: tuple[Website, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A stack that watches the website; both DAGs of the loop are switched on."""
    stack = make_stack(tmp_path_factory.mktemp("loop"))
    settings = {
        "source": website[0].url,
        "watch_poll_seconds": 6,
        "retraining_train_months": 1,
        "retraining_schedule": "",
        "max_evaluations": 1,
    }
    stack = replace(stack, settings=stack.settings.model_copy(update=settings))
    home = os.environ.pop("AIRFLOW_HOME")
    try:
        ensure_up(stack, Console(file=(stack.state / "console.txt").open("w"), width=120))
        running = RunningStack(stack, api_of(stack), Console(quiet=True))
        running.api.wait_for_dags({"new_months", "retraining", "promotion", "sklearn_training"})
        for dag_id in ("new_months", "retraining"):
            running.api.send("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        yield running
    finally:
        os.environ["AIRFLOW_HOME"] = home
        Supervision(stack).stop()


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Wait until a check finds something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := check()):
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.3)
    return found


def runs(loop: RunningStack, dag_id: str) -> list[dict[str, Any]]:
    """The runs of a DAG, in the order in which they were asked for."""
    found: list[dict[str, Any]] = loop.api.get(f"/dags/{dag_id}/dagRuns?order_by=id")["dag_runs"]
    return found


def ended(loop: RunningStack, number: int) -> dict[str, Any]:
    """A run of `retraining`, by its number, when it has ended."""

    def found() -> dict[str, Any] | None:
        known = runs(loop, "retraining")
        return known[number] if len(known) > number and known[number]["state"] in FINISHED else None

    run: dict[str, Any] = eventually(found, f"end of retraining {number}")
    return run


def waiting(loop: RunningStack) -> str | None:
    """The run in which the sensor waits."""
    for run in runs(loop, "new_months"):
        tasks = loop.api.tasks("new_months", run["dag_run_id"])
        if any(task.state == "deferred" for task in tasks):
            run_id: str = run["dag_run_id"]
            return run_id
    return None


def champion(loop: RunningStack) -> int | None:
    """The version that answers."""
    tracker = Tracker(loop.stack.mlflow_url, "trip-duration-promotion")
    return Promoter(tracker, "green").standing().champion


def test_the_sensor_takes_no_worker_and_survives_its_triggerer(loop: RunningStack) -> None:
    """While it waits no slot is taken; after SIGKILL of the triggerer it waits on."""
    run_id = eventually(lambda: waiting(loop), "waiting sensor")
    # The scheduled runs of other DAGs, which a new Airflow begins with, end.
    eventually(lambda: slots(loop) == {"occupied": 0, "running": 0, "deferred": 1}, "idle pool")
    triggerer = process_id(loop, "airflow-triggerer")
    assert triggerer
    os.kill(triggerer, signal.SIGKILL)
    eventually(
        lambda: process_id(loop, "airflow-triggerer") not in {None, triggerer}, "new triggerer"
    )
    assert waiting(loop) == run_id


def slots(loop: RunningStack) -> dict[str, int]:
    """How many slots of the usual pool are taken, and by what."""
    pool = loop.api.get("/pools/default_pool")
    return {name: pool[f"{name}_slots"] for name in ("occupied", "running", "deferred")}


def process_id(loop: RunningStack, name: str) -> int | None:
    """The process id of a part of the stack, once it runs."""
    (found,) = (one for one in Supervision(loop.stack).status() if one.name == name)
    running = re.match(r"pid (\d+)", found.description)
    return int(running[1]) if found.state == "RUNNING" and running else None


def test_a_new_month_makes_a_champion(loop: RunningStack, website: tuple[Website, Path]) -> None:
    """The month alone starts everything that leads to a champion; a failed look does no harm."""
    site, folder = website
    site.status, site.failures = 503, 4
    publish(folder, "2024-04")
    run = ended(loop, 0)
    assert run["state"] == "success"
    told = loop.api.result("retraining", run["dag_run_id"], "finish")
    assert told["why"] == "published: 2024-04"
    assert told["promoted"]
    assert champion(loop) == told["champion"] == told["challenger"]
    (entry,) = Promoter(
        Tracker(loop.stack.mlflow_url, "trip-duration-promotion"), "green"
    ).history()
    assert (entry.who, entry.why) == ("retraining", "published: 2024-04")
    for dag_id in ("data_preparation", "sklearn_training", "xgboost_training", "promotion"):
        (only,) = runs(loop, dag_id)
        assert only["state"] == "success"
        assert only["dag_run_id"] == f"retraining.{run['dag_run_id']}"
    (prepared,) = runs(loop, "data_preparation")
    assert prepared["conf"]["train_months"] == ["2024-02"]
    # The next run waits for the next month.
    eventually(lambda: waiting(loop), "waiting sensor")


def test_what_the_gate_refuses_moves_nothing(loop: RunningStack) -> None:
    """A retraining whose model is not better by the margin succeeds, and the champion stays."""
    before = champion(loop)
    conf = {**SMALL, "again": True, "margin_share": 0.9}
    loop.api.trigger("retraining", conf)
    run = ended(loop, 1)
    assert run["state"] == "success"
    told = loop.api.result("retraining", run["dag_run_id"], "finish")
    assert not told["promoted"]
    assert champion(loop) == before == told["champion"]


def test_an_event_while_one_runs_is_not_lost(loop: RunningStack) -> None:
    """Drift that is seen during a retraining starts the next one, which has nothing to learn."""
    loop.api.trigger("retraining", {**SMALL, "again": True, "promote": False})
    eventually(lambda: runs(loop, "retraining")[2]["state"] == "running", "retraining")
    (asset,) = loop.api.get("/assets?name_pattern=drift")["assets"]
    for why in ("PSI(trip_distance) = 0.31", "RMSE 4.9 → 6.1"):
        body = {"asset_id": asset["id"], "extra": {"why": why}}
        assert loop.api.send("POST", "/assets/events", json=body).ok
    assert ended(loop, 2)["state"] == "success"
    run = ended(loop, 3)
    assert run["state"] == "success"
    tasks = {task.task_id: task for task in loop.api.tasks("retraining", run["dag_run_id"])}
    assert tasks["data_preparation"].state == "skipped"
    log = "\n".join(loop.api.log("retraining", run["dag_run_id"], tasks["plan"]))
    assert "drift: PSI(trip_distance) = 0.31" in log
    assert "were trained on before" in log


def test_a_broken_month_is_one_failed_run_and_one_mail(
    loop: RunningStack, website: tuple[Website, Path]
) -> None:
    """The mail names month and rule; the champion stays, the watermark too; mended, it goes on."""
    _, folder = website
    before, mailed, done = champion(loop), len(mails(loop)), len(runs(loop, "retraining"))
    publish(folder, "2024-05", service="yellow")
    run = ended(loop, done)
    assert run["state"] == "failed"
    new = eventually(lambda: mails(loop)[mailed:], "mail")
    time.sleep(3)
    assert len(mails(loop)) == mailed + 1
    body = new[0].get_body(("plain", "html"))
    assert body is not None
    text = body.get_content()
    assert "2024-05" in text
    assert "lacks the column" in text
    assert champion(loop) == before

    publish(folder, "2024-05")
    run = ended(loop, done + 1)
    assert run["state"] == "success"
    told = loop.api.result("retraining", run["dag_run_id"], "finish")
    assert (told["why"], told["newest"]) == ("published: 2024-05", "2024-05")
    promotion = loop.api.tasks("promotion", f"retraining.{run['dag_run_id']}")
    passed = {task.task_id: task.state for task in promotion}["move"] == "success"
    assert told["promoted"] is passed
    assert champion(loop) == (told["challenger"] if passed else before)

"""A stack that closes the loop by itself, for the tests that let it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import RunningStack, make_stack, running_stack
from tests.websites import Website, website_over

from model_loop.datasets.dataset import Moment
from model_loop.local.airflow_api import FINISHED
from model_loop.local.supervision import Supervision
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import get_service

WAIT_SECONDS = 600
SMALL = {"max_evaluations": 1, "models": ["linear_model.LinearRegression"]}


def publish(folder: Path, month: str, service: str = "green", drift: Drift | None = None) -> None:
    """Put a month on the website, whole and at once."""
    partial = folder / "partial.parquet"
    options = SampleOptions(trips=1_500, seed=5, drift=drift or Drift())
    write_month(partial, get_service(service), Month.parse(month), options)
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
    """A stack that watches the website, as its settings say."""
    stack = make_stack(tmp_path_factory.mktemp("loop"))
    settings = {
        "source": website[0].url,
        "watch_poll_seconds": 6,
        "retraining_train_partitions": 1,
        "watch_partitions": True,
        "max_evaluations": 1,
        "sklearn_models": "linear_model.LinearRegression,linear_model.Lasso",
        # Ten seconds.
        "approval_hours": 10 / 3_600,
    }
    stack = replace(stack, settings=stack.settings.model_copy(update=settings))
    with running_stack(stack) as running:
        running.api.wait_for_dags({"watch_months", "retraining", "promotion", "sklearn_training"})
        yield running


def eventually(check: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Wait until a check finds something, so many seconds at most."""
    deadline = time.monotonic() + seconds
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
    for run in runs(loop, "watch_months"):
        tasks = loop.api.tasks("watch_months", run["dag_run_id"])
        if any(task.state == "deferred" for task in tasks):
            run_id: str = run["dag_run_id"]
            return run_id
    return None


def promoter(loop: RunningStack, moment: Moment = "booked") -> Promoter:
    """Return the versions of a moment, that of the default recipe, as another process sees them."""
    return Promoter(Tracker(loop.stack.mlflow_url, "trip-duration-promotion"), "green", moment)


def champion(loop: RunningStack, moment: Moment = "booked") -> int | None:
    """Return the version that answers."""
    return promoter(loop, moment).standing().champion


def slots(loop: RunningStack) -> dict[str, int]:
    """How many slots of the usual pool are taken, and by what."""
    pool = loop.api.get("/pools/default_pool")
    return {name: pool[f"{name}_slots"] for name in ("occupied", "running", "deferred")}


def process_id(loop: RunningStack, name: str) -> int | None:
    """The process id of a part of the stack, once it runs."""
    (found,) = (one for one in Supervision(loop.stack).status() if one.name == name)
    running = re.match(r"pid (\d+)", found.description)
    return int(running[1]) if found.state == "RUNNING" and running else None

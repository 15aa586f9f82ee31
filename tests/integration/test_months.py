"""Months as partitions, and training sets that are built once, in a real Airflow."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.integration.conftest import RunningStack

from model_loop.local.airflow_api import FINISHED

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

WAIT_SECONDS = 600
MONTHS = ("2023-01", "2023-02", "2023-03")

#: A training set that no other test asks for.
CONF = {"recipe": "booking", "train_months": ["2023-11"], "validation_months": ["2023-12"]}


def backfill(running: RunningStack) -> list[dict[str, Any]]:
    """Backfill three months over REST; their runs, when all have ended."""
    running.api.wait_for_dags({"green_months"})
    body = {
        "dag_id": "green_months",
        "from_date": "2023-01-01T00:00:00Z",
        "to_date": "2023-03-31T00:00:00Z",
        "max_active_runs": len(MONTHS),
    }
    answer = running.api.send("POST", "/backfills", json=body)
    if answer.status_code == 500:
        # On SQLite, Airflow may find its database locked.
        answer = running.api.send("POST", "/backfills", json=body)
    answer.raise_for_status()
    deadline = time.monotonic() + WAIT_SECONDS
    path = f"/backfills/{answer.json()['id']}"
    while (found := running.api.get(path))["completed_at"] is None:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    runs = running.api.get("/dags/green_months/dagRuns")["dag_runs"]
    return [run for run in runs if run["run_type"] == "backfill"]


def wait_for_run(running: RunningStack, dag_id: str, run_id: str) -> str:
    """The state in which a run ends."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (state := running.api.run_state(dag_id, run_id)) not in FINISHED:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return state


def test_backfill_prepares_each_month_once(running: RunningStack) -> None:
    """Each month is a run with its partition key and an event of its asset; again is nothing."""
    runs = backfill(running)
    assert {run["partition_key"] for run in runs} == set(MONTHS)
    assert {run["state"] for run in runs} == {"success"}
    events = running.api.get("/assets/events?source_dag_id=green_months")["asset_events"]
    assert {event["partition_key"] for event in events} >= {f"green|{month}" for month in MONTHS}
    assert all(event["extra"]["rows"] > 1_000 for event in events)
    assert len(backfill(running)) == len(runs)


def test_single_month_by_its_key(running: RunningStack) -> None:
    """One month is prepared by triggering with its partition key, or is refused by name."""
    running.api.wait_for_dags({"green_months"})
    done, refused = (
        running.api.send(
            "POST",
            "/dags/green_months/dagRuns",
            json={"logical_date": None, "partition_key": key},
        )
        for key in ("2023-05", "May")
    )
    assert wait_for_run(running, "green_months", done.json()["dag_run_id"]) == "success"
    assert refused.status_code == 400
    assert "'May' does not match" in refused.text


def test_who_comes_second_finds_it_finished(running: RunningStack) -> None:
    """Two that ask for the same training set at once: one builds it, the other uses it."""
    running.api.wait_for_dags({"data_preparation"})
    run_ids = [running.api.trigger("data_preparation", CONF) for _ in range(2)]
    states = {wait_for_run(running, "data_preparation", run_id) for run_id in run_ids}
    assert states == {"success"}
    results = [running.api.result("data_preparation", run_id, "results") for run_id in run_ids]
    assert sorted(result["built"] for result in results) == [False, True]
    assert len({result["digest"] for result in results}) == 1
    reused = run_ids[[result["built"] for result in results].index(False)]
    states_of = {task.task: task.state for task in running.api.tasks("data_preparation", reused)}
    ran = {task for task, state in states_of.items() if state == "success"}
    assert ran == {"plan_months", "results"}
    assert {state for task, state in states_of.items() if task not in ran} == {"skipped"}


def test_rebuild_when_asked(running: RunningStack) -> None:
    """With `rebuild` it is built again, and is the same."""
    conf = {**CONF, "rebuild": True}
    run_ids = [running.api.trigger("data_preparation", conf) for _ in range(2)]
    for run_id in run_ids:
        assert wait_for_run(running, "data_preparation", run_id) == "success"
    results = [running.api.result("data_preparation", run_id, "results") for run_id in run_ids]
    assert all(result["built"] for result in results)
    assert len({(result["key"], result["digest"], result["uri"]) for result in results}) == 1


def test_data_tests_are_in_the_graph(running: RunningStack) -> None:
    """Each test of the data is a task that shows what it found."""
    run_id = running.api.trigger("data_preparation", {**CONF, "rebuild": True})
    assert wait_for_run(running, "data_preparation", run_id) == "success"
    outcomes = running.api.result("data_preparation", run_id, "data_tests.nothing_leaks")
    assert len(outcomes) >= 3
    assert all(outcome["passed"] for outcome in outcomes)

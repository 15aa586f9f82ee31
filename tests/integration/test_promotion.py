"""Promotion through a real Airflow: the gate, moves by hand, a person's approval."""

from __future__ import annotations

import time
from typing import Any

import mlflow
import pytest
from tests.integration.conftest import RunningStack

from model_loop.local.airflow_api import FINISHED
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

WAIT_SECONDS = 600
#: Airflow 3.3.2 asks again when an answer comes before the worker that asked has gone.
READING_SECONDS = 7


def promoter_of(running: RunningStack) -> Promoter:
    """The service's versions, as another process sees them."""
    return Promoter(Tracker(running.stack.mlflow_url, "trip-duration-promotion"), "green", "ended")


def state_of(running: RunningStack, run_id: str, waiting_for: str | None = None) -> str:
    """Wait until a run has ended, or until a task waits for a person."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        state = running.api.run_state("promotion", run_id)
        if state in FINISHED:
            return state
        tasks = running.api.tasks("promotion", run_id)
        if waiting_for and any(
            task.task_id == waiting_for and task.state in {"deferred", "awaiting_input"}
            for task in tasks
        ):
            return "waiting"
        time.sleep(0.3)
    states = {task.task: task.state for task in running.api.tasks("promotion", run_id)}
    pytest.fail(f"{run_id} did not end: {states}")


def run(running: RunningStack, **conf: Any) -> str:
    """Run the promotion DAG to its end; its final state."""
    return state_of(running, running.api.trigger("promotion", conf))


def versions(results: list[dict[str, Any]]) -> list[int]:
    """All versions of the main job, the best on validation first."""
    families = [family for result in results for family in result["families"]]
    ranked = sorted(families, key=lambda family: family["validation_rmse"])
    return [int(family["model_uri"].rpartition("/")[2]) for family in ranked]


def weak_champion(running: RunningStack, results: list[dict[str, Any]]) -> tuple[int, int]:
    """Make a weak version champion; it, and one that is better."""
    ranked = versions(results)
    weak, strong = ranked[-2], ranked[0]
    if promoter_of(running).standing().champion != weak:
        assert run(running, version=weak, gate=False) == "success"
    return weak, strong


def test_the_loop_of_a_champion(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """The best becomes champion, a worse one is refused; moves by hand and back are mailed."""
    promoter, ranked = promoter_of(running), versions(results)
    best, worst, other = ranked[0], ranked[-1], ranked[1]
    assert run(running, version=best, why="the first") == "success"
    assert promoter.standing() == Deployment(champion=best)
    (first,) = promoter.history()
    assert (first.version, first.why, first.before.champion) == (best, "the first", None)
    assert first.who
    mlflow.set_tracking_uri(running.stack.mlflow_url)
    evidence = mlflow.artifacts.load_dict(f"runs:/{first.run_id}/evidence.json")
    assert all(passed or not blocks for _, passed, _, _, blocks in evidence["data"])

    refused = running.api.trigger("promotion", {"version": worst})
    assert state_of(running, refused) == "success"
    assert promoter.standing() == Deployment(champion=best)
    states = {task.task_id: task.state for task in running.api.tasks("promotion", refused)}
    assert states["judge"] == "success"
    assert states["move"] == "skipped"

    assert run(running, version=other, gate=False, why="by hand") == "success"
    assert promoter.standing() == Deployment(champion=other)
    assert run(running, action="canary", version=worst, share=0.2) == "success"
    assert run(running, action="rollback", why="complaints") == "success"
    assert promoter.standing() == Deployment(champion=best, challenger=worst, share=0.2)
    assert run(running, action="disable", why="incident") == "success"
    assert run(running, action="enable") == "success"
    assert run(running, action="retire", version=worst, why="old") == "success"
    assert promoter.standing() == Deployment(champion=best)
    kinds = [entry.kind for entry in promoter.history()]
    assert kinds == ["retire", "enable", "disable", "rollback", "canary", "promote", "promote"]


def test_what_cannot_be_done_fails_and_moves_nothing(
    running: RunningStack, results: list[dict[str, Any]]
) -> None:
    """A version that is not there ends the run at once, without a retry."""
    assert results
    before = promoter_of(running).standing()
    run_id = running.api.trigger("promotion", {"action": "canary", "version": 999})
    assert state_of(running, run_id) == "failed"
    (failed,) = (task for task in running.api.tasks("promotion", run_id) if task.state == "failed")
    assert (failed.task_id, failed.try_number) == ("move", 1)
    log = "\n".join(running.api.log("promotion", run_id, failed))
    assert "Version 999 of trip_duration_green is not in the registry" in log
    assert promoter_of(running).standing() == before


@pytest.mark.parametrize(("answer", "moves"), [("Approve", True), ("Reject", False)])
def test_a_person_decides(
    running: RunningStack, results: list[dict[str, Any]], *, answer: str, moves: bool
) -> None:
    """A challenger that passed the gate waits for an approval, without a worker."""
    promoter = promoter_of(running)
    weak, strong = weak_champion(running, results)
    run_id = running.api.trigger("promotion", {"version": strong, "approval": True})
    assert state_of(running, run_id, waiting_for="approval") == "waiting"
    assert promoter.standing().champion == weak
    path = f"/dags/promotion/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails"
    detail = running.api.get(path)
    assert f"version {strong}" in detail["subject"]
    assert "| RMSE against version" in detail["body"]
    time.sleep(READING_SECONDS)
    running.api.send("PATCH", path, json={"chosen_options": [answer], "params_input": {}})
    assert state_of(running, run_id) == "success"
    assert promoter.standing().champion == (strong if moves else weak)


def test_of_two_promotions_one_wins(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """Runs take turns: the second sees the champion that the first has made."""
    promoter = promoter_of(running)
    _, strong = weak_champion(running, results)
    runs = [running.api.trigger("promotion", {"version": strong}) for _ in range(2)]
    states = sorted(state_of(running, run_id) for run_id in runs)
    assert states == ["failed", "success"]
    assert promoter.standing().champion == strong

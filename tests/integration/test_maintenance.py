"""Maintenance in a real Airflow: results of deleted runs go, those of others stay."""

from __future__ import annotations

import pytest
from tests.integration.conftest import RunningStack
from tests.integration.test_months import wait_for_run
from upath import UPath

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

#: A training set that no other test asks for.
CONF = {"recipe": "booking", "train_months": ["2022-11"], "validation_months": ["2022-12"]}


def objects(running: RunningStack, run_id: str) -> list[UPath]:
    """The stored results of a run of `data_preparation`."""
    folder = UPath(running.stack.storage_root) / "xcom" / "data_preparation" / run_id
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def prepare(running: RunningStack) -> str:
    """Run `data_preparation`; its run id."""
    run_id = running.api.trigger("data_preparation", {**CONF, "rebuild": True})
    assert wait_for_run(running, "data_preparation", run_id) == "success"
    assert objects(running, run_id)
    return run_id


def maintain(running: RunningStack, *, only_look: bool) -> int:
    """Run `maintenance`; the number of orphans that it found."""
    run_id = running.api.trigger("maintenance", {"only_look": only_look})
    assert wait_for_run(running, "maintenance", run_id) == "success"
    found = running.api.result("maintenance", run_id, "remove_orphaned_results")
    assert found["removed"] is not only_look
    # All logs of a stack that was just started are new.
    assert running.api.result("maintenance", run_id, "remove_old_logs")["logs"] == 0
    count: int = found["objects"]
    return count


def test_results_of_deleted_runs_are_removed(running: RunningStack) -> None:
    """Deleting a run in Airflow leaves its objects; maintenance removes them, and no others."""
    running.api.wait_for_dags({"data_preparation", "maintenance"})
    deleted, kept = prepare(running), prepare(running)
    before, others = len(objects(running, deleted)), len(objects(running, kept))
    answer = running.api.send("DELETE", f"/dags/data_preparation/dagRuns/{deleted}")
    assert answer.status_code == 204
    assert len(objects(running, deleted)) == before
    assert maintain(running, only_look=True) == before
    assert len(objects(running, deleted)) == before
    assert maintain(running, only_look=False) == before
    assert not objects(running, deleted)
    assert len(objects(running, kept)) == others
    assert maintain(running, only_look=True) == 0

"""Experiments of datasets, and runs in those of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_loop.dashboard.runs import Runs
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.history import History
from model_loop.tracking.names import experiments_of
from model_loop.tracking.runs import IDENTITY_TAG, Tracker
from model_loop.tracking.versions import ModelVersions
from trip_duration.dataset import TRIPS

RIDES = """
name = "rides"
target = "count"
source = "rides.csv"
[columns.warmth]
type = "number"
"""


@pytest.fixture
def rides() -> Dataset:
    """A declared table, which this process knows."""
    return use_dataset(dataset_of(parse_declaration(RIDES, "rides.toml")))


def test_each_dataset_has_its_own(rides: Dataset) -> None:
    """Trips keep theirs; the settings may name another for all; earlier ones are looked in."""
    assert experiments_of(rides, "") == ("rides", "trip-duration", "model-loop")
    assert experiments_of(TRIPS, "") == ("trip-duration", "model-loop")
    assert experiments_of(rides, "ours", "promotion") == (
        *("ours-promotion", "rides-promotion", "trip-duration-promotion", "model-loop-promotion"),
    )


@pytest.mark.parametrize("former", ["trip-duration", "model-loop"])
def test_runs_of_earlier_versions_are_found(tmp_path: Path, rides: Dataset, former: str) -> None:
    """Families, partitions and trials on the pages, what was done to versions, and identities."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    before, acted = Tracker(uri, former), Tracker(uri, f"{former}-promotion")
    tags = {"MODEL": "xgboost", "service": "rides", IDENTITY_TAG: "run/rides/xgboost"}
    family = before.open_run("run/rides/xgboost", "xgboost", tags)
    before.open_run("trial", "trial", {"trial": "3"}, parent_run_id=family)
    month = {"pipeline": "months", "service": "rides", "month": "2024-01"}
    partition = before.open_run("partitions/rides/2024-01", "rides", month)
    before.close_run(partition)
    before.open_run("other", "other", {**month, "service": "green"})
    act = {"service": "rides", "action": "promote", "version": "1", "who": "me", "why": "first"}
    act |= {"before_share": "0.0", "before_enabled": "True"}
    act |= {"after_share": "0.0", "after_enabled": "True", "after_champion": "1", "moment": "all"}
    acted.close_run(acted.open_run("act", "act", act))

    tracker = tracker_of(rides, uri, "")
    assert tracker.open_run("partitions/rides/2024-01", "rides", month) == partition
    tracker.close_run(partition)
    fresh = tracker.open_run("partitions/rides/2024-02", "rides", {**month, "month": "2024-02"})
    tracker.close_run(fresh)
    assert f"/experiments/{tracker.experiment_id}/" in tracker.run_url(fresh)
    assert tracker.client.get_run(fresh).info.experiment_id != before.experiment_id
    runs = Runs(tracker.client, "")
    assert [each.partition for each in runs.partitions("rides")] == ["2024-01", "2024-02"]
    assert [each.run_id for each in runs.families("rides")] == [family]
    assert [each.number for each in runs.trials(family)] == [3]
    history = History(ModelVersions(tracker_of(rides, uri, "", "promotion"), "rides"))
    assert [entry.kind for entry in history.entries()] == ["promote"]

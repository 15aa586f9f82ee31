"""Databases in Airflow: connections that it keeps, and the trigger that waits for partitions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.databases.tables import Runs, declared, fill
from tests.orchestration.test_watching import fire

from model_loop.databases import connections
from model_loop.databases.connections import DatabaseConnection
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.errors import InvalidInputError
from model_loop.orchestration.connections import connections_of, find_connection
from model_loop.orchestration.schedules.watching import NewPartitionTrigger


@pytest.fixture
def dataset() -> Dataset:
    """Return the dataset of the table."""
    return use_dataset(dataset_of(declared()))


def watch(**changed: Any) -> NewPartitionTrigger:
    """Return a trigger that looks very often."""
    usual: dict[str, Any] = {
        "source": "database://warehouse/public.rides",
        "service": "rides_of_base",
        "since": "",
        "trained": [],
        "announced": [],
        "poll_seconds": 0.01,
        "timeout_seconds": 5.0,
        "again_hours": 24.0,
        "failures": 3,
    }
    return NewPartitionTrigger(**usual | changed)


def test_a_trigger_finds_partitions_and_changes(run: Runs, dataset: Dataset) -> None:
    """All that there are at first; then the one in which a row has changed under its old time."""
    fill(run)
    found = fire(watch())["publications"]
    assert [one["month"] for one in found] == ["2023-12", "2024-01", "2024-02", "2024-03"]
    trained = [
        {"at": "2026-01-01T00:00:00+00:00", **one, "moments": [dataset.moments[0]]} for one in found
    ]
    run("UPDATE public.rides SET minutes = 99 WHERE id = 9007199254741300")
    (changed,) = fire(watch(trained=trained))["publications"]
    assert changed["month"] == "2024-01"
    assert changed["etag"] != found[1]["etag"]


def test_airflow_is_asked_for_connections(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own backends answer; what none of them has is said to be missing, and not looked up."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://reader:a%2Fb@db:5433/rides")
    assert find_connection("nothing_of_this_name") is None
    texts = [find_connection("warehouse"), asyncio.run(connections_of(dataset.name))["warehouse"]]
    for text in texts:
        assert text is not None
        assert DatabaseConnection.parse("w", text).password == "a/b"  # noqa: S105 - of no server
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    given = asyncio.run(connections_of(dataset.name))
    assert given == {"warehouse": ""}
    with connections.given_connections(given), pytest.raises(InvalidInputError, match="not there"):
        connections.connection_of("warehouse")

"""Databases in Airflow: connections that it keeps, and the trigger that waits for partitions."""

from __future__ import annotations

import asyncio
from pathlib import Path
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
from model_loop.orchestration.steps.batch_scoring import _partition
from model_loop.settings import get_settings


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


def test_a_partition_is_scored_where_the_operator_allows_the_table(
    run: Runs, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a scored partition are handed out: the table has to be listed for that."""
    fill(run)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}/storage")
    params = {"service": dataset.name, "source": "database://warehouse/public.rides"}
    get_settings.cache_clear()
    with pytest.raises(InvalidInputError, match="is not in the list of allowed sources"):
        _partition("2024-01", params)
    monkeypatch.setenv("MODEL_LOOP_ALLOWED_SOURCES", "database://warehouse")
    get_settings.cache_clear()
    (path,) = _partition("2024-01", params)
    assert path.name == "2024-01.parquet"
    with pytest.raises(InvalidInputError, match="is not that of rides_of_base"):
        _partition("2024-01", {**params, "source": "database://warehouse/public.others"})


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
    # A thread of the triggerer looks nothing up by itself.
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://reader@db:5433/rides")
    with connections.given_connections(given), pytest.raises(InvalidInputError, match="not there"):
        connections.connection_of("warehouse")

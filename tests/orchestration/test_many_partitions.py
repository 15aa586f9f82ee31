"""More partitions of a declared table than a step has mapped tasks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from airflow.configuration import conf
from tests.orchestration.test_comparing import Event

from model_loop.datasets.registry import get_dataset
from model_loop.objects import documents
from model_loop.orchestration.forms import preparation_form
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.names import MAPPED
from model_loop.orchestration.steps import preparation
from model_loop.settings import get_settings

DAYS, TASKS = 40, 6
DECLARATION = """
name = "meters"
source = "data/meters-{partition}.csv"
target = "load"
partition = "day"
[time]
column = "at"
[columns.at]
type = "time"
format = "%Y-%m-%d %H:%M:%S"
[columns.load]
type = "number"
[columns.warmth]
type = "number"
"""


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the keys of a table with a file for each day, in a folder of datasets of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "meters.toml").write_text(DECLARATION)
    at = pd.date_range("2024-01-01", periods=24 * DAYS, freq="h")
    warmth = np.random.default_rng(1).normal(10, 3, len(at)).round(2)
    rows = pd.DataFrame({"at": at, "warmth": warmth, "load": 2 * warmth + at.hour})
    keys = at.strftime("%Y-%m-%d")
    for key, own in rows.groupby(keys):
        own.to_csv(tmp_path / "data" / f"meters-{key}.csv", index=False)
    monkeypatch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(tmp_path))
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}/storage")
    monkeypatch.setattr(preparation, "MAPPED", TASKS)
    get_settings.cache_clear()
    return sorted(set(keys))


@pytest.fixture
def params(days: list[str]) -> dict[str, Any]:
    """Return the form of `meters__data_preparation`, as it is without a change."""
    dataset = get_dataset("meters")
    form = {name: param.resolve() for name, param in preparation_form(dataset).items()}
    assert days
    return {**completed_form(dataset, form)}


def test_no_step_has_more_tasks_than_airflow_maps() -> None:
    """Airflow would refuse the run after its first task."""
    assert conf.getint("core", "max_map_length") >= MAPPED


def test_each_task_works_on_several_days(days: list[str], params: dict[str, Any]) -> None:
    """All days are prepared, in their order, as by one task each."""
    batches = preparation.plan_partitions(params)
    assert len(batches) <= TASKS
    assert [key for batch in batches for key in batch] == days
    checked = [
        preparation.check_partitions(preparation.fetch_partitions(batch, params))
        for batch in batches
    ]
    event = Event()
    events: Any = defaultdict(lambda: event)
    run: Any = SimpleNamespace(dag_id="meters__data_preparation", run_id="manual")
    verdicts = preparation.compare_partitions(checked, params, events, run)
    assert event.keys == [f"meters|{key}" for key in days]
    training_set = preparation.encode_partitions(verdicts, params)
    assert training_set.rows["all"] + training_set.rows["test"] == 24 * DAYS


def test_the_plan_is_read_once_by_each_task(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names every file, so that reading it for each of them would take the square of time."""
    batch, *_ = preparation.plan_partitions(params)
    read: list[Path] = []

    def noted(path: Path, parse: Any) -> Any:
        read.append(path)
        return documents.read_document(path, parse)  # type: ignore[arg-type]  # a path of storage

    monkeypatch.setattr("model_loop.training_set.declared.read_document", noted)
    assert len(preparation.fetch_partitions(batch, params)) == len(batch)
    assert len(read) == 1


def test_a_run_from_before_tasks_had_several_goes_on(
    days: list[str], params: dict[str, Any]
) -> None:
    """Results of its tasks are single partitions; the steps that are left take them."""
    fetched = [preparation.fetch_partitions(day, params) for day in days]
    assert [raw.partition for (raw,) in fetched] == days
    checked = [preparation.check_partitions(raw) for (raw,) in fetched]
    events: Any = defaultdict(Event)
    run: Any = SimpleNamespace(dag_id="meters__data_preparation", run_id="manual")
    verdicts = preparation.compare_partitions([one for (one,) in checked], params, events, run)
    assert [verdict.partition for verdict in verdicts] == days

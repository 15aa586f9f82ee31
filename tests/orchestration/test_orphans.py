"""Stored results that no run refers to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytest
from upath import UPath

from model_loop.orchestration.steps.orphans import (
    Coordinates,
    coordinates_of,
    orphaned_objects,
    remove_empty_folders,
)
from model_loop.orchestration.xcom import ModelLoopXComBackend

RUN = "manual__2026-11-20T23:25:50+00:00"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UPath:
    """Where results are kept."""
    place = UPath(tmp_path.as_uri()) / "xcom"
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", str(place))
    return place


def store(task_id: str, root: UPath, *, days_old: float = 2.0) -> UPath:
    """Store a result; where it is."""
    before = set(root.rglob("*.parquet")) if root.exists() else set()
    ModelLoopXComBackend.serialize_value(
        pd.DataFrame({"task": [task_id]}),
        key="return_value",
        dag_id="sklearn_training",
        run_id=RUN,
        task_id=task_id,
        map_index=3,
    )
    (path,) = set(root.rglob("*.parquet")) - before
    moment = time.time() - days_old * 86_400
    os.utime(path.path, (moment, moment))
    return path


def test_finds_what_nobody_refers_to(root: UPath) -> None:
    """Results that Airflow does not know, or of which it knows another, are orphans."""
    known, gone, replaced = (store(name, root) for name in ("known", "gone", "replaced"))
    store("young", root, days_old=0.1)
    addresses = {"known": str(known), "replaced": f"{replaced.parent}/return_value-0.parquet"}
    asked: list[Coordinates] = []

    def known_address(coordinates: Coordinates) -> str | None:
        asked.append(coordinates)
        return addresses.get(coordinates.task_id)

    found = set(orphaned_objects(root, known_address, older_than_seconds=86_400))
    assert found == {gone, replaced}
    assert {one.task_id for one in asked} == {"known", "gone", "replaced"}
    assert {(one.dag_id, one.run_id, one.map_index, one.key) for one in asked} == {
        ("sklearn_training", RUN, 3, "return_value")
    }


def test_leaves_alone_what_it_does_not_know(root: UPath) -> None:
    """Files that are not ours, and names that were cut, are never orphans."""
    path = store("known", root)
    foreign = path.parent / "notes.txt"
    foreign.write_text("mine")
    long = store("t" * 300, root)
    assert coordinates_of(foreign, root) is None
    assert coordinates_of(long, root) is None
    found = list(orphaned_objects(root, lambda _: None, older_than_seconds=-1))
    assert found == [path]


def test_empty_folders_go(root: UPath) -> None:
    """Folders without results are removed, others stay."""
    gone, stays = store("gone", root), store("stays", root)
    gone.unlink()
    remove_empty_folders(root)
    assert not gone.parent.exists()
    assert stays.exists()


def test_no_results_no_orphans(root: UPath) -> None:
    """Before anything was stored there is nothing to find."""
    assert not list(orphaned_objects(root, lambda _: None, older_than_seconds=0))
    remove_empty_folders(root)

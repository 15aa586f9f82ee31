"""Stored results that no run refers to any more.

Airflow removes the object of a result when it clears a task, but not when runs are deleted in the
UI or by ``airflow db clean`` (https://github.com/apache/airflow/issues/31774).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from upath import UPath

from model_loop.orchestration.xcom import OBJECT_NAME, unescaped


@dataclass(frozen=True)
class Coordinates:
    """Run and task that a result belongs to."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str


#: The address of the object that Airflow knows for some coordinates; None if it knows none.
KnownAddress = Callable[[Coordinates], str | None]


def orphaned_objects(
    root: UPath, known_address: KnownAddress, *, older_than_seconds: float
) -> Iterator[UPath]:
    """Find stored results that Airflow does not refer to.

    A younger file may be about to be referred to. Files whose names we have not given, and those
    of names that were too long to be kept whole, are left alone.
    """
    horizon = time.time() - older_than_seconds
    for path in root.rglob("*") if root.exists() else ():
        coordinates = coordinates_of(path, root)
        if coordinates is None or path.stat().st_mtime > horizon:
            continue
        address = known_address(coordinates)
        if address is None or UPath(address).name != path.name:
            yield path


def coordinates_of(path: UPath, root: UPath) -> Coordinates | None:
    """Return the run and task of an object, by its path; None if it is not one of ours."""
    parts = path.relative_to(root).parts
    name = OBJECT_NAME.fullmatch(path.name)
    if len(parts) != _DEPTH or name is None:
        return None
    dag_id, run_id, task_id, map_index = (unescaped(part) for part in parts[:-1])
    key = unescaped(name["key"])
    if not (dag_id and run_id and task_id and map_index and key):
        return None
    return Coordinates(dag_id, run_id, task_id, int(map_index), key)


#: Folders of DAG, run, task and map index, and the file.
_DEPTH = 5


def remove_empty_folders(root: UPath) -> None:
    """Remove folders that hold nothing; stores other than the file system have none."""
    for path in sorted(root.rglob("*"), key=lambda path: -len(path.parts)) if root.exists() else ():
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()

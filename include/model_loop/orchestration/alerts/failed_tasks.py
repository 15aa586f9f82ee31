"""Failed tasks, as Airflow records them: their names and the addresses of their pages."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from airflow.sdk.configuration import conf
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.utils.helpers import log_filename_template_renderer

logger = logging.getLogger(__name__)

_ATTEMPT = re.compile(r"attempt=(\d+)\.log")


@dataclass(frozen=True)
class FailedTask:
    """One task instance that failed for good.

    Parameters
    ----------
    dag_id, run_id, task_id, map_index
        Coordinates of the task instance; the index is -1 for a task that is not mapped.
    name
        Name of the mapped instance, such as its family; empty if it has none.
    try_number, tries
        Number of the try, and of all tries; None where that is not recorded.
    started, ended
        Times of start and end.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    name: str = ""
    try_number: int | None = None
    tries: int | None = None
    started: dt.datetime | None = None
    ended: dt.datetime | None = None

    @property
    def about(self) -> str:
        """Names the instance in keys."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}/{self.map_index}"

    @property
    def label(self) -> str:
        """The task, with its mapped instance."""
        name = self.name or str(self.map_index)
        return f"{self.task_id} ({name})" if self.map_index >= 0 else self.task_id


def failed_tasks(dag: Any, run_id: str) -> list[FailedTask]:  # noqa: ANN401 - Airflow's
    """The tasks of a run that have failed."""
    found = RuntimeTaskInstance.get_task_states(dag_id=dag.dag_id, run_ids=[run_id])
    failed = []
    for name, state in found.get(run_id, {}).items():
        task_id, _, index = (name, "", "-1") if name in dag.task_dict else name.rpartition("_")
        # Those that the DAG no longer has cannot be looked up.
        if state == "failed" and task_id in dag.task_dict:
            failed.append(FailedTask(dag.dag_id, run_id, task_id, int(index)))
    return failed


def instance_name(ti: Any, context: Mapping[str, Any]) -> str:  # noqa: ANN401 - Airflow's
    """Return the name of a mapped instance: the family, the partition."""
    name = getattr(ti, "rendered_map_index", None)
    index = -1 if ti.map_index is None else ti.map_index
    return str(name) if name else name_by_input(context.get("task"), index, ti)


def name_by_input(task: Any, map_index: int, ti: Any) -> str:  # noqa: ANN401 - Airflow's
    """Return the input of a mapped instance, if that is text or texts; empty for other tasks.

    Of several texts the first and the last are named.
    """
    if map_index < 0:
        return ""
    group = task.get_closest_mapped_task_group()
    mapped = group or task
    given = getattr(mapped, "_expand_input", None) or getattr(mapped, "expand_input", None)
    if given is None or ti is None:
        return ""
    # The input is only wanted for its name: the alert is sent whatever is wrong with it.
    try:
        resolved = [
            value.resolve({"ti": ti})[map_index] if hasattr(value, "resolve") else value[map_index]
            for value in given.value.values()
        ]
    except Exception:
        logger.warning("The mapped instance %d has no name", map_index, exc_info=True)
        return ""
    lists = [value if isinstance(value, list) else [value] for value in resolved]
    names = [
        " … ".join(dict.fromkeys((texts[0], texts[-1])))
        for texts in lists
        if texts and all(isinstance(text, str) for text in texts)
    ]
    return ", ".join(names)[:80]


def log_file(task: FailedTask) -> Path | None:
    """The log of the last try; None if it is not on this machine."""
    folder = Path(conf.get("logging", "base_log_folder"))
    number = task.try_number or 1
    ti = SimpleNamespace(
        dag_id=task.dag_id,
        run_id=task.run_id,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=number,
        logical_date=None,
    )
    path = folder / log_filename_template_renderer()(ti=ti, try_number=number)
    if task.try_number is None:
        logs = {attempt_of(log): log for log in path.parent.glob("*.log")}
        last = max((attempt for attempt in logs if attempt is not None), default=None)
        return logs.get(last)
    return path if path.exists() else None


def attempt_of(path: Path) -> int | None:
    """Return the try number of a log, by its name."""
    found = _ATTEMPT.fullmatch(path.name)
    return int(found[1]) if found else None


def run_url(dag_id: str, run_id: str) -> str:
    """Return the address of a run's page in Airflow."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{quote(run_id)}"


def task_url(task: FailedTask) -> str:
    """Return the address of a task instance's page in Airflow, with its log."""
    mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
    attempt = f"?try_number={task.try_number}" if task.try_number else ""
    return f"{run_url(task.dag_id, task.run_id)}/tasks/{task.task_id}{mapped}{attempt}"

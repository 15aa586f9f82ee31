"""Parts that benchmarks of DAGs share: a local stack of their own, and runs that are waited for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.servers import free_port

from model_loop.local.airflow_api import FINISHED, AirflowApi
from model_loop.local.stack import LocalStack
from model_loop.local.start import ensure_up
from model_loop.local.supervision import Supervision
from model_loop.settings import all_settings

_PROJECT = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.5


@contextlib.contextmanager
def local_stack(state: Path, **told: Any) -> Iterator[LocalStack]:  # noqa: ANN401 - settings of any type
    """Stack of `make up`, with nothing in it, at free ports; some settings may be given."""
    settings = all_settings()(
        state=state,
        airflow_port=free_port(),
        execution_port=free_port(),
        mlflow_port=free_port(),
        mail_port=free_port(),
        **told,
    )
    stack = LocalStack(_PROJECT, settings)
    try:
        ensure_up(stack, Console(quiet=True))
        yield stack
    finally:
        Supervision(stack).stop()


def run_all(
    api: AirflowApi, confs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, str], float]:
    """Start runs together and wait until all have ended well; their ids by DAG, and the seconds.

    Raises
    ------
    RuntimeError
        With the end of the log of the first task that has failed.
    """
    started = time.perf_counter()
    runs = {dag_id: api.trigger(dag_id, conf) for dag_id, conf in confs.items()}
    waiting = dict(runs)
    while waiting:
        time.sleep(_POLL_SECONDS)
        for dag_id, run_id in list(waiting.items()):
            state = api.run_state(dag_id, run_id)
            if state in FINISHED:
                if state != "success":
                    raise RuntimeError("\n".join(_failure(api, dag_id, run_id)))
                del waiting[dag_id]
    return runs, time.perf_counter() - started


def _failure(api: AirflowApi, dag_id: str, run_id: str) -> list[str]:
    for task in api.tasks(dag_id, run_id):
        if task.state == "failed":
            return [f"{dag_id}: {task.task}", *api.log(dag_id, run_id, task)[-30:]]
    return [dag_id]

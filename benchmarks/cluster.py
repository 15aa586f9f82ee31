"""The whole loop on one and two Celery workers and on the local stack: same errors, in which time.

Preparation, both trainings of all seven families, promotion through the gate, a batch of a whole
month, and monitoring of that month, each started over REST when the one before has ended. The
services are those of docker-compose.yaml, as processes of this machine (tests/production):
Postgres, Redis, an S3 store, MLflow behind logins. A worker runs one task at a time, and a fit has
one thread, so that two workers have twice the cores of one, as far as the machine has them. Every
topology starts with nothing: no month was fetched, no model was made.

Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 to 2024-04), or are generated. Without the
programs of Postgres and Redis there is nothing to measure. An argument names one topology.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from benchmarks.results import record
from benchmarks.stacks import local_stack, run_all
from dotenv import dotenv_values
from tests.production.clusters import can_run, cluster

from model_loop.local.airflow_api import AirflowApi
from model_loop.local.start import api_of
from model_loop.production.environment import fresh_environment
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service

EVALUATIONS = 2
MONTHS = ("2024-01", "2024-02", "2024-03")
NEXT_MONTH = "2024-04"
DAGS = (
    "data_preparation",
    "sklearn_training",
    "xgboost_training",
    "promotion",
    "batch_scoring",
    "monitoring",
)
#: Settings of all topologies: nothing starts by itself, and storms of mails do not matter.
SETTINGS: dict[str, str | int] = {"monitoring_schedule": "", "xgboost_threads": 1}


#: Rows of the table of results, by topology.
COLUMNS = {"local": "make up, s", "1 worker": "one worker, s", "2 workers": "two workers, s"}


@dataclass
class Loop:
    """Outcome of one pass through the loop.

    Parameters
    ----------
    seconds
        By step, from the request to the end of the last task.
    busy
        Of those, the seconds that workers spent in tasks, all added up.
    errors
        RMSE by family on the validation and the test month, in minutes; and by which share that of
        the champion on the month that was monitored is above that on its test month.
    rows
        That were scored.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    rows: int = 0


def main() -> None:
    """Go through the loop on every topology, and compare."""
    if not can_run():
        print("Needs the programs of Postgres and Redis.")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = months_folder(Path(place))
        topologies: dict[str, Callable[[], contextlib.AbstractContextManager[AirflowApi]]] = {
            "local": lambda: local(folder),
            "1 worker": lambda: production(folder, 1),
            "2 workers": lambda: production(folder, 2),
        }
        wanted = sys.argv[1:] or list(topologies)
        found = {}
        for name in wanted:
            with topologies[name]() as api:
                api.wait_for_dags(set(DAGS), 180)
                found[name] = go_through(api)
            show(name, found[name])
            column = COLUMNS[name]
            record("cluster", "all", {column: sum(found[name].seconds.values())})
            for step, seconds in found[name].seconds.items():
                record("cluster", step, {column: seconds})
    first, *others = found.values()
    apart = [abs(other.errors[it] - first.errors[it]) for other in others for it in first.errors]
    print(f"errors apart by at most {max(apart, default=0):.3g} minutes")


def months_folder(place: Path) -> Path:
    """Return the folder of four successive months."""
    if given := os.environ.get("MODEL_LOOP_TLC_FOLDER"):
        return Path(given)
    for month in (*MONTHS, NEXT_MONTH):
        file = place / f"green_tripdata_{month}.parquet"
        write_month(file, get_service("green"), Month.parse(month), SampleOptions(trips=56_000))
    return place


@contextlib.contextmanager
def local(folder: Path) -> Iterator[AirflowApi]:
    """Stack that `make up` starts."""
    with (
        tempfile.TemporaryDirectory() as state,
        local_stack(Path(state), source=str(folder), **SETTINGS) as stack,
    ):
        yield api_of(stack)


@contextlib.contextmanager
def production(folder: Path, workers: int) -> Iterator[AirflowApi]:
    """Stack of docker-compose.yaml, with some workers of one task each."""
    made = dotenv_values(stream=StringIO(fresh_environment()))
    secrets = {name: value or "" for name, value in made.items()}
    secrets |= {"SOURCE": str(folder), "WORKER_CONCURRENCY": "1", "TRAINING_SLOTS": "2"}
    told = {f"MODEL_LOOP_{name.upper()}": str(value) for name, value in SETTINGS.items()}
    told["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "True"
    names = tuple(f"worker-{number}" for number in range(1, workers + 1))
    with cluster(secrets, names, **told) as running:
        url = running.url("airflow-api-server")
        yield AirflowApi(url, "admin", secrets["AIRFLOW_ADMIN_PASSWORD"])


def go_through(api: AirflowApi) -> Loop:
    """The loop, step by step."""
    loop = Loop()
    for dag in api.get("/dags?limit=100")["dags"]:
        # Scheduled runs would occupy the workers.
        api.send("PATCH", f"/dags/{dag['dag_id']}", json={"is_paused": dag["dag_id"] not in DAGS})
    train, validation, test = ([month] for month in MONTHS)
    months = {"train_months": train, "validation_months": validation, "test_months": test}
    finish(api, loop, "preparation", {"data_preparation": months})
    search = {**months, "max_evaluations": EVALUATIONS}
    trained = finish(
        api, loop, "trainings", {"sklearn_training": search, "xgboost_training": search}
    )
    for dag_id, run_id in trained.items():
        for family in api.result(dag_id, run_id, "results")["families"]:
            loop.errors[f"{family['family']}, validation"] = family["validation_rmse"]
            loop.errors[f"{family['family']}, test"] = family["test_rmse"]
    finish(api, loop, "promotion", {"promotion": {}})
    scored = finish(api, loop, "batch", {"batch_scoring": {"months": [NEXT_MONTH]}})
    loop.rows = api.result("batch_scoring", scored["batch_scoring"], "join")["rows"]
    window = {"months": [NEXT_MONTH], "window_source": "month", "act": False}
    watched = finish(api, loop, "monitoring", {"monitoring": window})
    judged = api.result("monitoring", watched["monitoring"], "performance")
    (findings,) = judged.values()
    (rmse,) = (
        finding["value"]
        for finding in findings
        if finding["metric"] == "rmse" and finding["subject"] == "all"
    )
    loop.errors[f"champion, {NEXT_MONTH} above test, share"] = rmse
    return loop


def finish(
    api: AirflowApi, loop: Loop, step: str, confs: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Start runs together, wait until all have ended well, and write down how long it took."""
    runs, loop.seconds[step] = run_all(api, confs)
    tasks = [task for dag_id, run_id in runs.items() for task in api.tasks(dag_id, run_id)]
    loop.busy[step] = sum(task.seconds or 0 for task in tasks)
    return runs


def show(name: str, loop: Loop) -> None:
    """Print one pass."""
    print(f"{name}: {sum(loop.seconds.values()):.0f} s, {loop.rows:,} rows scored")
    for step, seconds in loop.seconds.items():
        print(f"  {step:<12} {seconds:6.1f} s, in tasks {loop.busy[step]:6.1f} s")
    for what, rmse in loop.errors.items():
        print(f"  {what:<48} {rmse!r}")


if __name__ == "__main__":
    main()

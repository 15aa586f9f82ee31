"""Runs that are asked for over REST of a real api-server, without a scheduler."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.app import create_app, purge_cached_app
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.servers import free_port, tracking_database

from model_loop.orchestration.alerts.notifications import dispatcher
from model_loop.settings import get_settings

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """The DAGs as Airflow reads them; a task that failed is tried again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_LOOP_RETRY_DELAY_SECONDS", "0.1")
        get_settings.cache_clear()
        found = DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="forms")
    get_settings.cache_clear()
    return found


@pytest.fixture(scope="module")
def airflow(bag: DagBag) -> Iterator[TestClient]:
    """Airflow's REST API over the DAGs of this package; everybody is an administrator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "of this test alone, and long enough for it")
        initdb()
        with create_session() as session:
            session.add(DagBundleModel(name="forms"))
            session.flush()
            sync_bag_to_db(bag, "forms", None, session=session)
        purge_cached_app()
        # Not entered: a server that has started would build the dashboard.
        client = TestClient(create_app(apps="core"), base_url="http://localhost")
        client.headers["Authorization"] = (
            f"Bearer {client.get('/auth/token').json()['access_token']}"
        )
        yield client
        purge_cached_app()


def trigger(airflow: TestClient, dag_id: str, conf: Any, **headers: str) -> Any:
    """The answer to a request for a run."""
    body = {"dag_run_id": uuid.uuid4().hex, "logical_date": None, "conf": conf}
    return airflow.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body, headers=headers)


def runs(airflow: TestClient, dag_id: str) -> int:
    """How many runs a DAG has."""
    found: int = airflow.get(f"/api/v2/dags/{dag_id}/dagRuns").json()["total_entries"]
    return found


def test_a_form_that_is_right_begins_a_run(airflow: TestClient) -> None:
    """What is not refused is Airflow's to answer."""
    answer = trigger(airflow, "xgboost_training", {"max_evaluations": 2})
    assert answer.status_code == 200, answer.text
    assert answer.json()["conf"] == {"max_evaluations": 2}


@pytest.mark.parametrize(
    ("dag_id", "conf", "named"),
    [
        ("xgboost_training", {"max_evaluation": 2}, ["max_evaluation ", "max_evaluations?"]),
        ("retraining", {"newest": "2024-01"}, ["newest ", "newest_month?"]),
        ("maintenance", {"zzz": 1}, ["zzz ", "only_look", "log_days"]),
        ("data_preparation", {"recipe": "richh"}, ["recipe ('richh')", "rich", "booking"]),
        ("prediction", {"pickup_zone": 266}, ["pickup_zone (266)", "265 allowed values"]),
        ("prediction", {"dropoff_zone": "Muray Hill"}, ["dropoff_zone", "Murray Hill"]),
        ("prediction", {"input": [{}], "version": 0}, ["input ", "inputs?", "minimum of 1"]),
        (
            "sklearn_training",
            {"models": ["linear_model.Lass"]},
            ["models[0]", "linear_model.Lasso"],
        ),
    ],
    ids=str,
)
def test_a_form_that_is_wrong_is_refused_in_a_few_words(
    airflow: TestClient, dag_id: str, conf: dict[str, Any], named: list[str]
) -> None:
    """Every mistake is named, with what the field takes; no run begins, so nobody is alarmed."""
    before = runs(airflow, dag_id)
    answer = trigger(airflow, dag_id, conf)
    assert answer.status_code == 400
    detail = answer.json()["detail"]
    assert [word for word in named if word not in detail] == []
    assert len(detail) < 1_000
    assert runs(airflow, dag_id) == before


@pytest.mark.parametrize("depth", [50, 200, 400, 600, 900, 990, 100_000])
@pytest.mark.parametrize("field", ["nonsense", "max_evaluations", "months", "thresholds"])
def test_a_form_that_is_nested_without_end_is_refused(
    airflow: TestClient, field: str, depth: int
) -> None:
    """It is no error of the server's, and begins no run."""
    conf = f'{{"{field}": {"[" * depth}1{"]" * depth}}}'
    body = f'{{"dag_run_id": "{uuid.uuid4().hex}", "logical_date": null, "conf": {conf}}}'
    for dag_id in ("xgboost_training", "monitoring"):
        before = runs(airflow, dag_id)
        answer = airflow.post(
            f"/api/v2/dags/{dag_id}/dagRuns",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert 400 <= answer.status_code < 500, answer.text
        assert len(answer.text) < 5_000
        assert runs(airflow, dag_id) == before


def test_every_dag_refuses_what_its_form_does_not_have(airflow: TestClient) -> None:
    """By the name of the field, whichever DAG it is sent to."""
    listed = airflow.get("/api/v2/dags?limit=100").json()["dags"]
    answers = {dag["dag_id"]: trigger(airflow, dag["dag_id"], {"nonsense": 1}) for dag in listed}
    assert len(answers) == len(listed) > 10
    assert {answer.status_code for answer in answers.values()} == {400}
    assert all("Field nonsense" in answer.json()["detail"] for answer in answers.values())


def test_a_paused_dag_says_so_at_once(airflow: TestClient) -> None:
    """A run would wait for ever; once it is unpaused, the same request begins one."""
    airflow.patch("/api/v2/dags/prediction", json={"is_paused": True})
    answer = trigger(airflow, "prediction", {})
    assert answer.status_code == 409
    assert "prediction is paused" in answer.json()["detail"]
    # The UI says it in its own way.
    assert trigger(airflow, "prediction", {}, Referer="http://localhost/dags").status_code == 200
    airflow.patch("/api/v2/dags/prediction", json={"is_paused": False})
    assert trigger(airflow, "prediction", {}).status_code == 200


def test_nobody_learns_what_a_form_has_without_a_login(airflow: TestClient) -> None:
    """The refusal is Airflow's own."""
    answer = trigger(airflow, "prediction", {"nonsense": 1}, Authorization="Bearer none")
    assert answer.status_code in {401, 403}
    assert "nonsense" not in answer.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"logical_date": null, "conf": 1}'])
def test_what_is_no_request_is_airflows_to_refuse(airflow: TestClient, body: bytes) -> None:
    """The middleware reads the body first, and gives it on as it is."""
    answer = airflow.post("/api/v2/dags/prediction/dagRuns", content=body)
    assert answer.status_code == 422


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A storage root of its own; a tracking server that does not answer, in no time."""
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}")
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MODEL_LOOP_PREDICTION_INPUTS", "1")
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def run(dag: DAG, conf: dict[str, Any], marked: str | None = None) -> Any:
    """A run of a DAG in this process, with what Airflow does around each task.

    Tasks whose whole names match *marked* are marked as done instead.
    """
    return dag.test(run_conf=conf, logical_date=None, mark_success_pattern=marked)


def waited(airflow: TestClient, dag_run: Any, task_id: str) -> dict[str, Any]:
    """The last line that a caller gets who waits for a result."""
    path = f"/api/v2/dags/{dag_run.dag_id}/dagRuns/{dag_run.run_id}/wait"
    answer = airflow.get(path, params={"interval": 0.1, "result": task_id})
    found: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    return found


def alarms() -> list[str]:
    """What waits to be told to the ones who keep the loop running."""
    return [envelope.alert.subject for envelope in dispatcher().outbox.waiting()]


@pytest.mark.parametrize(
    ("dag_id", "task_id", "conf", "given", "rule"),
    [
        ("prediction", "predict", {"inputs": [{}, {}]}, "The list of 2 trips", "is longer than"),
        ("batch_scoring", "plan", {}, "The form", "names no file and no month"),
        ("batch_scoring", "join", {}, "The form", "names no file and no month"),
    ],
)
@pytest.mark.usefixtures("storage")
def test_a_caller_reads_what_was_wrong_and_nobody_is_alarmed(
    airflow: TestClient,
    bag: DagBag,
    dag_id: str,
    task_id: str,
    conf: dict[str, Any],
    given: str,
    rule: str,
) -> None:
    """What only the task can tell is in the result that the caller waits for; the run fails."""
    answer = waited(airflow, run(bag.dags[dag_id], conf), task_id)
    assert answer["state"] == "failed"
    error = answer["results"][task_id]["error"]
    assert error["given"] == given
    assert rule in error["rule"]
    assert error["remedy"].endswith(".")
    assert alarms() == []


@pytest.mark.usefixtures("storage")
def test_what_is_not_the_callers_mistake_is_told(airflow: TestClient, bag: DagBag) -> None:
    """A tracking server that is down is no caller's doing: somebody has to look after it."""
    assert (
        waited(airflow, run(bag.dags["prediction"], {"inputs": None}), "predict")["state"]
        == "failed"
    )
    assert alarms() == ["prediction failed in predict"]


@pytest.mark.parametrize("conf", [{"gate": True}, {"gate": False}], ids=str)
@pytest.mark.usefixtures("storage")
def test_tasks_that_are_marked_as_done_promote_nothing(
    airflow: TestClient, bag: DagBag, monkeypatch: pytest.MonkeyPatch, conf: dict[str, Any]
) -> None:
    """What a User may do with the tasks of a run replaces neither gate nor approval."""
    monkeypatch.setenv("MODEL_LOOP_APPROVAL", "true")
    get_settings.cache_clear()
    conf = {"action": "promote", "version": 3, "approval": False, **conf}
    answer = waited(airflow, run(bag.dags["promotion"], conf, marked=r"(?!move$).*"), "move")
    assert answer["state"] == "failed"
    assert alarms() == ["promotion failed in move"]


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("sklearn_training", {"models": [], "time_budget_seconds": 0}),
        ("sklearn_training", {"max_evaluation": 2}),
        ("maintenance", {"log_day": 1}),
        ("retraining", {"newest": "2024-01"}),
    ],
)
@pytest.mark.usefixtures("storage", "airflow")
def test_a_form_that_is_wrong_is_one_failure(
    bag: DagBag, dag_id: str, conf: dict[str, Any]
) -> None:
    """Whatever has started the run, one task fails, and one alarm is given."""
    ended = run(bag.dags[dag_id], conf)
    failed = [ti.task_id for ti in ended.get_task_instances() if ti.state == "failed"]
    assert ended.state == "failed"
    assert len(failed) == 1
    assert alarms() == [f"{dag_id} failed in {failed[0]}"]


def scheduled(dag_id: str) -> DagRun:
    """The run that the scheduler makes of the events that wait for a DAG."""
    # Airflow types its own constructor in part.
    runner = SchedulerJobRunner(job=Job())  # type: ignore[no-untyped-call]
    with create_session() as session:
        runner._create_dag_runs_asset_triggered(
            dag_models=[session.get_one(DagModel, dag_id)], session=session
        )
        asked = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_type == "asset_triggered")
        (made,) = session.scalars(asked)
        made.state = "running"
        return made


def test_an_event_over_rest_is_answered_with_what_it_says(
    airflow: TestClient, bag: DagBag, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the run that the scheduler makes of it; not by the defaults of the form."""
    monkeypatch.setenv("MODEL_LOOP_ALLOWED_SOURCES", str(storage))
    monkeypatch.setenv("MODEL_LOOP_RETRAINING_TRAIN_PARTITIONS", "1")
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracking_database(Path(storage, "mlflow.db")))
    get_settings.cache_clear()
    for month in ("2024-01", "2024-02", "2024-03", "2024-04"):
        (storage / f"green_tripdata_{month}.parquet").write_bytes(b"never read")
    (asset,) = airflow.get("/api/v2/assets?name_pattern=published_months").json()["assets"]
    extra = {"source": str(storage), "service": "green", "months": ["2024-03"]}
    event = {"asset_id": asset["id"], "extra": extra}
    assert airflow.post("/api/v2/assets/events", json=event).status_code == 200
    made = scheduled("retraining")

    def this_run(*, dag: Any, **_: Any) -> DagRun:
        made.dag = dag
        return made

    monkeypatch.setattr("airflow.models.dagrun.get_or_create_dagrun", this_run)
    # What the other DAGs do is not the matter here.
    others = r"(?!plan$|other_occasions$|answer_others$).*"
    bag.dags["retraining"].test(mark_success_pattern=re.compile(others), logical_date=None)
    plan = waited(airflow, made, "plan")["results"]["plan"]
    assert (plan["source"], plan["service"]) == (str(storage), "green")
    assert plan["why"] == "published: 2024-03"
    for form in plan["forms"].values():
        assert (form["source"], form["service"]) == (str(storage), "green")
        assert form["test_months"] == ["2024-03"]

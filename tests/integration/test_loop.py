"""The loop, end to end: the three DAGs through a real Airflow with a real MLflow server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import mlflow
import pytest
from tests.integration.conftest import SMALL, RunningStack, mails
from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.local.airflow_api import FINISHED
from model_loop.local.demo import DemoRequest
from model_loop.local.preflight import LocalStackError
from model_loop.models.catalogue import FAMILIES, SKLEARN_FAMILIES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

WAIT_SECONDS = 600


def families(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The results of all families."""
    for result in results:
        yield from result["families"]


#: Runs that the tests below look at: begun together, they wait for each other's processors and not
#: for each other's ends.
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "waited for": ("xgboost_training", {"max_evaluations": 1}),
    "again": ("xgboost_training", SMALL.conf("xgboost_training")),
    "without data": (
        "sklearn_training",
        {"max_evaluations": 1, "max_age_seconds": 0, "models": ["linear_model.LinearRegression"]},
    ),
    "months out of order": ("data_preparation", {"train_months": ["2024-05"]}),
    "a month to come": ("data_preparation", {"test_months": ["2099-01"]}),
    "no such source": ("data_preparation", {"source": "/nonexistent"}),
    "training out of order": (
        "xgboost_training",
        {"train_months": ["2024-06"], "max_evaluations": 1},
    ),
}


@pytest.fixture(scope="module")
def asked(running: RunningStack, results: list[dict[str, Any]]) -> dict[str, str]:
    """Begin all runs of `ASKED` after the main job; return their ids."""
    assert results
    return {name: running.api.trigger(dag_id, conf) for name, (dag_id, conf) in ASKED.items()}


def ended(running: RunningStack, asked: dict[str, str], name: str) -> tuple[str, str]:
    """Wait for the end of a run of `ASKED`; return its id and state."""
    (dag_id, _), run_id = ASKED[name], asked[name]
    deadline = time.monotonic() + WAIT_SECONDS
    while (state := running.api.run_state(dag_id, run_id)) not in FINISHED:
        assert time.monotonic() < deadline, f"{dag_id} did not end"
        time.sleep(0.5)
    return run_id, state


def test_all_families_are_trained(results: list[dict[str, Any]]) -> None:
    """Six scikit-learn families and XGBoost are trained on months that are called sample."""
    assert {family["family"] for family in families(results)} == set(FAMILIES)
    assert [result["data_source"] for result in results] == ["sample", "sample"]
    assert all(result["rows"]["test"] > 1_000 for result in results)


def test_figures_agree_everywhere(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """The errors in the results are those in MLflow and those of the registered model."""
    for family in families(results):
        metrics = running.tracking.get_run(family["run_id"]).data.metrics
        for name in ("validation_rmse", "test_rmse", "test_mae"):
            assert metrics[name] == family[name], (family["family"], name)


def test_runs_are_nested(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """A run for the DAG run, a child for each family, a grandchild for each trial; all ended."""
    client = running.tracking
    for result in results:
        parent = client.get_run(result["run_id"])
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["data_source"] == "sample"
        assert parent.inputs is not None
        assert len(parent.inputs.dataset_inputs) == 3
        children = _children(running, parent)
        assert {run.info.run_id for run in children} == {
            family["run_id"] for family in result["families"]
        }
        for family in result["families"]:
            child = client.get_run(family["run_id"])
            assert child.info.status == "FINISHED"
            assert child.data.tags["MODEL"] == family["family"]
            trials = _children(running, child)
            assert len(trials) == family["evaluations"] >= 1
            assert (
                min(trial.data.metrics["validation_rmse"] for trial in trials)
                == (family["validation_rmse"])
            )


def _children(running: RunningStack, run: Any) -> list[Any]:
    condition = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    found: list[Any] = running.tracking.search_runs([run.info.experiment_id], condition)
    return found


def test_registered_models_take_raw_trips(
    running: RunningStack, results: list[dict[str, Any]]
) -> None:
    """Every registered model is loaded by its address and predicts from its own input example."""
    mlflow.set_tracking_uri(running.stack.mlflow_url)
    for family in families(results):
        model = mlflow.pyfunc.load_model(family["model_uri"])
        assert model.metadata.signature.outputs is not None
        assert all(0 < minutes < 120 for minutes in model.predict(model.input_example))


def test_mapped_instances_carry_their_names(
    running: RunningStack, results: list[dict[str, Any]]
) -> None:
    """The UI shows families and months by name."""
    run_id = _first(running, "sklearn_training")
    shown = {task.task for task in running.api.tasks("sklearn_training", run_id)}
    for step in ("tune", "train", "register"):
        assert {f"model.{step} [{name}]" for name in SKLEARN_FAMILIES} <= shown
    assert results


def test_rest_shows_small_references(running: RunningStack, results: list[dict[str, Any]]) -> None:
    """Over REST a training set is its reference; the object behind it is there."""
    run_id = _first(running, "data_preparation")
    shown = running.api.result("data_preparation", run_id, "encode_months")
    assert shown["kind"] == "TrainingSet"
    assert shown["size"] == len(UPath(shown["uri"]).read_bytes())
    assert results


def test_rest_waits_for_the_result(running: RunningStack, asked: dict[str, str]) -> None:
    """One request waits for a run and ends with its results, as the how-to page says."""
    waiting = f"/dags/xgboost_training/dagRuns/{asked['waited for']}/wait"
    answer = running.api.send("GET", f"{waiting}?interval=1&result=results")
    last = json.loads(answer.text.strip().splitlines()[-1])
    assert last["state"] == "success"
    assert last["results"]["results"]["families"][0]["family"] == "xgboost"


def _first(running: RunningStack, dag_id: str) -> str:
    """The run of the main job, whatever other tests have run before."""
    conf = SMALL.conf(dag_id)
    ids = [run["dag_run_id"] for run in _runs(running, dag_id) if run["conf"] == conf]
    first: str = ids[0]
    return first


def _runs(running: RunningStack, dag_id: str) -> list[dict[str, Any]]:
    """All runs of a DAG, in the order in which they were asked for."""
    found: list[dict[str, Any]] = running.api.get(f"/dags/{dag_id}/dagRuns?order_by=id&limit=100")[
        "dag_runs"
    ]
    return found


def test_same_seed_same_result(
    running: RunningStack, results: list[dict[str, Any]], asked: dict[str, str]
) -> None:
    """The same months and seed give the same settings and the same errors again."""
    first = next(family for family in families(results) if family["family"] == "xgboost")
    run_id, state = ended(running, asked, "again")
    assert state == "success"
    (again,) = running.api.result("xgboost_training", run_id, "results")["families"]
    for name in ("settings", "rounds", "validation_rmse", "test_rmse"):
        assert again[name] == first[name]
    assert again["model_uri"] != first["model_uri"]


def test_training_has_its_data_prepared(running: RunningStack, asked: dict[str, str]) -> None:
    """Where no training set is fresh enough, training has data_preparation run and waits for it."""
    run_id, state = ended(running, asked, "without data")
    tasks = {task.task: task.state for task in running.api.tasks("sklearn_training", run_id)}
    assert state == "success", tasks
    assert tasks["data_preparation"] == "success"
    assert running.api.run_state("data_preparation", f"sklearn_training.{run_id}") == "success"


@pytest.mark.parametrize(
    ("dag_id", "conf", "message"),
    [
        ("data_preparation", {"service": "purple"}, "purple"),
        ("data_preparation", {"train_months": ["2024-13"]}, "2024-13"),
        ("sklearn_training", {"models": ["linear_model.Ridge"]}, "Ridge"),
        ("sklearn_training", {"max_evaluations": 0}, "0"),
        ("xgboost_training", {"max_evaluations": -1}, "-1"),
    ],
)
def test_rest_refuses_bad_forms(
    running: RunningStack, dag_id: str, conf: dict[str, Any], message: str
) -> None:
    """REST refuses a bad form before a run exists, and names the value."""
    with pytest.raises(InvalidInputError, match=message):
        running.api.trigger(dag_id, conf)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("months out of order", "validation month 2024-02 is not after"),
        ("a month to come", "Month 2099-01 has not ended"),
        ("no such source", "Source folder /nonexistent does not exist"),
    ],
)
def test_bad_input_fails_at_once_and_mails(
    running: RunningStack, asked: dict[str, str], name: str, message: str
) -> None:
    """Values that no form can check fail in the first task, once, in the log and in one mail."""
    run_id, state = ended(running, asked, name)
    assert state == "failed"
    tasks = {task.task: task for task in running.api.tasks("data_preparation", run_id)}
    first = tasks["plan_months"]
    assert (first.state, first.try_number) == ("failed", 1)
    assert message in "\n".join(running.api.log("data_preparation", run_id, first))
    deadline = time.monotonic() + 120
    while not (about := _mails_about(running, run_id)) and time.monotonic() < deadline:
        time.sleep(0.2)
    # One mail, which tells of the other runs, too, where they have failed in the same moment.
    (mail,) = about
    assert mail["to"] == "ml-team@example.com"
    assert message in _text(mail)
    assert "data_preparation failed in plan_months" in f"{mail['subject']} {_text(mail)}"


def _mails_about(running: RunningStack, run_id: str) -> list[EmailMessage]:
    return [mail for mail in mails(running) if run_id in _text(mail)]


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body is not None
    content: str = body.get_content()
    return content


def test_demo_says_what_failed(running: RunningStack) -> None:
    """The demo ends with the failing task and the end of its log."""
    with pytest.raises(LocalStackError, match=r"(?s)failed in plan_months.*does not exist"):
        running.demo(DemoRequest(source="/nonexistent"))


def test_training_checks_its_form_first(running: RunningStack, asked: dict[str, str]) -> None:
    """A training run with months out of order fails before anything is prepared or tracked."""
    run_id, state = ended(running, asked, "training out of order")
    states = {task.task: task.state for task in running.api.tasks("xgboost_training", run_id)}
    assert state == "failed"
    assert states["missing_training_set"] == "failed"
    assert states["open_run"] in {"upstream_failed", None}

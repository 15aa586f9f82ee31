"""Predictions through a real Airflow: forms, REST, files, and the examples of the documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from tests.integration.conftest import PROJECT, RunningStack

from model_loop.local.airflow_api import FINISHED
from model_loop.local.stack import ADMIN
from model_loop.scoring.identifiers import new_id
from model_loop.serving.batches.airflow import PASSWORD_VARIABLE, USERNAME_VARIABLE, AirflowRuns
from model_loop.serving.batches.store import BatchRecord, BatchStore
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

WAIT_SECONDS = 600
PAGE = PROJECT / "docs" / "how-to" / "prediction.md"
FIRST = {"PULocationID": 239, "DOLocationID": 236, "trip_distance": 1.98}


def blocks(language: str) -> list[str]:
    """The code blocks of the page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def champion(running: RunningStack, results: list[dict[str, Any]]) -> int:
    """The version that answers."""
    family = min(
        (family for result in results for family in result["families"]),
        key=lambda family: family["validation_rmse"],
    )
    version = int(family["model_uri"].rpartition("/")[2])
    promoter = promoter_of(running)
    if promoter.standing().champion != version:
        promoter.act(Action("promote", "green", version, who="tests"), f"{__name__}/{version}")
    running.api.wait_for_dags({"prediction", "batch_scoring"})
    return version


def promoter_of(running: RunningStack) -> Promoter:
    """The service's versions."""
    return Promoter(Tracker(running.stack.mlflow_url, "trip-duration-promotion"), "green", "ended")


def run(running: RunningStack, dag_id: str, **conf: Any) -> str:
    """Run a DAG to its end and require that it succeeds; its run id."""
    run_id = running.api.trigger(dag_id, conf)
    state = end_of(running, dag_id, run_id)
    assert state == "success", failures(running, dag_id, run_id)
    return run_id


def end_of(running: RunningStack, dag_id: str, run_id: str) -> str:
    """The state in which a run ends."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        state = running.api.run_state(dag_id, run_id)
        if state in FINISHED:
            return state
        time.sleep(0.3)
    pytest.fail(f"{run_id} did not end")


def failures(running: RunningStack, dag_id: str, run_id: str) -> str:
    """Logged errors of failed tasks."""
    tasks = [task for task in running.api.tasks(dag_id, run_id) if task.state == "failed"]
    return "\n".join(line for task in tasks for line in running.api.log(dag_id, run_id, task))


def refused(running: RunningStack, dag_id: str, **conf: Any) -> str:
    """Run a DAG that must fail at its first try; what it logs."""
    run_id = running.api.trigger(dag_id, conf)
    assert end_of(running, dag_id, run_id) == "failed"
    failed = [task for task in running.api.tasks(dag_id, run_id) if task.state == "failed"]
    # Tasks behind the one that refuses repeat its reason; none is tried again.
    assert {task.try_number for task in failed} == {1}
    return failures(running, dag_id, run_id)


def test_form_rest_batch_and_notebook_agree(running: RunningStack, champion: int) -> None:
    """The same trips give the same minutes, whichever way they are asked for."""
    scored = run(running, "batch_scoring", months=["2024-04"], chunk_rows=1_000)
    result = running.api.result("batch_scoring", scored, "join")
    assert result["model_version"] == champion
    assert result["rows"] == result["predicted_rows"] + result["rejected_rows"] > 1_000
    tasks = running.api.tasks("batch_scoring", scored)
    chunks = [task for task in tasks if task.task_id == "score_chunk"]
    assert len(chunks) > 1
    assert "score_chunk [green_tripdata_2024-04.parquet 0 to " in chunks[0].task

    trips = pd.read_parquet(result["files"][0]["output"])
    some = trips.sample(20, random_state=0)
    columns = [
        *("lpep_pickup_datetime", "PULocationID", "DOLocationID"),
        *("passenger_count", "VendorID", "trip_type", "trip_distance"),
    ]
    inputs = json.loads(some[columns].to_json(orient="records", date_format="iso", date_unit="us"))
    inputs = [
        {**one, "lpep_pickup_datetime": one["lpep_pickup_datetime"].removesuffix("Z")}
        for one in inputs
    ]
    listed = running.api.result("prediction", run(running, "prediction", inputs=inputs), "predict")[
        "predictions"
    ]

    mlflow.set_tracking_uri(running.stack.mlflow_url)
    notebook = mlflow.pyfunc.load_model(f"models:/trip_duration_green/{champion}")
    raw = some.rename(columns={"lpep_pickup_datetime": "pickup_datetime"})
    raw = raw.astype({"passenger_count": float, "VendorID": float, "trip_type": float})
    said = notebook.predict(raw[notebook.metadata.signature.inputs.input_names()])
    assert np.abs(np.array([one["minutes"] for one in listed]) - said).max() < 1e-5
    assert np.abs(some.predicted_minutes - said).max() < 1e-5

    one = {name: value for name, value in inputs[0].items() if value is not None}
    form = running.api.result(
        "prediction",
        run(
            running,
            "prediction",
            pickup_zone=one["PULocationID"],
            dropoff_zone=one["DOLocationID"],
            trip_distance=one["trip_distance"],
            # What the form sends: the same moment, said in Greenwich's time.
            pickup_at=pd.Timestamp(one["lpep_pickup_datetime"])
            .tz_localize("America/New_York")
            .tz_convert("UTC")
            .isoformat(),
            passenger_count=one.get("passenger_count"),
        ),
        "predict",
    )
    bare = {**inputs[0], "VendorID": None, "trip_type": None}
    again = run(running, "prediction", inputs=[bare])
    (same,) = running.api.result("prediction", again, "predict")["predictions"]
    assert abs(form["predictions"][0]["minutes"] - same["minutes"]) < 1e-5
    assert form["summary"].startswith(f"About {same['minutes']:.1f} minutes from ")


def test_examples_of_the_documentation(
    running: RunningStack, champion: int, tmp_path: Path
) -> None:
    """Both curl and the Python client, as the page has them, end with predictions."""
    (script,) = (block for block in blocks("bash") if "AIRFLOW" in block)
    environment = {
        **os.environ,
        "AIRFLOW": running.stack.airflow_url,
        "PASSWORD": str(running.stack.password),
    }
    done = subprocess.run(
        ["bash", "-euc", f'{script}\necho "$TOKEN" > token'],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout)
    assert end["state"] == "success"
    found = end["results"]["predict"]
    assert found["model_version"] == champion
    assert len(found["predictions"]) == 2
    assert all(1 < one["prediction"] < 90 for one in found["predictions"])
    assert {one["unit"] for one in found["predictions"]} == {"min"}

    (code,) = blocks("python notest")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "TOKEN": (tmp_path / "token").read_text().strip()},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(rf"\d+\.\d min, version {champion}", line) for line in lines)


def test_a_file_of_the_caller(running: RunningStack, champion: int) -> None:
    """A CSV file under the storage root is scored beside itself; one elsewhere is not read."""
    root = Path(running.stack.storage_root.removeprefix("file://"))
    folder = root / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    rows = pd.DataFrame([FIRST, {**FIRST, "PULocationID": 0}])
    rows.assign(pickup_at="2024-03-04T08:30:00").to_csv(folder / "trips.csv", index=False)
    done = run(running, "batch_scoring", input=str(folder / "trips.csv"))
    result = running.api.result("batch_scoring", done, "join")
    assert (result["predicted_rows"], result["rejected_rows"]) == (1, 1)
    assert set(pd.read_csv(folder / "trips.predictions.csv").model_version) == {champion}
    assert "PULocationID = 0" in (folder / "trips.rejected.csv").read_text()

    assert "outside of the folders" in refused(running, "batch_scoring", input="/etc/passwd")
    assert "names no file and no month" in refused(running, "batch_scoring")


def test_what_cannot_be_predicted(running: RunningStack, champion: int) -> None:
    """The task ends at once with a message that says which input, which rule, and what to do."""
    assert champion
    log = refused(running, "prediction", inputs=[FIRST, {**FIRST, "DOLocationID": "Atlantis"}])
    assert "inputs[1].DOLocationID = Atlantis is unknown" in log
    assert "is longer than the 50" in refused(running, "prediction", inputs=[FIRST] * 51)
    assert "Variant fhvhv has no champion yet" in refused(running, "prediction", service="fhvhv")
    assert "is not in the registry" in refused(running, "prediction", version=999)
    promoter = promoter_of(running)
    promoter.act(Action("disable", "green", who="tests", why="incident"), "tests/disable")
    try:
        assert "is disabled, so nothing answers" in refused(running, "prediction", inputs=[FIRST])
    finally:
        promoter.act(Action("enable", "green", who="tests"), "tests/enable")


def test_files_over_http_are_runs(
    running: RunningStack, champion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run for each file, by the id of its batch, however often it is asked for."""
    monkeypatch.setenv(USERNAME_VARIABLE, ADMIN)
    monkeypatch.setenv(PASSWORD_VARIABLE, str(running.stack.password))
    store = BatchStore(running.stack.state.resolve() / "serving" / "batches")
    rows = pd.DataFrame([FIRST, {**FIRST, "PULocationID": 0}])
    rows = rows.assign(pickup_at="2024-03-04T08:30:00")
    sent = {}
    for name, text in (("good", rows.to_csv(index=False)), ("bad", "colour\nred\n")):
        with store.incoming() as folder:
            (folder / "rows.csv").write_text(text)
            record = BatchRecord(
                new_id(time.time()), "tests", "green", "rows.csv", "", name, len(text), time.time()
            )
            sent[name] = store.accept(folder, record)
    deadline = time.monotonic() + WAIT_SECONDS
    while store.pending():
        # Another server on the same folder, or the next one.
        runs = AirflowRuns(store, running.stack.airflow_url)
        assert runs.advance()
        runs.close()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    done, failed = (sent[name].progress() for name in ("good", "bad"))
    assert done.state == "done", done.error
    assert (done.rows, done.predicted, done.rejected) == (2, 1, 1)
    assert done.model_version == champion
    scored = pd.read_csv(sent["good"].folder / done.result)
    assert scored["model_version"].tolist() == [champion]
    assert (sent["good"].folder / done.rejected_rows).exists()
    assert failed.state == "failed"
    assert failed.error is not None
    assert "colour" in str(failed.error) or "lacks" in str(failed.error)
    found = running.api.get("/dags/batch_scoring/dagRuns?limit=100")["dag_runs"]
    ids = [one["dag_run_id"] for one in found if one["dag_run_id"].startswith("batch__")]
    assert sorted(ids) == sorted(f"batch__{one.record.id}" for one in sent.values())

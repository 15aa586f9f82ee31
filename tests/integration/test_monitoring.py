"""The loop that drift closes: strange requests, an alarm, a retraining, and errors as before.

A stack of its own; its request log is filled with real predictions of drifted trips.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.integration.closed_loop import champion, ended, eventually, promoter, publish, runs
from tests.integration.conftest import RunningStack, mails, make_stack, running_stack
from tests.websites import website_over

from model_loop.local.airflow_api import FINISHED
from model_loop.monitoring.levels import Level, from_json
from model_loop.monitoring.published import window_of_published
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.predictor import RegisteredVersion, load_predictor
from model_loop.scoring.rows import from_frame
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.tracking.actions import Action
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.dataset import TRIPS
from trip_duration.months import Month
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

#: Trips from zones that were quiet, on slower streets: what a city does, and no damage to a file.
STRANGE = Drift(zone_shift=0.2, speed_factor=0.7)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningStack, Path]]:
    """A stack whose drift DAGs are switched on, and the folder that its source publishes."""
    folder = tmp_path_factory.mktemp("published")
    for month in ("2024-01", "2024-02", "2024-03"):
        publish(folder, month)
    for month in ("2024-04", "2024-05"):
        publish(folder, month, drift=STRANGE)
    stack = make_stack(tmp_path_factory.mktemp("watched"))
    with website_over(folder) as site:
        settings = {
            "source": site.url,
            "retraining_train_partitions": 1,
            "retraining_schedule": "",
            "monitoring_schedule": "",
            "max_evaluations": 1,
            "sklearn_models": "linear_model.LinearRegression,linear_model.Lasso",
        }
        stack = replace(stack, settings=stack.settings.model_copy(update=settings))
        with running_stack(stack) as running:
            running.api.wait_for_dags({"monitoring", "retraining", "promotion", "xgboost_training"})
            for dag_id in ("monitoring", "retraining"):
                running.api.send("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
            yield running, folder


def trips_of(folder: Path, month: str, loop: RunningStack, version: int) -> WindowRows:
    """A published month, as a version predicts it."""
    found = promoter(loop, "ended").versions
    predictor = load_predictor(found, RegisteredVersion("green", version))
    root = (folder / "store").as_uri()
    raw = fetch_month(
        str(folder),
        get_service("green"),
        Month.parse(month),
        root,
        sample=SampleOptions(),
        timeout_seconds=10,
    )
    checked = CheckedMonthStore(root).check(raw, get_service("green"), ContractLimits())
    window = Window.of_partition("green", checked.raw.month)
    return window_of_published(window, checked, predictor.columns, predictor)


def rmse(trips: WindowRows) -> float:
    """How far off the predictions are, in minutes."""
    return float(np.sqrt(np.mean((trips.predicted - trips.actual) ** 2)))


def ask(loop: RunningStack, trips: WindowRows) -> None:
    """Log the predictions as the prediction server does."""
    settings = loop.stack.settings
    log = RequestLog(open_log(settings.request_log_url, settings.serving_folder))
    rows = from_frame(
        TRIPS, trips.rows, [name for name in TRIPS.columns.names if name in trips.rows]
    )
    at = time.time() - 60
    log.record_many(
        Entry(one.decode(), at, "green", int(version), "champion", "test", None, minutes, 1.0, row)
        for one, version, minutes, row in zip(
            new_ids(len(trips)),
            trips.versions,
            trips.predicted.tolist(),
            rows.tolist(),
            strict=True,
        )
    )
    log.start()
    assert log.flush(30)
    log.stop()
    log.engine.dispose()


def test_drift_leads_to_a_better_champion(watched: tuple[RunningStack, Path]) -> None:
    """Drifted requests, a mail, a retraining, the gate, a new champion, and errors come down."""
    loop, folder = watched
    conf = {
        "recipe": "rich",
        "max_evaluations": 1,
        "train_months": ["2024-01"],
        "validation_months": ["2024-02"],
    }
    finish(loop, "xgboost_training", {**conf, "test_months": ["2024-03"]})
    promoter(loop, "ended").act(Action("promote", "green", version=1, who="test"), "test")
    usual = rmse(trips_of(folder, "2024-03", loop, 1))
    strange = trips_of(folder, "2024-05", loop, 1)
    assert rmse(strange) > 1.25 * usual
    ask(loop, strange)

    run = finish(loop, "monitoring", {})
    (evidence,) = loop.api.result("monitoring", run, "judge")
    assert "(PULocationID)" in evidence["why"]
    assert evidence["version"] == 1
    # The month that holds the trips is published, and tells how long they took.
    findings = from_json(artifact(loop, evidence["run_id"], "performance/findings.json"))
    (error,) = (one for one in findings if one.metric == "rmse")
    assert error.value > 0.25
    assert error.level is Level.OK, "one window of errors does not count yet"
    assert artifact(loop, evidence["run_id"], "drift/evidently.html")

    retraining = ended(loop, 0)
    assert retraining["state"] == "success"
    told = loop.api.result("retraining", retraining["dag_run_id"], "finish")
    assert told["why"] == f"drift: {evidence['why']}"
    assert told["promoted"]
    new = champion(loop, "ended")
    assert new is not None
    assert new == told["champion"] != 1
    after = rmse(trips_of(folder, "2024-05", loop, new))
    assert after < 0.9 * rmse(strange)

    outcome = loop.tracking.get_run(evidence["run_id"]).data.tags["outcome"]
    assert outcome.startswith(f"retrained because {evidence['why']}; RMSE {rmse(strange):.2f} → ")
    subjects = eventually(
        lambda: (
            [s for s in map(subject, mails(loop)) if "retrained because" in s]
            and [subject(mail) for mail in mails(loop)]
        ),
        "mail of the outcome",
    )
    gravest = evidence["why"].partition(",")[0]
    assert sum(f"drift: {gravest}" in one for one in subjects) == 1
    assert sum(f"retrained because {gravest}" in one for one in subjects) == 1


def test_one_drift_retrains_once(watched: tuple[RunningStack, Path]) -> None:
    """Looking again within the cooldown replaces what was said, and starts nothing."""
    loop, _ = watched
    before, told = len(runs(loop, "retraining")), len(mails(loop))
    run = finish(loop, "monitoring", {"version": 1, "report": False})
    tasks = {task.task_id: task.state for task in loop.api.tasks("monitoring", run)}
    assert tasks["retrain"] == "skipped"
    assert len(runs(loop, "retraining")) == before
    assert len(mails(loop)) == told


def finish(loop: RunningStack, dag_id: str, conf: dict[str, object]) -> str:
    """Run a DAG to its good end; return the id of the run."""
    run_id: str = loop.api.trigger(dag_id, conf)
    state = eventually(
        lambda: (now := loop.api.run_state(dag_id, run_id)) in FINISHED and now, f"end of {dag_id}"
    )
    assert state == "success"
    return run_id


def artifact(loop: RunningStack, run_id: str, path: str) -> bytes:
    """A file of a run."""
    return Path(loop.tracking.download_artifacts(run_id, path)).read_bytes()


def subject(mail: object) -> str:
    """Its subject, in one line."""
    return " ".join(str(mail["Subject"]).split())  # type: ignore[index]  # a mail

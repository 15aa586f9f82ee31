"""What the process beside the api-server finds on a real MLflow server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_loop.dashboard.runs import Runs
from model_loop.dashboard.worker_queries import WorkerQueries
from model_loop.monitoring.health.stored import champion_of
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import IDENTITY_TAG, Tracker

pytestmark = pytest.mark.integration

EXPERIMENT = "asked"
PAGE = b"<!doctype html>\n<p>\xc3\xa9</p>\n"


@pytest.fixture
def queries(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerQueries]:
    """Of the server."""
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracker.tracking_uri)
    monkeypatch.setenv("MODEL_LOOP_EXPERIMENT", EXPERIMENT)
    made = WorkerQueries()
    yield made
    made.stop()


def test_it_answers_what_the_server_holds(tracker: Tracker, queries: WorkerQueries) -> None:
    """Typed, and the same as whoever asks the server himself is told."""
    url = tracker.tracking_uri
    ours, watched = Tracker(url, EXPERIMENT), Tracker(url, f"{EXPERIMENT}-monitoring")
    promoter = Promoter(Tracker(url, f"{EXPERIMENT}-promotion"), "yellow", "ended")
    tags = {"MODEL": "xgboost", "service": "yellow", IDENTITY_TAG: "training/run/xgboost"}
    run_id = ours.open_run("training/run/xgboost", "xgboost", tags)
    ours.log(run_id, params={"max_depth": 6}, metrics={"test_rmse": 4.5, "test_mae": float("nan")})
    trial = ours.open_run("trial", "trial", {"trial": "3"}, parent_run_id=run_id)
    ours.log(trial, params={"max_depth": 7}, metrics={"validation_rmse": 5.5})
    ours.client.log_text(run_id, PAGE.decode(), "drift/page.html")
    ours.client.log_dict(run_id, {"test": {"rmse": 4.5}}, "numbers.json")
    month = {"pipeline": "months", "service": "yellow", "month": "2024-01"}
    ours.close_run(ours.open_run("month", "month", month))
    window = {"service": "yellow", "window": "2024-03", "window_end": "2024-04-01T00:00:00+00:00"}
    watched.open_run("window", "window", {**window, "version": "1", "level": "warning"})
    ours.client.create_registered_model(promoter.name)
    ours.client.create_model_version(promoter.name, f"runs:/{run_id}/model", run_id)
    promoter.act(Action("promote", "yellow", 1, who="me", why="first"), "asked/first")

    runs = Runs(ours.client, EXPERIMENT)
    assert queries.families("yellow") == runs.families("yellow")
    assert queries.families("yellow")[0].metrics == {"test_rmse": 4.5}
    assert queries.partitions("yellow") == runs.partitions("yellow") != ()
    assert queries.windows("yellow") == runs.windows("yellow") != ()
    assert queries.trials(run_id) == runs.trials(run_id) != ()
    registry = queries.registry("yellow")
    assert registry == runs.registry(promoter.versions)
    assert (registry.standing.champion, registry.history[0].who) == (1, "me")
    assert queries.champion("yellow") == champion_of(promoter.versions)
    assert queries.document(run_id, "drift/page.html") == PAGE
    for run, path in ((run_id, "drift/none.html"), (run_id, "none/none.html"), ("0" * 32, "a")):
        assert queries.document(run, path) is None
    assert queries.numbers(run_id, "numbers.json") == {"test": {"rmse": 4.5}}

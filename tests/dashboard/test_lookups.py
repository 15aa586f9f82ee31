"""Queries of pages and health to the process beside the api-server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.dashboard.conftest import MakeSources, dashboard_of

from model_loop.background_cache import BackgroundCache
from model_loop.dashboard.types import WindowRun
from model_loop.dashboard.worker_queries import WorkerQueries
from model_loop.errors import WorkerError

WINDOW = WindowRun("2" * 32, 3, "request_log", "2024-02-01", 1.7e9, "ok", "", "", {})
#: Only models need these.
NEEDED_LATE = ("sklearn", "skops", "xgboost", "shap")


@pytest.fixture
def queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerQueries]:
    """With a tracking server that is down, and stores that hold nothing."""
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", tmp_path.as_uri())
    monkeypatch.setenv("MODEL_LOOP_SERVING_FOLDER", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    made = WorkerQueries()
    yield made
    made.stop()


def test_a_server_that_is_down_is_named(queries: WorkerQueries, make_sources: MakeSources) -> None:
    """On the page and in the health; what does not need it is answered."""
    assert queries.products() == ()
    part = BackgroundCache(lambda: queries.families("green"))
    part.refresh()
    assert part.get(60).problem.startswith("MlflowException: API request to http://127.0.0.1:1")
    for ask in (
        lambda: queries.partitions("green"),
        lambda: queries.registry("green"),
        lambda: queries.trials("1"),
    ):
        with pytest.raises(WorkerError, match=r"^MlflowException: "):
            ask()

    sources = make_sources(queries, windows=(WINDOW,))
    client = TestClient(dashboard_of(sources).app())
    answer = client.get(f"/evidently/{WINDOW.run_id}")
    assert answer.status_code == 503
    assert "does not give the report now" in answer.text


def test_what_models_are_made_of_is_imported_late() -> None:
    """A process that only looks up does without."""
    program = (
        "import sys, model_loop.dashboard.lookups, model_loop.monitoring.health.stored;"
        f"print({{*{NEEDED_LATE!r}}} & {{*sys.modules}})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.decode().strip() == "set()"

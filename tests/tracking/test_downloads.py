"""Files of runs from a real MLflow server: present, absent, and out of reach."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from tests.servers import free_port, mlflow_server

from model_loop.errors import InvalidInputError
from model_loop.tracking.downloads import read_artifact, refuse_absent
from model_loop.tracking.runs import Tracker

pytestmark = pytest.mark.integration

CONTENT = "minutes\n7\n"


@pytest.fixture(scope="module")
def run_id(tracker: Tracker) -> str:
    """A run with a file at the top and one in a folder."""
    run_id = tracker.open_run("downloads/run", "a run with files", {})
    tracker.client.log_text(run_id, CONTENT, "top.csv")
    tracker.client.log_text(run_id, CONTENT, "folder/below.csv")
    return run_id


@pytest.mark.parametrize("path", ["top.csv", "folder/below.csv"])
def test_a_file_is_read_whole(tracker: Tracker, run_id: str, path: str) -> None:
    """At the top of the run's artifacts and in a folder."""
    assert read_artifact(tracker.client, run_id, path) == CONTENT.encode()


@pytest.mark.parametrize("path", ["other.csv", "below.csv", "folder/top.csv", "elsewhere/top.csv"])
def test_an_absent_file_is_none(tracker: Tracker, run_id: str, path: str) -> None:
    """In a run that has other files, in its folder, and in a folder that it does not have."""
    assert read_artifact(tracker.client, run_id, path) is None


@pytest.mark.parametrize("absent", [None, "", "0" * 32, "a run of another server"])
def test_an_absent_run_has_no_files(tracker: Tracker, absent: str | None) -> None:
    """Such as that of a version which was registered without one."""
    assert read_artifact(tracker.client, absent, "top.csv") is None


def test_an_unreachable_server_is_no_absent_file(
    run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error passes, as it does where a version is looked up."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(MlflowException):
        read_artifact(client, run_id, "top.csv")
    with pytest.raises(MlflowException), refuse_absent(InvalidInputError("It", "is absent", "No.")):
        client.get_model_version("trips", "1")


def test_a_failing_artifact_store_is_no_absent_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers and its store does not: that is an error."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with mlflow_server(tmp_path) as url:
        tracker = Tracker(url, "broken")
        run_id = tracker.open_run("downloads/broken", "a run", {})
        tracker.client.log_text(run_id, CONTENT, "top.csv")
        (stored,) = (tmp_path / "artifacts").rglob("top.csv")
        stored.unlink()
        stored.symlink_to(stored)
        with pytest.raises(MlflowException):
            read_artifact(tracker.client, run_id, "top.csv")


def test_an_absent_version_is_refused(tracker: Tracker) -> None:
    """With the refusal of the caller, which keeps the server's error as its cause."""
    refusal = InvalidInputError("Version 1", "is absent", "Choose another.")
    with pytest.raises(InvalidInputError, match="is absent") as caught, refuse_absent(refusal):
        tracker.client.get_model_version("nothing of this name", "1")
    assert isinstance(caught.value.__cause__, MlflowException)

"""Files of models and runs on the MLflow server: a missing file is no unreachable server."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from model_loop.errors import InvalidInputError

#: Error codes of the server for a run, a version or a model that it does not have.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@contextlib.contextmanager
def refuse_absent(refusal: InvalidInputError) -> Iterator[None]:
    """Replace the server's error for an absent run, version or model; others pass.

    Raises
    ------
    InvalidInputError
        The refusal, if the server does not have it.
    """
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        raise refusal from error


def read_artifact(client: MlflowClient, run_id: str | None, path: str) -> bytes | None:
    """Download a file of a run; None if the run, or the file in it, is absent.

    The folder is listed first: a failed download has the same error code for an absent file and for
    an artifact store that fails.

    Parameters
    ----------
    run_id
        None and empty, as of a version that was registered without a run, are absent.
    path
        Of the file below the run's artifacts, such as ``profile/profile.json``.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server or its artifact store is unreachable or fails.
    """
    if not run_id:
        return None
    try:
        listed = client.list_artifacts(run_id, path.rpartition("/")[0])
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None
    if path not in {file.path for file in listed}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = download_artifacts(
            run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=client.tracking_uri
        )
        return Path(file).read_bytes()


@contextlib.contextmanager
def registered_address(tracking_uri: str, address: str) -> Iterator[Path]:
    """A model of the server as a folder, for as long as it is needed.

    Raises
    ------
    InvalidInputError
        If there is no such model.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield download_model(tracking_uri, address, Path(folder))


def download_model(tracking_uri: str, address: str, folder: Path) -> Path:
    """Download the files of a model into a folder that exists; return where they begin.

    Raises
    ------
    InvalidInputError
        If there is no such model.
    """
    # The registry is looked for at MLflow's global address.
    mlflow.set_tracking_uri(tracking_uri)
    try:
        return Path(download_artifacts(artifact_uri=address, dst_path=str(folder)))
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        raise InvalidInputError(
            f"Model {address}", f"is not on the server ({error.message})", "Look it up there."
        ) from error

"""Files of runs that may be there or not."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException


def find_artifact(client: MlflowClient, run_id: str, path: str, folder: str) -> Path | None:
    """Download a file of a run into a folder; None if the run has no such file.

    A file that is not there is told from a server that fails by asking for its neighbours first:
    its download fails in the same way.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server fails.
    """
    try:
        known = client.list_artifacts(run_id, path.rpartition("/")[0])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    if path not in {found.path for found in known}:
        return None
    return Path(
        download_artifacts(
            run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=client.tracking_uri
        )
    )

"""Files of models, from the MLflow server to a folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from model_loop.errors import InvalidInputError

#: What the server says of a model that it does not have.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


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

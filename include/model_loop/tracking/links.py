"""Links to what was tracked, looked up quickly or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)

from model_loop.tracking.runs import IDENTITY_TAG

_TIMEOUT_SECONDS = 3


def find_run_url(tracking_uri: str, identities: Sequence[str]) -> str | None:
    """The address of the first run that there is.

    Parameters
    ----------
    tracking_uri
        Address of the server.
    identities
        Identities of runs, the most particular first.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server does not answer within a few seconds.
    """
    client = MlflowClient(tracking_uri)
    with _impatiently():
        experiments = [each.experiment_id for each in client.search_experiments()]
        for identity in identities if experiments else ():
            name = identity.replace("'", "")
            found = client.search_runs(
                experiments, f"tags.`{IDENTITY_TAG}` = '{name}'", max_results=1
            )
            if found:
                info = found[0].info
                return f"{tracking_uri}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    return None


@contextlib.contextmanager
def _impatiently() -> Iterator[None]:
    """Let MLflow neither wait long nor try again."""
    wanted = {MLFLOW_HTTP_REQUEST_MAX_RETRIES: 0, MLFLOW_HTTP_REQUEST_TIMEOUT: _TIMEOUT_SECONDS}
    before = {name: name.get_raw() for name in wanted}  # type: ignore[no-untyped-call]  # MLflow's
    try:
        for name, value in wanted.items():
            name.set(value)  # type: ignore[no-untyped-call]  # MLflow's
        yield
    finally:
        for name, value in before.items():
            if value is None:
                name.unset()  # type: ignore[no-untyped-call]  # MLflow's
            else:
                name.set(value)  # type: ignore[no-untyped-call]  # MLflow's

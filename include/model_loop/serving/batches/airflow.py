"""Batches as runs of Airflow's DAG `batch_scoring`, asked for and followed over its REST interface.

The id of a run is that of its batch, so that a request for a run may be repeated.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import msgspec
import requests

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import ModelLoopError
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.scoring.paths import output_of, to_path
from model_loop.serving.batches.store import AcceptedBatch, BatchProgress, BatchStore

#: Login of Airflow, as its own client has it.
USERNAME_VARIABLE, PASSWORD_VARIABLE = "AIRFLOW_USERNAME", "AIRFLOW_PASSWORD"
_SECONDS = 20.0
_CONFLICT, _GONE, _UNAUTHORIZED = 409, 404, 401
_REFUSED = frozenset({400, 422})
_JOB = "batch_scoring"

logger = logging.getLogger(__name__)


class AirflowRuns:
    """Has batches scored by Airflow.

    Parameters
    ----------
    store
        The batches, in a folder that Airflow's workers have too.
    url
        Address of Airflow's api-server.
    """

    def __init__(self, store: BatchStore, url: str) -> None:
        self._store, self._url = store, url.rstrip("/")
        self._session = requests.Session()

    def advance(self) -> bool:
        """Ask for runs of what waits, and note how far the others are."""
        fine = True
        for batch in self._store.pending():
            try:
                self._follow(batch)
            except (requests.HTTPError, ModelLoopError, LookupError, ValueError) as error:
                # The error may concern only this batch, so the others continue.
                logger.warning("Batch %s waits: %s", batch.record.id, error)
                fine = False
            except requests.RequestException as error:
                logger.warning("Airflow does not answer, and batches wait: %s", error)
                return False
        return fine

    def close(self) -> None:
        """Close the connections; the runs go on."""
        self._session.close()

    def end(self, batch: AcceptedBatch) -> None:
        """End the run of a batch that was cancelled.

        Raises
        ------
        requests.RequestException
            If Airflow does not answer.
        """
        self._send("PATCH", self._run_of(batch), json={"state": "failed"})

    def _follow(self, batch: AcceptedBatch) -> None:
        answer = self._send("GET", self._run_of(batch))
        if answer.status_code == _GONE:
            self._trigger(batch)
            return
        answer.raise_for_status()
        state = answer.json()["state"]
        told = batch.progress()
        if state == "success":
            result = self._result(batch, "join")
            if not isinstance(result, dict):
                error = ModelLoopError(
                    f"The run batch__{batch.record.id}",
                    "has succeeded, and its result is gone from Airflow",
                    "Send the file again.",
                )
                batch.tell(msgspec.structs.replace(told, state="failed", error=error.fields()))
                return
            batch.tell(_done(told, result))
        elif state == "failed":
            batch.tell(msgspec.structs.replace(told, state="failed", error=self._error(batch)))
        elif state == "running" and told.state != "running":
            batch.tell(msgspec.structs.replace(told, state="running"))

    def _trigger(self, batch: AcceptedBatch) -> None:
        record, dataset = batch.record, dataset_of_variant(batch.record.service)
        source = to_path(batch.source)
        conf = {
            "input": str(source),
            "output": str(output_of(source, to_path(batch.folder))),
            "overwrite": True,
            "level": DEFAULT_LEVEL if record.level is None else record.level,
            "explain": record.explain,
        }
        if len(dataset.variants) > 1:
            conf[dataset.variant_field.name] = record.service
        if record.moment is not None:
            conf["moment"] = record.moment
        body = {"dag_run_id": f"batch__{record.id}", "logical_date": None, "conf": conf}
        answer = self._send("POST", self._runs_of(batch), json=body)
        if answer.status_code in _REFUSED:
            error = ModelLoopError(
                f"The file {record.name}",
                f"is refused by Airflow ({answer.text[:500]})",
                "Correct the option that the message names.",
            )
            told = batch.progress()
            batch.tell(msgspec.structs.replace(told, state="failed", error=error.fields()))
        elif answer.status_code != _CONFLICT:
            answer.raise_for_status()

    def _error(self, batch: AcceptedBatch) -> Any:  # noqa: ANN401 - an error's fields
        for task in ("plan", "join"):
            found = self._result(batch, task)
            if isinstance(found, dict) and isinstance(found.get("error"), dict):
                return {name: str(found["error"][name]) for name in ("given", "rule", "remedy")}
        return ModelLoopError(
            f"The run batch__{batch.record.id}", "has failed", "Its log in Airflow says why."
        ).fields()

    def _result(self, batch: AcceptedBatch, task: str) -> Any:  # noqa: ANN401 - what a task returned
        path = f"{self._run_of(batch)}/taskInstances/{task}/xcomEntries/return_value"
        answer = self._send("GET", path)
        if answer.status_code != _GONE:
            answer.raise_for_status()
        return answer.json()["value"] if answer.ok else None

    def _runs_of(self, batch: AcceptedBatch) -> str:
        prefix = dataset_of_variant(batch.record.service).names.dag_prefix
        return f"/dags/{prefix}{_JOB}/dagRuns"

    def _run_of(self, batch: AcceptedBatch) -> str:
        return f"{self._runs_of(batch)}/batch__{batch.record.id}"

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:  # noqa: ANN401 - of requests
        for last in (False, True):
            if "Authorization" not in self._session.headers:
                self._sign_in()
            answer = self._session.request(
                method, f"{self._url}/api/v2{path}", timeout=_SECONDS, **more
            )
            if answer.status_code != _UNAUTHORIZED or last:
                break
            # The token has expired.
            del self._session.headers["Authorization"]
        return answer

    def _sign_in(self) -> None:
        login = {
            "username": os.environ.get(USERNAME_VARIABLE, ""),
            "password": os.environ.get(PASSWORD_VARIABLE, ""),
        }
        answer = requests.post(f"{self._url}/auth/token", json=login, timeout=_SECONDS)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _done(told: BatchProgress, counts: Mapping[str, Any]) -> BatchProgress:
    (file, *_) = counts["files"]
    output, rejected = file.get("output"), file.get("rejected")
    return msgspec.structs.replace(
        told,
        state="done",
        rows=counts.get("rows"),
        read=counts.get("rows", 0),
        predicted=counts.get("predicted_rows", 0),
        rejected=counts.get("rejected_rows", 0),
        model_version=counts.get("model_version"),
        result=to_path(output).name if output else "",
        rejected_rows=to_path(rejected).name if rejected else "",
    )

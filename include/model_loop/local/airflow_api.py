"""The few calls of Airflow's REST API that the demo and the tests need."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from model_loop.errors import InvalidInputError
from model_loop.local.preflight import LocalStackError

FINISHED = frozenset({"success", "failed"})
_DONE_TASKS = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
#: The longest silence; waiting for a run answers with its state again and again.
_REQUEST_SECONDS = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class TaskState:
    """State of one task instance.

    Parameters
    ----------
    task
        Its id, with the name of its mapped instance where it has one.
    state
        State in Airflow's words; None before it is scheduled.
    seconds
        Duration of its run.
    """

    task: str
    state: str | None
    seconds: float | None
    task_id: str
    map_index: int
    try_number: int

    @property
    def done(self) -> bool:
        """True if the state is final."""
        return self.state in _DONE_TASKS


class AirflowApi:
    """A logged-in client.

    Parameters
    ----------
    url
        Address of the api-server.
    username, password
        Login of Airflow.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._login = {"username": username, "password": password}
        self._session = _session()
        self._sign_in()

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run; return its id.

        Raises
        ------
        InvalidInputError
            If Airflow refuses the conf, or the DAG is paused.
        """
        # With an id of our own the request may be repeated: it starts one run at most.
        run_id = f"rest__{uuid.uuid4().hex[:12]}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        for attempt in range(_ATTEMPTS):
            # At once it would find the database locked by the very same request.
            time.sleep(attempt)
            answer = self.send("POST", f"/dags/{dag_id}/dagRuns", json=body)
            if answer.status_code != requests.codes.server_error:
                break
        if answer.status_code in {400, 422}:
            raise InvalidInputError(
                f"The form of {dag_id}",
                f"was refused: {_detail(answer)}",
                "Correct the value that the message names.",
            )
        if answer.status_code == requests.codes.conflict and "is paused" in answer.text:
            raise InvalidInputError(
                f"The DAG {dag_id}",
                "is paused, and a run of it would wait without an end",
                "Unpause it in the Airflow UI.",
            )
        if answer.status_code != requests.codes.conflict:
            answer.raise_for_status()
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        state: str = self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def tasks(self, dag_id: str, run_id: str) -> Iterator[TaskState]:
        """The task instances of a run."""
        found = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=200")
        for task in found["task_instances"]:
            mapped = task["map_index"] >= 0
            name = task["rendered_map_index"] or task["map_index"]
            yield TaskState(
                task=f"{task['task_id']} [{name}]" if mapped else task["task_id"],
                state=task["state"],
                seconds=task["duration"],
                task_id=task["task_id"],
                map_index=task["map_index"],
                try_number=task["try_number"],
            )

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the value that a task returned, as Airflow shows it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.get(path)["value"]

    def log(self, dag_id: str, run_id: str, task: TaskState) -> list[str]:
        """The lines of a task instance's log."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs"
        found = self.get(f"{path}/{max(task.try_number, 1)}?map_index={task.map_index}")
        return [_log_line(entry) for entry in found["content"]]

    def wait_for_dags(self, dag_ids: set[str], timeout_seconds: float = 90.0) -> None:
        """Wait until the DAGs have been read.

        Raises
        ------
        LocalStackError
            If one of them has import errors, or is not there in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while missing := dag_ids - {dag["dag_id"] for dag in self.get("/dags?limit=100")["dags"]}:
            errors = self.get("/importErrors")["import_errors"]
            if errors or time.monotonic() > deadline:
                raise LocalStackError(
                    f"DAGs {', '.join(sorted(missing))}",
                    "are not there" + "".join(f"\n{error['stack_trace']}" for error in errors),
                    "Mend the import errors, or see `make logs`.",
                )
            time.sleep(0.5)

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the answer of a path below ``/api/v2``."""
        answer = self.send("GET", path)
        answer.raise_for_status()
        return answer.json()

    def send(self, method: str, path: str, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - requests' own
        """The answer to a request below ``/api/v2``, whatever its status."""
        address = f"{self.url}/api/v2{path}"
        answer = self._session.request(method, address, timeout=_REQUEST_SECONDS, **kwargs)
        if answer.status_code == requests.codes.unauthorized:
            # The token has expired.
            self._sign_in()
            answer = self._session.request(method, address, timeout=_REQUEST_SECONDS, **kwargs)
        return answer

    def _sign_in(self) -> None:
        answer = requests.post(f"{self.url}/auth/token", json=self._login, timeout=_REQUEST_SECONDS)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _session() -> requests.Session:
    """A session that repeats what may be repeated.

    On SQLite a request of Airflow's api-server now and then finds the database locked by another
    one, and answers with 500.
    """
    retry = Retry(
        total=_ATTEMPTS,
        backoff_factor=0.5,
        status_forcelist=(500, 503),
        allowed_methods=("GET",),
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def _detail(answer: requests.Response) -> str:
    detail = answer.json().get("detail", answer.text)
    return detail if isinstance(detail, str) else str(detail)


def _log_line(entry: Any) -> str:  # noqa: ANN401 - a line, or a structured message
    if isinstance(entry, str):
        return entry
    details = entry.get("error_detail") or []
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in details]
    return " ".join([str(entry.get("event", "")), *errors])

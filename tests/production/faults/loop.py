"""What goes on while parts break: retraining, promotions by hand, batches, and predictions."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
from tests.production.asking import bearer
from tests.production.faults.cluster import API, SERVERS, Cluster
from tests.production.faults.stores import Stores

from model_loop.local.airflow_api import FINISHED, AirflowApi
from trip_duration.months import Month

#: Trials of each family.
EVALUATIONS = 2
FAMILIES = ("linear_model.LinearRegression", "xgboost")
#: The DAGs whose runs are watched.
DAGS = (
    "retraining",
    "data_preparation",
    "sklearn_training",
    "xgboost_training",
    "promotion",
    "batch_scoring",
)
_QUESTION_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_DAGS_SECONDS = 240.0
#: Pauses of whoever scores months, and of whoever promotes by hand.
_SCORE_SECONDS, _TURN_SECONDS = 10.0, 20.0
_PAGE = 100
_FIRST_TEST_MONTH = Month.parse("2024-03")

TRIP = {
    "pickup_zone": 239,
    "dropoff_zone": 236,
    "pickup_at": "2024-03-01T08:00:00",
}


@dataclass(frozen=True)
class Acknowledged:
    """A prediction that somebody has got.

    Parameters
    ----------
    prediction_id, minutes, version
        As they were answered.
    server
        Who has answered.
    begun, at
        When it was asked and when it was answered, by this machine's clock.
    """

    prediction_id: str
    minutes: float
    version: int
    server: str
    begun: float
    at: float


@dataclass
class Loop:
    """Keeps a cluster busy, each work on a thread of its own.

    Parameters
    ----------
    cluster
        Where.
    """

    cluster: Cluster
    answers: list[Acknowledged] = field(default_factory=list)
    #: Requests that were not answered, by server.
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERVERS, 0))
    #: What has ended a thread that should have gone on.
    broken: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _api: AirflowApi | None = None

    def __post_init__(self) -> None:
        self._stores = Stores(self.cluster)

    def start(self) -> None:
        """Begin with everything, as soon as Airflow knows its DAGs."""
        self.api().wait_for_dags({*DAGS, "alerts"}, _DAGS_SECONDS)
        for dag_id in (*DAGS, "alerts"):
            self.api().send("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        for work in (self._retrain, self._take_turns, self._score, self._ask):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait_for_answers(self, seconds: float) -> None:
        """Wait until there is a champion that answers at every server."""
        deadline = time.monotonic() + seconds
        while {one.server for one in self.answers[-200:]} != {*SERVERS}:
            assert not self.broken, self.broken
            assert time.monotonic() < deadline, "no champion"
            time.sleep(_LOOK_SECONDS)

    def refused_in_all(self) -> int:
        """Requests that no server has answered since the first answer."""
        return sum(self.refused.values())

    def stop(self, seconds: float) -> bool:
        """Begin nothing new, and wait for what goes on; whether all has ended in time."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(timeout=max(deadline - time.monotonic(), 1))
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                if not list(self.going_on()):
                    return True
            time.sleep(_LOOK_SECONDS)
        return False

    def api(self) -> AirflowApi:
        """The administrator, logged in; asked directly, whatever the network is like."""
        if self._api is None:
            password = self.cluster.secrets["AIRFLOW_ADMIN_PASSWORD"]
            self._api = AirflowApi(self.cluster.url(API), "admin", password)
        return self._api

    def runs(self) -> Iterator[dict[str, Any]]:
        """Every run of the loop's DAGs, the latest first."""
        for dag_id in DAGS:
            for offset in itertools.count(step=_PAGE):
                path = f"/dags/{dag_id}/dagRuns?order_by=-id&limit={_PAGE}&offset={offset}"
                found = self.api().get(path)["dag_runs"]
                yield from found
                if len(found) < _PAGE:
                    break

    def going_on(self) -> Iterator[dict[str, Any]]:
        """The runs that have not ended."""
        return (run for run in self.runs() if run["state"] not in FINISHED)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the campaign has to tell it
            self.broken.append(f"{work.__name__} has ended: {error!r}")

    def _retrain(self) -> None:
        """One month after another: each has a training set of its own to be prepared."""
        for month in _months(_FIRST_TEST_MONTH):
            self._finish("retraining", self._conf(month))
            if self._stop.is_set():
                return

    def _take_turns(self) -> None:
        """Versions take turns at being champion, whatever the gate would say."""
        self._wait_for_a_champion()
        while not self._stop.wait(_TURN_SECONDS):
            self._finish("promotion", self._other_version())

    def _wait_for_a_champion(self) -> None:
        while not self.answers and not self._stop.wait(_LOOK_SECONDS):
            continue

    def _score(self) -> None:
        self._wait_for_a_champion()
        for number in itertools.count():
            output = f"s3://trip-duration/storage/scored/{number:04d}/"
            months = ["2024-01"]
            conf = {"months": months, "output": output, "chunk_rows": 1_000}
            self._finish("batch_scoring", conf)
            if self._stop.wait(_SCORE_SECONDS):
                return

    def _ask(self) -> None:
        session = requests.Session()
        session.headers.update(bearer(self.cluster))
        for number in itertools.count():
            server = SERVERS[number % len(SERVERS)]
            trip = {**TRIP, "trip_distance": round(0.5 + number % 97 / 10, 2)}
            begun = time.time()
            try:
                url = f"{self.cluster.url(server)}/predict"
                answer = session.post(url, json=trip, timeout=5)
                answer.raise_for_status()
                (said,) = answer.json()
            except (requests.RequestException, ValueError):
                self.refused[server] += bool(self.answers)
            else:
                found = (said["prediction_id"], said["minutes"], said["model_version"])
                self.answers.append(Acknowledged(*found, server, begun, time.time()))
            if self._stop.wait(_QUESTION_SECONDS):
                return

    def _finish(self, dag_id: str, conf: dict[str, Any] | None) -> None:
        """Run a DAG to whatever end; what does not answer is asked again."""
        run_id = None
        while conf is not None and run_id is None and not self._stop.is_set():
            run_id = self._begin(dag_id, conf)
        if run_id is not None:
            self._wait(dag_id, run_id)

    def _begin(self, dag_id: str, conf: dict[str, Any]) -> str | None:
        """Ask for a run once; nobody knows what became of a request that was not answered."""
        run_id = f"loop__{uuid.uuid4().hex[:12]}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        for _ in range(60):
            with contextlib.suppress(requests.RequestException):
                answer = self.api().send("POST", f"/dags/{dag_id}/dagRuns", json=body)
                if answer.ok or answer.status_code == requests.codes.conflict:
                    return run_id
                if answer.status_code == requests.codes.unprocessable:
                    raise ValueError(answer.text)
            time.sleep(_LOOK_SECONDS)
        return None

    def _wait(self, dag_id: str, run_id: str) -> None:
        while True:
            with contextlib.suppress(requests.RequestException):
                if self.api().run_state(dag_id, run_id) in FINISHED:
                    return
            if self._stop.wait(_LOOK_SECONDS):
                return

    def _conf(self, test_month: Month) -> dict[str, Any]:
        return {
            "newest_month": str(test_month),
            "train_months_count": 1,
            "max_evaluations": EVALUATIONS,
            "models": [FAMILIES[0]],
            # So that versions take turns.
            "margin_share": 0.0,
            "confidence": 0.5,
        }

    def _other_version(self) -> dict[str, Any] | None:
        """The form that makes the oldest of the other versions champion, without the gate.

        The newest may be before the gate, which refuses what is champion already.
        """
        with contextlib.suppress(requests.RequestException):
            champion = self._stores.champion()
            others = [number for number in self._stores.versions() if number != champion]
            if others:
                why = "takes turns"
                return {"action": "promote", "version": min(others), "gate": False, "why": why}
        return None


def _months(first: Month) -> Iterator[Month]:
    month = first
    while True:
        yield month
        month = month.next()

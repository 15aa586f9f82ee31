"""The whole loop in containers: build, start, prepare, train, promote, predict.

`make test-containers`; it needs Docker with Compose, and the ports of docker-compose.yaml. All that
it starts has a project name of its own, and is gone at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from tests.production.compose import services
from tests.production.engine import Engine, EngineError

from trip_duration.errors import TripDurationError
from trip_duration.local.airflow_api import FINISHED, AirflowApi

HOST = "http://127.0.0.1"
AIRFLOW, SERVING, PROMETHEUS = f"{HOST}:8080", f"{HOST}:8090", f"{HOST}:9090"

#: Every part says its recipe: what the defaults are is another test's matter.
RECIPE = "booking"
DATA: dict[str, Any] = {"source": "sample", "service": "green", "recipe": RECIPE}
SEARCH: dict[str, Any] = {"max_evaluations": 2}
TRIP = {"pickup_zone": 239, "dropoff_zone": 236, "pickup_at": "2024-03-01T08:00:00"}
ENTRY_POINTS = ("airflow version", "trip-duration --help", "mlflow --version", "celery --version")


class LoopError(Exception):
    """A part of the loop did not do what it is for."""


class Loop:
    """The loop, part by part, over REST through the proxy.

    Parameters
    ----------
    engine
        Runs the containers.
    minutes
        For all parts together.
    """

    def __init__(self, engine: Engine, minutes: float) -> None:
        self._engine = engine
        self._end = time.monotonic() + 60 * minutes
        self._api: AirflowApi | None = None

    @property
    def api(self) -> AirflowApi:
        """Airflow's administrator, logged in."""
        if self._api is None:
            self._api = AirflowApi(AIRFLOW, "admin", self._engine.secrets["AIRFLOW_ADMIN_PASSWORD"])
        return self._api

    @property
    def left(self) -> float:
        """Seconds that are left.

        Raises
        ------
        LoopError
            If there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise LoopError("the time is over; --minutes allows more")
        return left

    def build(self) -> None:
        """Build the image."""
        self._engine.build(self.left)

    def enter(self) -> None:
        """The image's programs run without rights on a read-only root."""
        for command in ENTRY_POINTS:
            self._engine.run_once(command.split(), self.left)

    def refuse_without_secrets(self) -> None:
        """Without a secret, nothing starts."""
        said = self._engine.compose("config", "--quiet", secrets=False, check=False)
        if "make secrets" not in said:
            raise LoopError(f"a start without secrets is not refused: {said}")

    def start(self) -> None:
        """Start all services, until each is healthy."""
        self._engine.compose("up", "--detach", "--wait", "--no-build", seconds=self.left)

    def start_again(self) -> None:
        """Start once more: nothing has changed, so no container is another one."""
        before = self._engine.containers()
        self.start()
        if changed := sorted(before.keys() ^ self._engine.containers().keys()):
            names = {before.get(one) or self._engine.containers().get(one) for one in changed}
            raise LoopError(f"an unchanged file made new containers: {sorted(map(str, names))}")

    def prepare(self) -> None:
        """Months become a training set."""
        self.api.wait_for_dags({"data_preparation", "promotion", "prediction"}, self.left)
        self._finish("data_preparation", DATA)

    def train_sklearn(self) -> None:
        """One family is tuned, trained and registered."""
        models = ["linear_model.LinearRegression"]
        self._trained("sklearn_training", {**DATA, **SEARCH, "models": models})

    def train_xgboost(self) -> None:
        """XGBoost is tuned, trained and registered."""
        self._trained("xgboost_training", {**DATA, **SEARCH})

    def promote(self) -> None:
        """The better one passes the gate and becomes champion."""
        run_id = self._finish("promotion", {"action": "promote", "service": "green"})
        states = {task.task_id: task.state for task in self.api.tasks("promotion", run_id)}
        if states["move"] != "success":
            raise LoopError(f"nothing moved: {states}")

    def predict_in_a_run(self) -> None:
        """The DAG `prediction` answers over REST."""
        run_id = self._finish("prediction", {"service": "green", "inputs": [TRIP]})
        answer = self.api.result("prediction", run_id, "predict")
        _duration(answer["predictions"][0])

    def predict_on_the_server(self) -> None:
        """The prediction servers answer behind the proxy, with a token that was just made."""
        token = self._engine.execute("serving", "trip-duration", "tokens", "add", "loop")
        secret = token.split()[-1]
        self._predict(f"{SERVING}/predict", f"Bearer {secret}")

    def predict_inside_airflow(self) -> None:
        """The api-server answers too, behind Airflow's login."""
        login = str(self.api._session.headers["Authorization"])
        self._predict(f"{AIRFLOW}/trip-duration/predict", login)

    def measure(self) -> None:
        """Prometheus reads all that it is told to."""

        def up() -> bool:
            found = requests.get(f"{PROMETHEUS}/api/v1/targets", timeout=30).json()
            health = [one["health"] for one in found["data"]["activeTargets"]]
            return bool(health) and set(health) == {"up"}

        self._wait(up, 120, "Prometheus does not reach all its targets")

    def hold(self) -> None:
        """Every service is healthy at the end, and none was started twice."""
        if ill := self._engine.ill():
            raise LoopError(f"not well at the end: {ill}")

    def _trained(self, dag_id: str, conf: dict[str, Any]) -> None:
        run_id = self._finish(dag_id, conf)
        families = self.api.result(dag_id, run_id, "results")["families"]
        if not families or not all(one["test_rmse"] > 0 for one in families):
            raise LoopError(f"{dag_id} made no model: {families}")

    def _finish(self, dag_id: str, conf: dict[str, Any]) -> str:
        run_id = self.api.trigger(dag_id, conf)
        while (state := self.api.run_state(dag_id, run_id)) not in FINISHED:
            if self._end < time.monotonic():
                tasks = {one.task: one.state for one in self.api.tasks(dag_id, run_id)}
                raise LoopError(f"{dag_id} is {state} when the time is over: {tasks}")
            time.sleep(1)
        if state != "success":
            failed = [one for one in self.api.tasks(dag_id, run_id) if one.state == "failed"]
            lines = self.api.log(dag_id, run_id, failed[0])[-30:] if failed else []
            raise LoopError("\n".join([f"{dag_id} is {state}", *lines]))
        return run_id

    def _predict(self, url: str, login: str) -> None:
        found: list[requests.Response] = []

        def answered() -> bool:
            headers = {"Authorization": login}
            found[:] = [requests.post(url, json=TRIP, headers=headers, timeout=60)]
            return found[0].ok

        # A server looks for a new champion every two seconds, and loads it first.
        self._wait(answered, 60, lambda: f"{url}: {found[0].status_code} {found[0].text}")
        _duration(found[0].json()[0])

    def _wait(
        self, there: Callable[[], bool], seconds: float, otherwise: str | Callable[[], str]
    ) -> None:
        deadline = time.monotonic() + min(seconds, self.left)
        while not there():
            if time.monotonic() > deadline:
                raise LoopError(otherwise if isinstance(otherwise, str) else otherwise())
            time.sleep(1)


def _duration(prediction: dict[str, Any]) -> None:
    if not 1 <= prediction["minutes"] <= 60:
        raise LoopError(f"no sensible duration: {prediction}")


PARTS: tuple[Callable[[Loop], None], ...] = (
    Loop.build,
    Loop.enter,
    Loop.refuse_without_secrets,
    Loop.start,
    Loop.start_again,
    Loop.prepare,
    Loop.train_sklearn,
    Loop.train_xgboost,
    Loop.promote,
    Loop.predict_on_the_server,
    Loop.predict_in_a_run,
    Loop.predict_inside_airflow,
    Loop.measure,
    Loop.hold,
)


def main() -> int:
    """Run the parts one after the other; 0 if all did well, 1 if one did not, 2 without Docker."""
    told = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        try:
            engine = Engine(Path(folder), told.override)
        except EngineError as error:
            sys.stderr.write(f"Error: {error}\n")
            return 2
        loop = Loop(engine, told.minutes)
        try:
            for part in PARTS:
                if part is not Loop.build or not told.no_build:
                    _run(loop, part)
        except (EngineError, LoopError, TripDurationError, requests.RequestException) as error:
            sys.stderr.write(f"✗ {error}\n\n{engine.logs()}\n")
            return 1
        finally:
            if not told.keep:
                engine.remove()
    print(f"✓ {len(services())} services: the loop runs")  # noqa: T201 - a command
    return 0


def _run(loop: Loop, part: Callable[[Loop], None]) -> None:
    began = time.monotonic()
    print(f"  {part.__name__} …", flush=True)  # noqa: T201 - a command
    part(loop)
    about = str(part.__doc__).splitlines()[0]
    print(f"✓ {part.__name__}: {time.monotonic() - began:.0f} s. {about}", flush=True)  # noqa: T201


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--override",
        type=Path,
        action="append",
        default=[],
        help="a compose file on top: what this machine's images or processors lack",
    )
    parser.add_argument("--minutes", type=float, default=30, help="for all parts together")
    parser.add_argument("--no-build", action="store_true", help="take the image that is there")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

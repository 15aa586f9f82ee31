"""The whole loop in containers: from the image to a backup that is restored into nothing.

`make test-containers`; it needs Docker with Compose, and the ports of docker-compose.yaml. All that
it starts has a project name of its own, and is gone at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import requests
from tests.production.chart import containers
from tests.production.compose import ROOT, services
from tests.production.engine import Engine, EngineError
from tests.production.kubelet import NEEDS, secrets_of, started

from model_loop.errors import ModelLoopError
from model_loop.local.airflow_api import FINISHED, AirflowApi

HOST = "http://127.0.0.1"
AIRFLOW, SERVING, PROMETHEUS = f"{HOST}:8080", f"{HOST}:8090", f"{HOST}:9090"

#: Every part says its recipe: what the defaults are is another test's matter.
RECIPE = "booking"
DATA: dict[str, Any] = {"source": "sample", "service": "green", "recipe": RECIPE}
SEARCH: dict[str, Any] = {"max_evaluations": 2}
TRIP = {"pickup_zone": 239, "dropoff_zone": 236, "pickup_at": "2024-03-01T08:00:00"}
ENTRY_POINTS = ("airflow version", "model-loop --help", "mlflow --version", "celery --version")
#: The image's own, and one that a cluster gives out, such as OpenShift's.
USERS = ("10001:0", "1000740000:0")
#: A row of the table of bicycles that comes in the image.
HOUR = {
    "dteday": "2012-12-31",
    "hr": 8,
    "season": 1,
    "yr": 1,
    "mnth": 12,
    "holiday": 0,
    "weekday": 1,
    "workingday": 1,
    "weathersit": 1,
    "temp": 0.3,
    "atemp": 0.3,
    "hum": 0.5,
    "windspeed": 0.1,
}
#: Files of a model that is code of its own, by their paths below the storage root, and its answer.
CODED_RENTALS = 123.0
CODE = {
    "incoming/rules/model.toml": (
        'python = "3.11"\n[outputs]\nrentals = "number"\n[answer]\nprediction = "rentals"\n'
    ),
    "incoming/rules/score.py": (
        f'def score(data, base_path):\n    return {{"rentals": {CODED_RENTALS}}}\n'
    ),
}
_WRITE = (
    "import json, os, sys; from upath import UPath; "
    "root = UPath(os.environ['MODEL_LOOP_STORAGE_ROOT']); "
    "[(root / path).write_text(text) for path, text in json.loads(sys.argv[1]).items()]"
)
#: Neither trained on nor judged by.
MONTH = "2024-07"
RUNBOOK = ROOT / "docs" / "runbook.md"


class LoopError(Exception):
    """A part of the loop did not do what it is for."""


class Known(NamedTuple):
    """Facts that a restart and a restore leave as they are.

    Parameters
    ----------
    answer
        To the trip.
    rentals
        The number that is predicted for the hour.
    predictions
        Ids in the request log.
    runs
        Of Airflow's DAGs, each with its state.
    """

    answer: Mapping[str, Any] = MappingProxyType({})
    rentals: float = 0
    predictions: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()


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
        self._bearer = ""
        #: Version of the first champion.
        self._first = 0
        self._known = Known()

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
        print(f"  {self._engine.megabytes():,.0f} MB")  # noqa: T201 - a command

    def enter(self) -> None:
        """The image's programs run without rights on a read-only root, as whatever user."""
        for user in USERS:
            for command in ENTRY_POINTS:
                self._engine.run_once(command.split(), user, self.left)

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
        self._first = self._trained("sklearn_training", {**DATA, **SEARCH, "models": models})

    def train_xgboost(self) -> None:
        """XGBoost is tuned, trained and registered."""
        self._trained("xgboost_training", {**DATA, **SEARCH})

    def promote(self) -> None:
        """A first version becomes champion, with a word for its gate."""
        why = "the first champion of a test"
        self._move("promotion", service="green", version=self._first, gate=False, why=why)

    def promote_the_better(self) -> None:
        """The better one passes the gate and becomes champion."""
        self._move("promotion", service="green")
        before = self._first
        self._wait(
            lambda: self._answer()["model_version"] != before,
            60,
            f"version {before} still answers after a promotion",
        )

    def predict_in_a_run(self) -> None:
        """The DAG `prediction` answers over REST."""
        run_id = self._finish("prediction", {"service": "green", "inputs": [TRIP]})
        answer = self.api.result("prediction", run_id, "predict")
        _duration(answer["predictions"][0])

    def predict_on_the_server(self) -> None:
        """The prediction servers answer behind the proxy, with a token that was just made."""
        token = self._engine.execute("serving", "model-loop", "tokens", "add", "loop")
        self._bearer = f"Bearer {token.split()[-1]}"
        self._answer()

    def predict_inside_airflow(self) -> None:
        """The api-server answers too, behind Airflow's login."""
        login = str(self.api._session.headers["Authorization"])
        self._predict(f"{AIRFLOW}/model-loop/predict", login)

    def score(self) -> None:
        """A month is scored: every row is predicted or rejected."""
        run_id = self._finish("batch_scoring", {"service": "green", "months": [MONTH]})
        told = self.api.result("batch_scoring", run_id, "join")
        if told["rows"] != told["predicted_rows"] + told["rejected_rows"] or not told["rows"]:
            raise LoopError(f"rows do not add up: {told}")

    def monitor(self) -> None:
        """A month is looked at, and nothing is retrained."""
        conf = {"service": "green", "window_source": "month", "months": [MONTH], "act": False}
        run_id = self._finish("monitoring", conf)
        states = {task.state for task in self.api.tasks("monitoring", run_id)}
        if not states <= {"success", "skipped"}:
            raise LoopError(f"monitoring did not go through: {states}")

    def start_for_kubernetes(self) -> None:
        """Every container of the chart and of the manifests starts as a kubelet starts it."""
        secrets = secrets_of(self._engine.secrets)
        by_name = {container.name: container for container in containers()}
        for name in by_name:
            with contextlib.ExitStack() as running:
                for each in filter(None, (NEEDS.get(name), name)):
                    folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
                    # Files of a config map can be read by everybody.
                    folder.chmod(0o755)
                    told = running.enter_context(
                        started(self._engine, by_name[each], secrets, folder)
                    )
            print(f"    {name}: {told}", flush=True)  # noqa: T201 - a command

    def learn_a_declared_table(self) -> None:
        """The table that comes in the image is prepared, learned, promoted and asked."""
        self.api.wait_for_dags({"bikes__xgboost_training", "bikes__promotion"}, self.left)
        self._trained("bikes__xgboost_training", SEARCH)
        # Without a champion, the gate wants the best rule without a model beaten.
        self._move("bikes__promotion", why="the first champion of a test")
        rentals = self._rentals()
        if not 1 <= rentals <= 1_000:
            raise LoopError(f"no sensible number of rentals: {rentals}")

    def bring_in_code(self) -> None:
        """Code is approved, built, promoted and asked in the runner; then it is rolled back."""
        before = self._rentals()
        dag_id, promotion = "bikes__bring_in_code", "bikes__promotion"
        self.api.wait_for_dags({dag_id}, self.left)
        self._engine.execute("worker", "python", "-c", _WRITE, json.dumps(CODE))
        run_id = self.api.trigger(dag_id, {"code": "rules", "why": "rules are enough"})
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails"
        self._wait(lambda: self.api.send("GET", path).ok, 300, "nobody is asked to approve code")
        answer = {"chosen_options": ["Approve"], "params_input": {}}
        self._wait(lambda: self.api.send("PATCH", path, json=answer).ok, 60, "no approval is taken")
        self._until_finished(dag_id, run_id)
        version = self.api.result(dag_id, run_id, "results")["version"]
        self._move(promotion, version=version, gate=False, why="code of a test")
        self._wait(lambda: self._rentals() == CODED_RENTALS, 60, "the code does not answer")
        self._finish(promotion, {"action": "rollback"})
        self._wait(lambda: self._rentals() == before, 60, "the code still answers")

    def roll_back(self) -> None:
        """The champion before answers again."""
        self._finish("promotion", {"action": "rollback", "service": "green"})
        first = self._first
        self._wait(
            lambda: self._answer()["model_version"] == first,
            60,
            f"version {first} does not answer after a rollback",
        )

    def restart(self) -> None:
        """All services are started anew: they answer as before, and nothing is lost."""
        self._remember()
        self._engine.compose("restart", seconds=self.left)
        self.start()
        self._compare()

    def back_up(self) -> None:
        """The runbook's commands make a backup."""
        self._remember()
        self._engine.script(_commands("Back up"), self.left)

    def lose_everything(self) -> None:
        """All containers and volumes are removed."""
        self._engine.remove()

    def restore(self) -> None:
        """The runbook's commands restore it into nothing: it answers as before."""
        self._engine.script(_commands("Restore"), self.left)
        self.api.wait_for_dags({"data_preparation", "promotion", "prediction"}, self.left)
        # Tokens are not in the backup.
        self.predict_on_the_server()
        self._compare()

    def measure(self) -> None:
        """Prometheus reads all that it is told to."""

        def up() -> bool:
            found = requests.get(f"{PROMETHEUS}/api/v1/targets", timeout=30).json()
            health = [one["health"] for one in found["data"]["activeTargets"]]
            return bool(health) and set(health) == {"up"}

        self._wait(up, 120, "Prometheus does not reach all its targets")

    def hold(self) -> None:
        """Every service is healthy, and none was started twice."""
        if ill := self._engine.ill():
            raise LoopError(f"not well at the end: {ill}")

    def _move(self, dag_id: str, **conf: Any) -> None:
        """Promote a version.

        Raises
        ------
        LoopError
            If the gate has refused it.
        """
        run_id = self._finish(dag_id, {"action": "promote", **conf})
        states = {task.task_id: task.state for task in self.api.tasks(dag_id, run_id)}
        if states["move"] != "success":
            raise LoopError(f"nothing moved: {states}")

    def _answer(self) -> dict[str, Any]:
        """Return what the prediction servers say of the trip."""
        return self._predict(f"{SERVING}/predict", self._bearer)

    def _rentals(self) -> float:
        """Return what the prediction servers say of the hour."""
        return float(self._ask(f"{SERVING}/bikes/predict", self._bearer, HOUR)["prediction"])

    def _remember(self) -> None:
        """Note what has to be there afterwards."""
        answer = self._answer()
        # It is written a moment later.
        self._wait(
            lambda: answer["prediction_id"] in self._logged(), 60, "a prediction is not logged"
        )
        self._known = Known(answer, self._rentals(), self._logged(), self._runs())

    def _compare(self) -> None:
        """Hold what is there against what was noted.

        Raises
        ------
        LoopError
            If something is missing, or answers differently.
        """
        answer, known = self._answer(), self._known
        if {**answer, "prediction_id": ""} != {**known.answer, "prediction_id": ""}:
            raise LoopError(f"it answers {answer}, and {known.answer} before")
        if (rentals := self._rentals()) != known.rentals:
            raise LoopError(f"{rentals} rentals are predicted, and {known.rentals} before")
        if missing := known.predictions - self._logged():
            raise LoopError(f"{len(missing)} predictions are not in the log any more")
        if missing := known.runs - self._runs():
            raise LoopError(f"Airflow does not know these runs any more: {sorted(missing)}")
        self.predict_in_a_run()

    def _logged(self) -> frozenset[str]:
        """Return the ids of all predictions in the log."""
        query = "SELECT prediction_id FROM predictions"
        told = self._engine.execute(
            *("postgres", "psql", "-U", "postgres", "-d", "requests", "-At", "-c", query)
        )
        return frozenset(told.split())

    def _runs(self) -> frozenset[str]:
        """Return all runs and their states."""
        found = self.api.get("/dags/~/dagRuns?limit=100")["dag_runs"]
        return frozenset(f"{one['dag_id']} {one['dag_run_id']} {one['state']}" for one in found)

    def _trained(self, dag_id: str, conf: dict[str, Any]) -> int:
        """Train one family; return the version that it is registered as."""
        run_id = self._finish(dag_id, conf)
        families = self.api.result(dag_id, run_id, "results")["families"]
        if not families or not all(one["test_rmse"] > 0 for one in families):
            raise LoopError(f"{dag_id} made no model: {families}")
        return int(families[0]["model_uri"].rpartition("/")[2])

    def _finish(self, dag_id: str, conf: dict[str, Any]) -> str:
        run_id = self.api.trigger(dag_id, conf)
        self._until_finished(dag_id, run_id)
        return run_id

    def _until_finished(self, dag_id: str, run_id: str) -> None:
        while (state := self.api.run_state(dag_id, run_id)) not in FINISHED:
            if self._end < time.monotonic():
                tasks = {one.task: one.state for one in self.api.tasks(dag_id, run_id)}
                raise LoopError(f"{dag_id} is {state} when the time is over: {tasks}")
            time.sleep(1)
        if state != "success":
            failed = [one for one in self.api.tasks(dag_id, run_id) if one.state == "failed"]
            lines = self.api.log(dag_id, run_id, failed[0])[-30:] if failed else []
            raise LoopError("\n".join([f"{dag_id} is {state}", *lines]))

    def _predict(self, url: str, login: str) -> dict[str, Any]:
        """Return the answer to the trip, as soon as there is one."""
        answer = self._ask(url, login, TRIP)
        _duration(answer)
        return answer

    def _ask(self, url: str, login: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a row, as soon as there is one."""
        found: list[requests.Response] = []

        def answered() -> bool:
            headers = {"Authorization": login}
            found[:] = [requests.post(url, json=row, headers=headers, timeout=60)]
            return found[0].ok

        # A server looks for a new champion every two seconds, and loads it first.
        self._wait(answered, 60, lambda: f"{url}: {found[0].status_code} {found[0].text}")
        (answer,) = found[0].json()
        return dict(answer)

    def _wait(
        self, there: Callable[[], bool], seconds: float, otherwise: str | Callable[[], str]
    ) -> None:
        deadline = time.monotonic() + min(seconds, self.left)
        while not there():
            if time.monotonic() > deadline:
                raise LoopError(otherwise if isinstance(otherwise, str) else otherwise())
            time.sleep(1)


def _commands(section: str) -> str:
    """Return the commands of a section of the runbook.

    Raises
    ------
    LoopError
        If there is not one block of them.
    """
    found = re.findall(
        rf"^## {section}\n(?:(?!^## ).)*?^```sh\n(.*?)^```",
        RUNBOOK.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    if len(found) != 1:
        raise LoopError(f"the runbook has no block of commands below {section!r}")
    return str(found[0])


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
    Loop.promote,
    Loop.predict_on_the_server,
    Loop.train_xgboost,
    Loop.promote_the_better,
    Loop.predict_in_a_run,
    Loop.predict_inside_airflow,
    Loop.score,
    Loop.monitor,
    Loop.learn_a_declared_table,
    Loop.bring_in_code,
    Loop.roll_back,
    Loop.measure,
    Loop.hold,
    Loop.start_for_kubernetes,
    Loop.restart,
    Loop.back_up,
    Loop.lose_everything,
    Loop.restore,
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
        except (EngineError, LoopError, ModelLoopError, requests.RequestException) as error:
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
    parser.add_argument("--minutes", type=float, default=60, help="for all parts together")
    parser.add_argument("--no-build", action="store_true", help="take the image that is there")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

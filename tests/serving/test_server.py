"""The real server before a real registry: swaps, kills, an outage, clients in three languages."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from benchmarks.load import Load, LoadOutcome, run
from sqlalchemy import func, select
from tests.commands import run_command
from tests.servers import free_port, mlflow_server, wait_for
from tests.serving.conftest import TRIP, fit

from model_loop.client.code import LANGUAGES, TOKEN_VARIABLE, request_code
from model_loop.serving.http.openapi import example_row
from model_loop.serving.request_log.tables import open_log, predictions
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

FAMILIES = ("xgboost", "linear_model.LinearRegression", "ensemble.GradientBoostingRegressor")
FLUSH_SECONDS = 0.2
RATE = 400.0


class Running:
    """A server of our own, as a user starts it."""

    def __init__(self, folder: Path, tracking: contextlib.ExitStack, url: str) -> None:
        self.folder = folder
        self.tracking = tracking
        self.promoter = Promoter(Tracker(url, "trip-duration-promotion"), "green", "ended")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "MODEL_LOOP_STATE": str(folder),
            "MODEL_LOOP_TRACKING_URI": url,
            "MODEL_LOOP_SERVING_PORT": str(self.port),
            "MODEL_LOOP_SERVING_REFRESH_SECONDS": "0.3",
            "MODEL_LOOP_REQUEST_LOG_FLUSH_SECONDS": str(FLUSH_SECONDS),
        }
        self.token = self.command("tokens", "add", "tests", "--rate", "0").strip()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> str:
        """Output of one of our commands."""
        done = run_command(*arguments, folder=self.folder, environment=self.environment)
        done.check_returncode()
        return done.stdout

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = self.folder / "serve.log"
        with log.open("a") as out:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "model-loop"), "serve"],
                env=self.environment,
                stdout=out,
                stderr=out,
            )
        wait_for(f"{self.url}/readyz", self.process, log)

    def end(self, how: signal.Signals) -> None:
        """End the server."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(timeout=30)

    def get(self, path: str) -> requests.Response:
        """Ask for something."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(f"{self.url}{path}", headers=headers, timeout=10)

    def predict(self) -> dict[str, Any]:
        """The answer to one trip."""
        headers = {"Authorization": f"Bearer {self.token}"}
        response = requests.post(f"{self.url}/predict", json=TRIP, headers=headers, timeout=10)
        response.raise_for_status()
        found: dict[str, Any] = response.json()[0]
        return found

    def written(self) -> int:
        """Predictions that the server says are committed."""
        name = "model_loop_request_log_written_total "
        (line,) = (x for x in self.get("/metrics").text.splitlines() if x.startswith(name))
        return int(float(line.removeprefix(name)))

    def logged(self) -> int:
        """Predictions in the log, read by somebody else."""
        engine = open_log("", self.folder / "serving")
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(predictions)) or 0

    def is_quiet(self) -> bool:
        """Whether nothing was committed for a second."""
        before = self.written(), self.logged()
        time.sleep(1)
        return before == (self.written(), self.logged())

    def load(self, seconds: float) -> Load:
        """Requests at a rate."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return Load(f"{self.url}/predict", "POST", headers, (json.dumps(TRIP),), seconds, 8, RATE)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, sample_training_set: TrainingSet
) -> Iterator[Running]:
    """A server whose champion is version 1 of 3."""
    folder = tmp_path_factory.mktemp("serving")
    with contextlib.ExitStack() as tracking:
        url = tracking.enter_context(mlflow_server(folder))
        running = Running(folder, tracking, url)
        tracker = running.promoter.tracker
        for family in FAMILIES:
            register_model(
                tracker,
                tracker.open_run(f"serving/{family}", family, {}),
                fit(family, sample_training_set),
                name=running.promoter.name,
                example=sample_training_set.example_rows,
                tags={},
            )
        running.promoter.act(Action("promote", "green", 1), "serving/first")
        running.start()
        yield running
        running.end(signal.SIGTERM)


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("language", LANGUAGES)
def test_client_code(running: Running, language: str) -> None:
    """The code that is printed runs as it is, and gets a prediction."""
    code = request_code(language, running.url, example_row(TRIPS))
    programs = {
        "curl": ("sh", "-c"),
        "python": (sys.executable, "-c"),
        "javascript": ("node", "-e"),
    }
    program, flag = programs[language]
    if not shutil.which(program):
        pytest.skip(f"needs {program}")
    done = subprocess.run(
        [program, flag, code],
        env={"PATH": os.environ["PATH"], TOKEN_VARIABLE: running.token},
        capture_output=True,
        text=True,
        check=True,
    )
    (answer,) = json.loads(done.stdout)
    assert answer["minutes"] > 0
    assert answer["model_version"] == 1
    wrong = subprocess.run(
        [program, flag, code],
        env={"PATH": os.environ["PATH"], TOKEN_VARIABLE: "td_wrong"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode != 0


def test_commands(running: Running) -> None:
    """Commands print what the library returns, and move versions."""
    printed = running.command("client-code", "curl", "--url", running.url)
    assert printed == request_code("curl", running.url, example_row(TRIPS))
    moved = running.command("traffic", "canary", "2", "--share", "0.25", "--why", "a test")
    assert json.loads(moved)["challenger"] == 2
    assert running.promoter.history()[0].why == "a test"
    running.promoter.act(Action("promote", "green", 2), "serving/second")
    running.command("traffic", "rollback")
    assert running.promoter.standing().champion == 1
    listed = running.command("tokens", "list")
    assert "tests" in listed
    assert running.token not in listed


def test_five_swaps_under_load(running: Running) -> None:
    """No request fails, and no version answers before it was live."""
    answers: list[tuple[float, int]] = []
    outcomes: list[LoadOutcome] = []
    swapped = threading.Event()

    def take(_status: int, body: bytes) -> None:
        answers.append((time.monotonic(), json.loads(body)[0]["model_version"]))

    def shown(version: int) -> bool:
        return bool(answers) and answers[-1][1] == version

    def drive() -> None:
        while not swapped.is_set():
            outcomes.append(asyncio.run(run(running.load(4.0), take)))

    while running.predict()["model_version"] != 1:
        time.sleep(0.1)
    driving = threading.Thread(target=drive)
    driving.start()
    live_since = {1: 0.0}
    for step, version in enumerate((2, 1, 2, 3, 2)):
        live_since.setdefault(version, time.monotonic())
        running.promoter.act(Action("promote", "green", version), f"serving/swap {step}")
        wait_until(functools.partial(shown, version))
    swapped.set()
    driving.join()
    assert sum(outcome.failed for outcome in outcomes) == 0
    assert sum(outcome.requests for outcome in outcomes) > 1_000
    assert all(at >= live_since[version] for at, version in answers)
    # Answers of two connections may cross on their way; each swap shows at least once.
    swaps = [b for (_, a), (_, b) in itertools.pairwise(answers) if a != b]
    assert set(swaps) == {1, 2, 3}
    assert len(swaps) >= 5
    assert answers[-1][1] == 2


def test_kill_under_load(running: Running) -> None:
    """Committed records are there; the next server commits the other answered ones."""
    answered: list[int] = []

    def drive() -> None:
        with contextlib.suppress(OSError):
            asyncio.run(run(running.load(4.0), lambda status, _: answered.append(status)))

    # What the test before has sent may still be on its way into the log.
    wait_until(running.is_quiet)
    before = running.logged()
    start = running.written()
    driving = threading.Thread(target=drive)
    driving.start()
    time.sleep(2.5)
    committed = running.written() - start
    running.end(signal.SIGKILL)
    logged = running.logged() - before
    driving.join()
    assert committed > 0
    assert logged >= committed
    running.start()
    identity = running.predict()["prediction_id"]
    found = running.get(f"/predictions/{identity}")
    assert found.json()["caller"] == "tests"
    # Before the measurement begins, the load has run for half a second that is not counted.
    assert running.logged() - before >= answered.count(200) > 0


def test_no_other_protocol_passes_the_guard(running: Running) -> None:
    """A WebSocket needs a token, like every request."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(
            b"GET /predict HTTP/1.1\r\nHost: tests\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_never_ends_holds_up_no_end(running: Running) -> None:
    """A stopped server writes its log and ends, whatever its clients do."""
    identity = running.predict()["prediction_id"]
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: tests\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer " + running.token.encode() + b'\r\n\r\n{"pickup_zone"'
        )
        assert running.get("/readyz").ok
        running.end(signal.SIGTERM)
    engine = open_log("", running.folder / "serving")
    with engine.connect() as connection:
        query = select(predictions.c.prediction_id).where(predictions.c.prediction_id == identity)
        assert connection.scalar(query) == identity
    running.start()


def test_an_outage_of_the_registry(running: Running) -> None:
    """The last known version goes on answering, also after a restart, and the server says so."""
    before = running.predict()
    assert running.get("/readyz").json()["registry_reachable"]
    running.tracking.close()
    wait_until(lambda: not running.get("/readyz").json()["registry_reachable"])
    assert running.predict()["minutes"] == before["minutes"]
    running.end(signal.SIGTERM)
    running.start()
    told = running.get("/readyz").json()
    assert told["ready"]
    assert not told["registry_reachable"]
    assert running.predict()["minutes"] == before["minutes"]

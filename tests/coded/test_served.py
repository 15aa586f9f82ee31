"""Code versions behind `model-loop serve`: a real server, runner and registry, and bad versions."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from benchmarks.load import Load, run
from tests.coded.conftest import KEY, lay
from tests.commands import COMMAND, run_command
from tests.parcels import TOML, declared, write_parcels
from tests.runner.conftest import PYTHON, TOKEN, Runner, free_port, running
from tests.servers import START_SECONDS, mlflow_server, wait_for

from model_loop.coded.folder import read_folder
from model_loop.coded.registration import Approval, register_code
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "breast_cancer"
#: The champion that was trained, the sample that came in by a command, and code that fails.
TRAINED, SAMPLE, BAD = 1, 2, 3
#: A table that only code answers for, and that code fails.
OTHERS = "others"
#: Lines that fail, by the value of a row for which they are run.
FAILURES = {
    7.125: "while True: pass",
    7.25: "held = bytearray(8 * 2**30)",
    7.375: "os._exit(3)",
}
FAILING = """
import json, os


def score(data: str, base_path: str):
    row = json.loads(data)
{lines}
    return {answer}
"""
LINES = "\n".join(
    f"    if row[{{name!r}}] == {value}:\n        {line}" for value, line in FAILURES.items()
)


def failing(name: str, answer: str) -> str:
    """Return a script that fails for some values of an input, and else gives an answer."""
    return FAILING.format(lines=LINES.format(name=name), answer=answer)


class Served:
    """A server with its registry and its runner, each a process.

    Parameters
    ----------
    folder
        Folder of everything.
    tracking
        Address of the registry.
    """

    def __init__(self, folder: Path, tracking: str) -> None:
        self.folder, self.tracking = folder, tracking
        self.runner_port, port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.stack = contextlib.ExitStack()
        self.environment = {
            **os.environ,
            "MODEL_LOOP_STATE": str(folder / "state"),
            "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage"),
            "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
            "MODEL_LOOP_ENVIRONMENTS_FOLDER": str(folder / "environments"),
            "MODEL_LOOP_TRACKING_URI": tracking,
            "MODEL_LOOP_VARIANT": "breast_cancer",
            "MODEL_LOOP_SERVING_VARIANTS": f"breast_cancer, {OTHERS}",
            "MODEL_LOOP_SERVING_PORT": str(port),
            "MODEL_LOOP_SERVING_REFRESH_SECONDS": "0.3",
            "MODEL_LOOP_REQUEST_LOG_FLUSH_SECONDS": "0.2",
            "MODEL_LOOP_CODE": "true",
            "MODEL_LOOP_CODE_KEYS": KEY,
            "MODEL_LOOP_RUNNER_ADDRESS": f"http://127.0.0.1:{self.runner_port}",
            "MODEL_LOOP_RUNNER_TOKEN": TOKEN,
            "MODEL_LOOP_RUNNER_SECONDS": "1",
        }
        self.session = requests.Session()
        self.rows: list[dict[str, float]] = []

    def command(self, *arguments: str) -> str:
        """Return what a command prints."""
        done = run_command(*arguments, folder=self.folder, environment=self.environment)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start_runner(self) -> Runner:
        """Start the runner, or start it again."""
        self.runner = self.stack.enter_context(
            running(self.folder, port=str(self.runner_port), seconds="1")
        )
        return self.runner

    def start_server(self) -> None:
        """Start the server, and wait until it answers."""
        log = self.folder / "serve.log"
        with log.open("a") as out:
            server = subprocess.Popen(
                [COMMAND, "serve"], cwd=self.folder, env=self.environment, stdout=out, stderr=out
            )
        self.stack.callback(server.wait, 60)
        self.stack.callback(server.send_signal, signal.SIGTERM)
        wait_for(f"{self.url}/readyz", server, log)

    def ask(
        self, row: dict[str, Any], dataset: str = "breast_cancer", query: str = ""
    ) -> requests.Response:
        """Ask for the prediction of a row."""
        url = f"{self.url}/{dataset}/predict{query}"
        return self.session.post(url, json=row, timeout=60)

    def wait_until(self, version: int, role: str, dataset: str = "breast_cancer") -> None:
        """Wait until the server has loaded a version in a role."""
        end = time.monotonic() + START_SECONDS
        while True:
            told = self.session.get(f"{self.url}/{dataset}/models", timeout=10).json()
            ready = {(one["version"], one["alias"]) for one in told["versions"] if one["ready"]}
            if (version, role) in ready:
                return
            named = {f"{one['version']} {one['alias']}": one["why"] for one in told["versions"]}
            log = (self.folder / "serve.log").read_text()[-3_000:]
            assert time.monotonic() < end, f"{named}\n{log}"
            time.sleep(0.1)


def bring_in_others(served: Served) -> None:
    """Make failing code the champion of a table of its own, without a trial or a gate."""
    source = write_parcels(served.folder / "parcels.csv", 50)
    text = TOML.format(name=OTHERS, source=source)
    (served.folder / "datasets" / f"{OTHERS}.toml").write_text(text)
    dataset = use_dataset(dataset_of(declared(source, OTHERS)))
    manifest = f'python = "{PYTHON}"\n[outputs]\ndays = "number"\n[answer]\nprediction = "days"\n'
    script = failing("weight", '{"days": 1.0}')
    code = read_folder(lay(served.folder / OTHERS, manifest, script), dataset)
    promoter = Promoter(Tracker(served.tracking, OTHERS), OTHERS, "sent")
    approval = Approval("tests")
    register_code(promoter.versions, code, dataset, {}, approval, identity="failing", keys=KEY)
    promoter.act(Action("promote", OTHERS, 1), "first")


@pytest.fixture(scope="module")
def served(own_runner: Runner) -> Iterator[Served]:
    """A server whose champion is the sample of the documentation, brought in by its command."""
    del own_runner  # Skips where code cannot be kept apart.
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="served-code-")))
        folder.chmod(0o755)
        served = Served(folder, stack.enter_context(mlflow_server(folder)))
        stack.enter_context(served.stack)
        here = folder / "breast_cancer"
        shutil.copytree(EXAMPLE, here)
        subprocess.run([sys.executable, str(here / "prepare.py")], check=True)
        served.command("datasets", "add", str(here / "breast_cancer.toml"))
        learn = ("--models", "linear_model.LogisticRegression", "--evaluations", "2")
        served.command("run", "breast_cancer", *learn)
        served.start_runner()
        sample = (str(here / "code"), "--dataset", "breast_cancer", "--yes")
        assert "It is champion" in served.command("code", "add", *sample, "--promote")
        bad = here / "bad"
        shutil.copytree(here / "code", bad)
        (bad / "score.py").write_text(failing("mean_texture", '{"pred": 1, "proba": 0.5}'))
        manifest = (bad / "model.toml").read_text().splitlines(keepends=True)
        kept = "".join(line for line in manifest if not line.startswith("explain_function"))
        (bad / "model.toml").write_text(kept)
        served.command("code", "add", str(bad), "--dataset", "breast_cancer", "--yes")
        bring_in_others(served)
        table = pd.read_csv(here / "breast_cancer.csv")
        inputs = table.drop(columns=["sample", "benign"])
        served.rows = [
            {str(name): float(value) for name, value in row.items()}
            for row in inputs.head(3).to_dict("records")
        ]
        token = served.command("tokens", "add", "tests", "--rate", "0").strip()
        served.session.headers["Authorization"] = f"Bearer {token}"
        served.start_server()
        served.wait_until(SAMPLE, "champion")
        yield served


def test_code_answers_over_http(served: Served) -> None:
    """With its own reasons, which add up to its answer."""
    row = served.rows[0]
    (told,) = served.ask(row).json()
    assert told["model_version"] == SAMPLE
    (explained,) = served.ask(row, query="?explain=true").json()
    assert explained["probabilities"] == told["probabilities"]
    reasons = explained["reasons"]
    assert reasons["calibrated"]
    added = sum(one["added"] for one in reasons["strongest"]) + reasons["others"]
    assert reasons["base"] + added == pytest.approx(told["probabilities"]["1"], abs=1e-3)


def test_a_runner_that_is_away_is_told_and_comes_back(served: Served) -> None:
    """The error names input, rule and remedy, and no address; the server is not started again."""
    row = served.rows[0]
    served.runner.process.kill()
    served.runner.process.wait(30)
    refused = served.ask(row)
    served.start_runner()
    assert refused.status_code == 503
    for part in (f"Version {SAMPLE}", "the runner does not answer now", "Try again later"):
        assert part in refused.text
    for part in ("127.0.0.1", str(served.runner_port), "http:"):
        assert part not in refused.text
    again = served.ask(row)
    assert again.status_code == 200, again.text
    assert again.json()[0]["model_version"] == SAMPLE


@contextlib.contextmanager
def failing_others(served: Served, value: float) -> Iterator[list[int]]:
    """Ask the failing champion of the other table all the while; its answers' codes."""
    done = threading.Event()
    codes: list[int] = []
    row = {"carrier": "ant", "weight": value, "express": False}
    headers = dict(served.session.headers)

    def ask() -> None:
        while not done.is_set():
            url = f"{served.url}/{OTHERS}/predict"
            codes.append(requests.post(url, json=row, headers=headers, timeout=60).status_code)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        yield codes
    finally:
        done.set()
        for asker in askers:
            asker.join()


def _note(answered: list[tuple[int, bytes]], status: int, body: bytes) -> None:
    answered.append((status, body))


@pytest.mark.parametrize("role", ["challenger", "shadow"])
def test_a_bad_version_costs_no_other_an_answer(served: Served, role: str) -> None:
    """It loops, takes 8 GB or exits, on trial and as a champion elsewhere; all others answer."""
    start, end = {
        "challenger": (("canary", str(BAD), "--share", "0.5"), "end_canary"),
        "shadow": (("shadow", str(BAD)), "end_shadow"),
    }[role]
    served.command("traffic", *start, "--dataset", "breast_cancer")
    served.wait_until(BAD, role)
    headers = {name: str(value) for name, value in served.session.headers.items()}
    headers["Content-Type"] = "application/json"
    for value in FAILURES:
        bodies = tuple(json.dumps(row | {"mean_texture": value}) for row in served.rows)
        url = f"{served.url}/breast_cancer/predict"
        answered: list[tuple[int, bytes]] = []
        note = functools.partial(_note, answered)
        load = Load(url, "POST", headers, bodies, seconds=3, connections=12, rate=30)
        with failing_others(served, value) as codes:
            outcome = asyncio.run(run(load, note))
        failed = [one for one in answered if one[0] != 200]
        assert outcome.failed == 0, f"{value}: {outcome} {failed[:2]} {codes[:9]}"
        assert outcome.requests > 30
        assert set(codes) == {503}
        versions = {json.loads(body)[0]["model_version"] for _, body in answered}
        assert versions == {SAMPLE}
    served.command("traffic", end, "--dataset", "breast_cancer")

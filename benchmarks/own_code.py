"""Models with code of their own, through the runner: against MLflow, from a promotion on, and idle.

A model from code, a line in NumPy, answers for a declared table of parcels, and `mlflow models
serve` answers by the same model, in turn, with one worker each. Then the seconds are measured from
its promotion to its first answer: with a fresh runner, and its environment built from a package
cache that holds all of it. Last, a model that was trained here answers at two servers in turn, of
which one allows code and serves code for another table beside it.

Usage: python -m benchmarks.own_code
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import requests
from benchmarks.load import Load, LoadOutcome
from benchmarks.results import record
from benchmarks.serving import describe, process, processor_seconds, put, ratio
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from tests.parcels import TOML, build_parcels, declared, write_parcels
from tests.runner.conftest import TOKEN, Runner, running
from tests.servers import free_port, mlflow_server

from model_loop.coded.folder import CodeFolder, read_folder
from model_loop.coded.registration import Approval, build_environment, register_code
from model_loop.coded.sealing import new_key
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.serving.http.server import token_file
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.beside import Beside
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker

SECONDS, PAIRS, STARTS, IDLE_PAIRS = 4.0, 7, 5, 20
#: Seconds until the log of what was asked is written.
_LOG_SECONDS = 0.5
#: Tables: one that code answers for, and one that a trained model answers for.
CODED, TRAINED = "coded", "trained"
ROW = {"weight": 3.5}
#: MLflow's signature lets no value of it be missing.
_WEIGHT = '[columns.weight]\ntype = "number"'
_REQUIRED = {_WEIGHT: f"{_WEIGHT}\nconstraints = {{minimum = 0, required = true}}"}
CODE = """
import mlflow
import pandas as pd


class Line(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"days": 2.0 + 0.2 * model_input["weight"]})


mlflow.models.set_model(Line())
"""


def main() -> None:
    """Measure all of it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="own-code-")))
        folder.chmod(0o755)
        tracking = stack.enter_context(mlflow_server(folder))
        os.environ.update(_settings(folder, tracking))
        get_settings.cache_clear()
        dataset = _declare(folder)
        model = _save(folder)
        token = token_file(get_settings()).add("benchmark", rate=0)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        code = read_folder(model, dataset)
        # Fills the package cache.
        build_environment(code, get_settings())
        promoter = Promoter(Tracker(tracking, "promotion"), CODED, "sent")
        against_mlflow(folder, promoter, code, headers)
        from_promotion(folder, promoter, code, headers)
        beside_code(folder, tracking, headers)


def against_mlflow(
    folder: Path, promoter: Promoter, code: CodeFolder, headers: dict[str, str]
) -> None:
    """Measure single rows at both servers in turn."""
    _promote(promoter, code, "first")
    theirs = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", str(code.path), "--port", theirs.rpartition(":")[2], "--workers", "1"]
    split = {"dataframe_split": {"columns": [*ROW], "data": [[*ROW.values()]]}}
    with (
        _runner(folder),
        _server(folder, code="true") as (url, _),
        process(command, f"{theirs}/ping", folder),
    ):
        path = f"{url}/{CODED}/predict"
        _first_answer(path, headers)
        loads = (
            Load(path, headers=headers, bodies=(json.dumps(ROW),), seconds=SECONDS),
            Load(
                f"{theirs}/invocations",
                headers=headers,
                bodies=(json.dumps(split),),
                seconds=SECONDS,
            ),
        )
        outcomes: tuple[list[LoadOutcome], list[LoadOutcome]] = ([], [])
        for number in range(PAIRS):
            for place in (number % 2, 1 - number % 2):
                outcomes[place].append(put(loads[place]))
                assert not outcomes[place][-1].failed
    names = ("/predict, by the runner", "mlflow models serve, from code")
    for name, found in zip(names, outcomes, strict=True):
        describe(name, found)
        rate = statistics.median(one.per_second for one in found)
        record("own_code", name, {"answers, requests/s": rate})
    ratio("requests a second", *([one.per_second for one in found] for found in outcomes))
    pairs = [ours.per_second / plain.per_second for ours, plain in zip(*outcomes, strict=True)]
    record("own_code", names[1], {"/predict is faster, times": statistics.median(pairs)})


def from_promotion(
    folder: Path, promoter: Promoter, code: CodeFolder, headers: dict[str, str]
) -> None:
    """Measure the seconds from a promotion to its first answer, with what comes before."""
    built, answered = [], []
    for number in range(STARTS):
        environment = build_environment(code, get_settings())
        shutil.rmtree(environment)
        with _runner(folder), _server(folder, code="true") as (url, _):
            start = time.monotonic()
            build_environment(code, get_settings())
            built.append(time.monotonic() - start)
            version = _register(promoter, code, f"start {number}")
            start = time.monotonic()
            promoter.act(Action("promote", CODED, version), f"promote {number}")
            _first_answer(f"{url}/{CODED}/predict", headers, version)
            answered.append(time.monotonic() - start)
    print(f"environment from the cache: {built} s; from promotion to answer: {answered} s")
    record(
        "own_code",
        "/predict, by the runner",
        {
            "environment from a warm cache, s": statistics.median(built),
            "promotion to first answer, s": statistics.median(answered),
        },
    )


def beside_code(folder: Path, tracking: str, headers: dict[str, str]) -> None:
    """Measure a trained model at a server that allows code, and at one that does not, in turn."""
    training_set = build_parcels(folder, _declaration(folder, TRAINED))
    promoter = Promoter(Tracker(tracking, "promotion"), TRAINED, "sent")
    search = SearchRequest(max_evaluations=1, threads=1)
    trained = train(tune("xgboost", training_set, search), training_set, search)
    register_model(
        promoter.tracker,
        promoter.tracker.open_run("benchmark/trained", "model", {}),
        trained.model,
        name=promoter.name,
        example=training_set.example_rows,
        tags={},
        dataset=training_set.dataset,
        beside=Beside(training_set.learned),
    )
    promoter.act(Action("promote", TRAINED, 1), "trained")
    row = {"sent_at": "2024-03-01T08:00:00", "carrier": "ant", "weight": 3.5, "express": True}
    with (
        _runner(folder),
        _server(folder, code="true") as with_code,
        _server(folder, code="false") as without,
    ):
        _first_answer(f"{with_code[0]}/{CODED}/predict", headers)
        loads = []
        for url, _ in (with_code, without):
            path = f"{url}/{TRAINED}/predict"
            _first_answer(path, headers, row=row)
            loads.append(Load(path, headers=headers, bodies=(json.dumps(row),), seconds=SECONDS))
        rates: tuple[list[float], list[float]] = ([], [])
        used: tuple[list[float], list[float]] = ([], [])
        for number in range(IDLE_PAIRS):
            for place in (number % 2, 1 - number % 2):
                server = (with_code, without)[place][1]
                before = processor_seconds(server)
                outcome = put(loads[place])
                time.sleep(_LOG_SECONDS)
                rates[place].append(outcome.per_second)
                used[place].append((processor_seconds(server) - before) / outcome.requests)
    ratio("requests a second, with code over without", *rates)
    ratio("processor time of an answer, with code over without", *used)
    for what, pairs in (("requests", rates), ("processor time of an answer", used)):
        change = np.exp(np.mean(np.log(np.array(pairs[0]) / np.array(pairs[1])))) - 1
        record(
            "own_code", "a trained model", {f"change of {what} by code beside it, %": 100 * change}
        )


def _settings(folder: Path, tracking: str) -> dict[str, str]:
    return {
        "MODEL_LOOP_STATE": str(folder / "state"),
        "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage"),
        "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
        "MODEL_LOOP_ENVIRONMENTS_FOLDER": str(folder / "environments"),
        "MODEL_LOOP_TRACKING_URI": tracking,
        "MODEL_LOOP_VARIANT": CODED,
        "MODEL_LOOP_SERVING_VARIANTS": f"{CODED}, {TRAINED}",
        "MODEL_LOOP_CODE": "true",
        "MODEL_LOOP_CODE_KEYS": new_key(),
        "MODEL_LOOP_RUNNER_ADDRESS": f"http://127.0.0.1:{free_port()}",
        "MODEL_LOOP_RUNNER_TOKEN": TOKEN,
        "MLFLOW_TRACKING_URI": tracking,
        # MLflow starts uvicorn by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


def _declare(folder: Path) -> Dataset:
    """Declare both tables; return that of code."""
    source = write_parcels(folder / "parcels.csv")
    (folder / "datasets").mkdir()
    for name in (CODED, TRAINED):
        text = TOML.format(name=name, source=source).replace(_WEIGHT, _REQUIRED[_WEIGHT])
        (folder / "datasets" / f"{name}.toml").write_text(text)
    return use_dataset(dataset_of(_declaration(folder, CODED)))


def _declaration(folder: Path, name: str) -> Declaration:
    return declared(folder / "parcels.csv", name, **_REQUIRED)


def _save(folder: Path) -> Path:
    """Save the model as MLflow logs one from code."""
    script = folder / "line.py"
    script.write_text(CODE)
    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(script),
        signature=ModelSignature(
            inputs=Schema([ColSpec("double", name) for name in ROW]),
            outputs=Schema([ColSpec("double", "days")]),
        ),
        pip_requirements=[
            f"mlflow-skinny=={mlflow.__version__}",
            f"numpy=={np.__version__}",
            f"pandas=={pd.__version__}",
        ],
    )
    return folder / "model"


def _register(promoter: Promoter, code: CodeFolder, identity: str) -> int:
    dataset = use_dataset(dataset_of(_declaration(code.path.parent, CODED)))
    approval, keys = Approval("benchmark"), get_settings().code_keys
    versions = promoter.versions
    return register_code(
        versions, code, dataset, {}, approval, identity=identity, keys=keys
    ).version


def _promote(promoter: Promoter, code: CodeFolder, identity: str) -> None:
    version = _register(promoter, code, identity)
    promoter.act(Action("promote", CODED, version), f"promote {identity}")


@contextlib.contextmanager
def _runner(folder: Path) -> Iterator[Runner]:
    port = get_settings().runner_address.rpartition(":")[2]
    with running(folder, port=port) as runner:
        yield runner


@contextlib.contextmanager
def _server(folder: Path, code: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server; yield its address and its process."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).parent / "model-loop"), "serve"]
    settings = {"MODEL_LOOP_CODE": code, "MODEL_LOOP_SERVING_PORT": url.rpartition(":")[2]}
    with process(command, f"{url}/healthz", folder, **settings) as started:
        yield url, started


def _first_answer(
    path: str,
    headers: dict[str, str],
    version: int | None = None,
    row: dict[str, object] | None = None,
) -> None:
    """Ask until a version answers."""
    end = time.monotonic() + 120
    while True:
        answer = requests.post(path, json=row or ROW, headers=headers, timeout=60)
        if answer.ok and version in (None, answer.json()[0]["model_version"]):
            return
        if time.monotonic() > end:
            raise SystemExit(f"{path} does not answer: {answer.text}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()

"""Our endpoint against `mlflow models serve`, with the same model and single trips, in turn.

Each server has one worker. The request log is on in all of it, and every request bears a token and
another trip. Compared are requests per second at full speed, also of routes that do nothing;
then latencies at half of that, with and without a shadow model. MLflow's registry, which stands on
a machine of its own where it matters, gives way to the rest. Months come from
MODEL_LOOP_TLC_FOLDER (green 2024-01 and 2024-02), or are generated in their size.

`python -m benchmarks.serving --dataset flights.toml` measures the same for a declared table, with a
model of its rows, below the path of its dataset.

`python -m benchmarks.serving limits` measures what the limits of intervals cost an answer.

`python -m benchmarks.serving against /path/of/another/checkout` measures two versions of this
package instead, in 40 pairs in turn: what a change costs.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import requests
from benchmarks.calibration import completed
from benchmarks.calibration import training_set as table_training_set
from benchmarks.load import Load, LoadOutcome
from benchmarks.preparation import months_folder
from benchmarks.results import record
from benchmarks.tables import KNOWN
from fastapi import FastAPI
from scipy.stats import sem, t
from sklearn.pipeline import Pipeline
from tests.servers import free_port, mlflow_server, wait_for

from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.residuals import Residuals
from model_loop.models.calibrating import intervals_of, kinds_of
from model_loop.models.catalogue import get_family
from model_loop.models.classification.decision import Decision
from model_loop.models.classification.finishing import finish_classifier
from model_loop.models.estimators import make_booster
from model_loop.models.outcomes import learned_target, predict_outcomes
from model_loop.models.search import SearchRequest
from model_loop.serving.http.server import make_app, serve, token_file
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action, ActionKind
from model_loop.tracking.beside import Beside
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.split import SHARES
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

PAIRS = 3
VERSION_PAIRS = 40
LATENCY_PAIRS = 7
SECONDS = 3.0
TRIPS = 500
#: Size that tuning finds on these months.
ROUNDS, SETTINGS = 600, {"max_depth": 10, "learning_rate": 0.03}
SHADOW_ROUNDS = 200
_READY_SECONDS, _SETTLE_SECONDS, _LOG_SECONDS = 60.0, 3.0, 1.5


async def nothing() -> dict[str, str]:
    """An empty route, as one writes it with FastAPI."""
    return {}


def fit(training_set: TrainingSet, rounds: int) -> Pipeline:
    """A model."""
    target = training_set.dataset.target
    family = get_family("xgboost", target.kind)
    splits = training_set.layout_for(family.layout)
    booster = make_booster(family, SETTINGS, SearchRequest(), rounds=rounds, target=target)
    learned = learned_target(training_set.train_validation_target, target)
    booster.fit(splits.train_validation, learned)
    return Pipeline([("encode", splits.encoder), ("estimate", booster)])


def finished(model: Pipeline, training_set: TrainingSet) -> tuple[Pipeline, Decision | None]:
    """A classifier with calibration and threshold, as training finishes it; others as they are."""
    target, held = training_set.dataset.target, training_set.test_rows
    if not target.is_classified:
        return model, None
    # Speed is measured, and no error: any rows do.
    predicted = predict_outcomes(model, held[[*training_set.recipe.columns]], target)
    actual = held[target.name].to_numpy(np.float64)
    residuals = Residuals("validation", actual, predicted, (), "")
    return finish_classifier(
        model, residuals, training_set, get_family("xgboost", target.kind).layout
    )


@contextlib.contextmanager
def process(
    command: list[str], url: str, folder: Path, **environment: str
) -> Iterator[psutil.Process]:
    """A server in a process of its own."""
    log = folder / f"{uuid.uuid4().hex}.log"
    with log.open("w") as out:
        started = subprocess.Popen(  # noqa: S603 - our own words
            command,
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
            # Started in our session, so that one server counts as much as another.
            process_group=0,
        )
        try:
            wait_for(url, started, log)
            yield psutil.Process(started.pid)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, 15)
                started.wait(timeout=30)


def yield_cores() -> None:
    """Let all processes that were started give way to those that come later, where Linux can.

    They have a session of their own, and what a thread is allowed to counts within its session
    alone (man 7 sched, the autogroup feature): the whole session has to give way as well.
    """
    if hasattr(os, "SCHED_IDLE"):
        for process in psutil.Process().children(recursive=True):
            for thread in process.threads():
                os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))
            session = Path(f"/proc/{process.pid}/autogroup")
            if session.exists():
                session.write_text("19")


def put(load: Load) -> LoadOutcome:
    """Put load on a server, from another process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = LoadOutcome(**json.loads(done.stdout))
    assert not outcome.failed, outcome
    return outcome


def move(promoter: Promoter, kind: ActionKind, version: int) -> None:
    """Give a version a part."""
    promoter.act(Action(kind, "green", version), f"{kind}/{version}/{uuid.uuid4()}")


def describe(name: str, outcomes: list[LoadOutcome]) -> float:
    """Print the medians of some outcomes; return requests per second."""
    per_second, p50, p99 = (
        statistics.median(getattr(outcome, what) for outcome in outcomes)
        for what in ("per_second", "p50", "p99")
    )
    lowest, highest = (pick(outcome.per_second for outcome in outcomes) for pick in (min, max))
    print(
        f"{name:34} {per_second:8,.0f} requests/s ({lowest:,.0f} to {highest:,.0f}), "
        f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"
    )
    found = {"answers, requests/s": per_second, "p50, ms": p50, "p99, ms": p99}
    if name in KNOWN["serving"].rows:
        record("serving", name, found)
    if name in KNOWN["serving declared"].rows:
        record("serving declared", name, found)
    return float(per_second)


def bodies(trips: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return single trips, equal for both servers."""
    plain = json.loads(trips.to_json(orient="records", date_format="iso", date_unit="s"))
    ours = [{name: value for name, value in trip.items() if value is not None} for trip in plain]
    split = [{"columns": list(trip), "data": [list(trip.values())]} for trip in plain]
    theirs = [json.dumps({"dataframe_split": one}) for one in split]
    return tuple(map(json.dumps, ours)), tuple(theirs)


def main() -> None:
    """Start everything, measure in turn, print the figures."""
    if sys.argv[1:] == ["serve"]:
        app = make_app(get_settings())
        empty = FastAPI()
        empty.add_api_route("/", nothing)
        app.app.mount("/empty", empty)  # type: ignore[attr-defined]  # Starlette's
        serve(app, get_settings())
        return
    if sys.argv[1:2] == ["--dataset"]:
        measure_dataset(Path(sys.argv[2]))
        return
    folder = months_folder()
    split = MonthSplit.parse("2024-01", "2024-02")
    # The recipe that knows most, since requests bear every value.
    request = TrainingSetRequest(str(folder), "green", split, recipe="rich")
    with tempfile.TemporaryDirectory() as storage:
        training_set = build_training_set(request, storage_root=storage)
    trips = training_set.example_rows.sample(TRIPS, replace=True, random_state=0)
    trips["trip_distance"] = [0.5 + number / 50 for number in range(TRIPS)]
    trips["PULocationID"] = [1 + number % 263 for number in range(TRIPS)]
    with tempfile.TemporaryDirectory() as place, mlflow_server(Path(place)) as tracking:
        yield_cores()
        promoter = Promoter(Tracker(tracking, "promotion"), "green", "ended")
        plain = sys.argv[1:2] == ["limits"]
        beside = Beside(training_set.learned, None if plain else noisy_intervals(training_set))
        for rounds in (ROUNDS, SHADOW_ROUNDS):
            register_model(
                promoter.tracker,
                promoter.tracker.open_run(f"benchmark/{rounds}", "model", {}),
                fit(training_set, rounds),
                name=promoter.name,
                example=training_set.example_rows,
                tags={},
                dataset=training_set.dataset,
                beside=beside,
            )
        move(promoter, "promote", 1)
        if plain:
            measure_limits(Path(place), promoter, training_set, bodies(trips)[0])
        elif sys.argv[1:2] == ["against"]:
            compare(Path(place), tracking, Path(sys.argv[2]), bodies(trips)[0])
        else:
            measure(Path(place), tracking, promoter, bodies(trips))


def measure_dataset(file: Path) -> None:
    """Train a model of a declared table, and measure both servers for single rows of it."""
    declaration = completed(file)
    dataset = use_dataset(dataset_of(declaration))
    recipe, (variant,) = dataset.default_recipe, dataset.variants.values()
    training_set = table_training_set(declaration, recipe, SHARES, seed=42)
    model, decision = finished(fit(training_set, ROUNDS), training_set)
    with tempfile.TemporaryDirectory() as place, mlflow_server(Path(place)) as tracking:
        yield_cores()
        (Path(place) / f"{dataset.name}.toml").write_text(file.read_text())
        moment = dataset.recipe(recipe).moment
        promoter = Promoter(Tracker(tracking, "promotion"), variant.key, moment)
        register_model(
            promoter.tracker,
            promoter.tracker.open_run("benchmark/dataset", "model", {}),
            model,
            name=promoter.name,
            example=training_set.example_rows,
            tags={"moment": moment, "recipe": recipe},
            dataset=training_set.dataset,
            beside=Beside(training_set.learned, decision=decision),
        )
        promoter.act(Action("promote", variant.key, 1), f"promote/{uuid.uuid4()}")
        rows = training_set.test_rows[list(dataset.recipe(recipe).columns)]
        some = rows.sample(TRIPS, replace=True, random_state=0)
        os.environ["MODEL_LOOP_DATASETS_FOLDER"] = place
        os.environ["MODEL_LOOP_VARIANT"] = variant.key
        with servers(Path(place), tracking, promoter.name) as (url, theirs, headers):
            plain = json.loads(some.to_json(orient="records"))
            times = [one.name for one in dataset.columns.by_kind("time")]
            ours = tuple(json.dumps(_request(row, times)) for row in plain)
            split = [{"columns": list(row), "data": [list(row.values())]} for row in plain]
            their_bodies = tuple(json.dumps({"dataframe_split": one}) for one in split)
            path = f"{url}/{dataset.name}/predict"
            loads = [
                Load(path, headers=headers, bodies=ours, seconds=SECONDS),
                Load(
                    f"{theirs}/invocations", headers=headers, bodies=their_bodies, seconds=SECONDS
                ),
            ]
            outcomes: list[list[LoadOutcome]] = [[], []]
            for _ in range(PAIRS):
                for load, found in zip(loads, outcomes, strict=True):
                    found.append(put(load))
            named = (f"/{dataset.name}/predict", f"mlflow models serve, {dataset.name}")
            one, other = map(describe, named, outcomes)
            print(f"against mlflow models serve: {one / other:.0f} times")
            if named[1] in KNOWN["serving declared"].rows:
                record("serving declared", named[1], {"/predict is faster, times": one / other})


def _request(row: dict[str, Any], times: list[str]) -> dict[str, Any]:
    """Return a row as requests have it: times as text, and nothing for a missing value."""
    given = {name: value for name, value in row.items() if value is not None}
    return given | {
        name: f"{pd.Timestamp(given[name], unit='s')}" for name in times if name in given
    }


def compare(folder: Path, tracking: str, other: Path, asked: tuple[str, ...]) -> None:
    """Measure this checkout and another one in turn, each by its own server; print the ratios.

    Of requests per second and of the time of a processor that an answer takes, one after the other;
    and of that time once more while both answer at once, when whatever else the machine does
    changes both alike.
    """
    with contextlib.ExitStack() as running:
        loads, servers = [], []
        for number, program in enumerate((Path(sys.executable).parent, other / ".venv" / "bin")):
            command, port = str(program / "model-loop"), free_port()
            settings = {
                "MODEL_LOOP_STATE": str(folder / str(number)),
                "MODEL_LOOP_TRACKING_URI": tracking,
                "MODEL_LOOP_SERVING_PORT": str(port),
            }
            token = subprocess.run(  # noqa: S603 - our own words
                [command, "tokens", "add", "benchmark", "--rate", "0"],
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            url = f"http://127.0.0.1:{port}"
            started = process([command, "serve"], f"{url}/readyz", folder, **settings)
            servers.append(running.enter_context(started))
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            loads.append(Load(f"{url}/predict", headers=headers, bodies=asked, seconds=SECONDS))
        outcomes: tuple[list[LoadOutcome], list[LoadOutcome]] = ([], [])
        alone: tuple[list[float], list[float]] = ([], [])
        together: tuple[list[float], list[float]] = ([], [])
        for number in range(VERSION_PAIRS):
            # Each goes first in half of the pairs.
            first, second = (number % 2, 1 - number % 2)
            for places, seconds in (([first], alone), ([second], alone), ([0, 1], together)):
                before = [processor_seconds(server) for server in servers]
                with ThreadPoolExecutor() as pool:
                    answered = [*pool.map(put, [loads[place] for place in places])]
                # The log is written a moment later.
                time.sleep(_LOG_SECONDS)
                for place, outcome in zip(places, answered, strict=True):
                    used = processor_seconds(servers[place]) - before[place]
                    seconds[place].append(used / outcome.requests)
                    if seconds is alone:
                        outcomes[place].append(outcome)
    for name, found, each in zip(("this checkout", "other one"), outcomes, alone, strict=True):
        describe(name, found)
        print(f"{'':<37} {1e6 * statistics.median(each):.1f} µs of a processor for each answer")
    ratio("requests a second", *([one.per_second for one in found] for found in outcomes))
    ratio("processor time of an answer", *alone)
    ratio("the same, both at once", *together)


def measure_limits(
    folder: Path, promoter: Promoter, training_set: TrainingSet, asked: tuple[str, ...]
) -> None:
    """Measure one server in turn by two variants of one model, of which one has intervals.

    The version of green has none, and answers null; that of yellow has those of its hours.
    """
    tracker, tracking = promoter.tracker, promoter.tracker.tracking_uri
    other = Promoter(tracker, "yellow", "ended")
    register_model(
        tracker,
        tracker.open_run("benchmark/limits", "model", {}),
        fit(training_set, ROUNDS),
        name=other.name,
        example=training_set.example_rows,
        tags={},
        dataset=training_set.dataset,
        beside=Beside(training_set.learned, noisy_intervals(training_set)),
    )
    other.act(Action("promote", "yellow", 1), f"promote/{uuid.uuid4()}")
    port = free_port()
    settings = {
        "MODEL_LOOP_STATE": str(folder),
        "MODEL_LOOP_TRACKING_URI": tracking,
        "MODEL_LOOP_SERVING_PORT": str(port),
        "MODEL_LOOP_SERVING_VARIANTS": "green, yellow",
    }
    os.environ.update(settings)
    get_settings.cache_clear()
    token = token_file(get_settings()).add("benchmark", rate=0)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}"
    paths = (f"{url}/trips/yellow/predict", f"{url}/trips/green/predict")
    loads = [Load(path, headers=headers, bodies=asked, seconds=SECONDS) for path in paths]
    outcomes: tuple[list[LoadOutcome], list[LoadOutcome]] = ([], [])
    used: tuple[list[float], list[float]] = ([], [])
    command = [sys.executable, "-m", "benchmarks.serving", "serve"]
    with process(command, f"{url}/readyz", folder) as server:
        for path, limits in zip(paths, (True, False), strict=True):
            answer = requests.post(path, asked[0], headers=headers, timeout=_READY_SECONDS)
            answer.raise_for_status()
            assert (answer.json()[0]["level"] is not None) == limits, answer.text
        for number in range(VERSION_PAIRS):
            # Each goes first in half of the pairs.
            for place in (number % 2, 1 - number % 2):
                before = processor_seconds(server)
                outcomes[place].append(put(loads[place]))
                time.sleep(_LOG_SECONDS)
                seconds = processor_seconds(server) - before
                used[place].append(seconds / outcomes[place][-1].requests)
    for name, found in zip(("with limits", "without"), outcomes, strict=True):
        describe(name, found)
    ratio("requests a second", *([one.per_second for one in found] for found in outcomes))
    ratio("processor time of an answer", *used)


def noisy_intervals(training_set: TrainingSet) -> Intervals:
    """Return intervals of validation rows whose predictions are off by chance.

    By as much as two columns say, so that the intervals are in sizes of errors: the dearest kind.
    """
    actual, rows = training_set.validation_target, training_set.validation_rows
    sizes = np.full(len(actual), 0.3)
    if rows is not None and len(rows) == len(actual):
        kinds = kinds_of(training_set)
        for kind in ("number", "category"):
            name = next(each for each, found in kinds.items() if found == kind)
            codes, _ = rows[name].rank(pct=True).round(1).factorize()
            sizes *= 0.5 + codes / max(codes.max(), 1)
    noise = np.random.default_rng(0).normal(0, sizes)
    times = training_set.validation_times
    residuals = Residuals("validation", actual, actual * np.exp(noise), (), "", times)
    found = intervals_of(residuals, training_set)
    factors = 0 if found.scale is None else len(found.scale.factors)
    print(f"intervals of {len(actual):,} rows, {factors} tables of sizes")
    return found


def processor_seconds(server: psutil.Process) -> float:
    """Return what a server and its processes have used, in seconds of a processor."""
    tree = [server, *server.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in tree)


def ratio(what: str, ours: list[float], theirs: list[float]) -> None:
    """Print the geometric mean of the ratios of pairs, with its interval."""
    logs = np.log(np.array(ours) / np.array(theirs))
    low, high = np.exp(t.interval(0.95, len(logs) - 1, logs.mean(), sem(logs)))
    print(
        f"{what}, this one over the other: {np.exp(logs.mean()):.3f} "
        f"(95 % interval {low:.3f} to {high:.3f}, {len(logs)} pairs)"
    )


@contextlib.contextmanager
def servers(folder: Path, tracking: str, name: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Start both servers; give their addresses, and the headers of requests."""
    port, their_port = free_port(), free_port()
    settings = {
        "MODEL_LOOP_STATE": str(folder),
        "MODEL_LOOP_TRACKING_URI": tracking,
        "MODEL_LOOP_SERVING_PORT": str(port),
        "MLFLOW_TRACKING_URI": tracking,
        # MLflow starts uvicorn by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    os.environ.update(settings)
    get_settings.cache_clear()
    token = token_file(get_settings()).add("benchmark", rate=0)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url, theirs = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{their_port}"
    their_command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    their_command += ["-m", f"models:/{name}/1", "--port", str(their_port)]
    with (
        process([sys.executable, "-m", "benchmarks.serving", "serve"], f"{url}/readyz", folder),
        process([*their_command, "--workers", "1"], f"{theirs}/ping", folder),
    ):
        yield url, theirs, headers


def measure(
    folder: Path, tracking: str, promoter: Promoter, asked: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    """Measure both servers in turn."""
    with servers(folder, tracking, promoter.name) as (url, theirs, headers):
        predict = Load(f"{url}/predict", headers=headers, bodies=asked[0], seconds=SECONDS)
        empty = Load(f"{url}/empty/", "GET", headers, seconds=SECONDS)
        bare = Load(f"{url}/healthz", "GET", headers, seconds=SECONDS)
        mlflow = Load(f"{theirs}/invocations", headers=headers, bodies=asked[1], seconds=SECONDS)
        loads = {"predict": predict, "empty": empty, "bare": bare, "mlflow": mlflow}
        outcomes: dict[str, list[LoadOutcome]] = {name: [] for name in loads}
        for _ in range(PAIRS):
            for name, load in loads.items():
                outcomes[name].append(put(load))
        ours = describe("/predict", outcomes["predict"])
        fastapi = describe("an empty route of FastAPI", outcomes["empty"])
        nothing_at_all = describe("/healthz, a bare handler", outcomes["bare"])
        plain = describe("mlflow models serve", outcomes["mlflow"])
        print(f"against mlflow models serve: {ours / plain:.0f} times")
        for name, found in (("mlflow models serve", plain), ("an empty route of FastAPI", fastapi)):
            record("serving", name, {"/predict is faster, times": ours / found})
        print(
            f"of an empty route: {ours / fastapi:.0%}; of a bare one: {ours / nothing_at_all:.0%}"
        )
        latencies(promoter, predict, bare, ours / 2)


def latencies(promoter: Promoter, predict: Load, bare: Load, rate: float) -> None:
    """Latencies at half the maximum, without and with a shadow, in turn.

    The bare handler at the same rate tells what of them is the machine's.
    """
    half, floor = (replace(load, seconds=SECONDS, rate=rate) for load in (predict, bare))
    without, shadowed, nothing_at_all = [], [], []
    for _ in range(LATENCY_PAIRS):
        _shadow(promoter, predict, on=False)
        nothing_at_all.append(put(floor))
        without.append(put(half))
        _shadow(promoter, predict, on=True)
        shadowed.append(put(half))
    describe("/healthz at half of it", nothing_at_all)
    describe("at half of it", without)
    describe("the same with a shadow", shadowed)
    worse = [with_it.p99 / one.p99 for one, with_it in zip(without, shadowed, strict=True)]
    print(
        f"p99 with a shadow: {statistics.median(worse) - 1:+.0%} "
        f"(median of {len(worse)} pairs, {min(worse) - 1:+.0%} to {max(worse) - 1:+.0%})"
    )


def _shadow(promoter: Promoter, load: Load, *, on: bool) -> None:
    """Set or remove the shadow, and wait until the server has followed."""
    client = promoter.tracker.client
    if on:
        client.set_registered_model_alias(promoter.name, "shadow", "2")
    else:
        client.delete_registered_model_alias(promoter.name, "shadow")
    url, ends = load.url.replace("/predict", "/models"), time.monotonic() + _READY_SECONDS
    while time.monotonic() < ends:
        answer = requests.get(url, headers=load.headers, timeout=5).json()
        ready = [one["ready"] for one in answer["versions"] if one["alias"] == "shadow"]
        if ready == [True] * on:
            break
        time.sleep(0.2)
    else:
        raise SystemExit(f"The server did not follow the registry: {answer}")
    # The process that asks it makes it ready once more.
    time.sleep(_SETTLE_SECONDS)


if __name__ == "__main__":
    main()

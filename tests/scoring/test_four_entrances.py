"""Two hundred odd rows, as bytes, through server, DAG, playground and file: one answer each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from tests.conftest import sample_request
from tests.serving.conftest import fit

from model_loop.dashboard.worker_queries import WorkerQueries
from model_loop.errors import ModelLoopError
from model_loop.orchestration.forms import batch_scoring_form, prediction_form
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.steps import batch_scoring, prediction
from model_loop.orchestration.web.dashboard import make_dashboard
from model_loop.orchestration.web.health import health_parts
from model_loop.scoring.batch.planning import by_job
from model_loop.scoring.batch.scoring import join_chunks, score_chunk
from model_loop.scoring.predictor import Predictor, RegisteredVersion, load_predictor
from model_loop.serving.http.app import create_app
from model_loop.serving.http.server import make_services
from model_loop.serving.http.tokens import Caller
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.training_set.preparation import build_training_set
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

ROW = {
    "pickup_zone": 74,
    "dropoff_zone": 75,
    "pickup_at": "2024-03-01T08:30:00",
    "trip_distance": 1.9,
    "passenger_count": 2,
}
ZONES = (
    *(0, 1, 264, 265, 266, -1, 74.0, 74.5, 1e39, "74", "74.0", " 74 ", "7.4e1", "0x4a", "074"),
    *("Manhattan - Upper West Side South", "jfk airport", "Corona", "Atlantis", "", "  "),
    *(
        True,
        False,
        [74],
        {"zone": 74},
        None,
        10**18,
        "9" * 400,
        "NaN",
        "Upper West Side South (239)",
    ),
)
NUMBERS = (
    *(0, 0.0, -0.0, 1, 9, 2.5, -1, -5, 999, 1_000, 1_000.5, 1_001, 5_000, 1e300, "1", "1.5", "1e2"),
    *("two", "", "1,5", "1_000", "inf", "nan", "-1", True, [1], None, 10**18),
)
DISTANCES = (
    *(0, 0.0, 1, 30, 31.5, 1e6, 1_000_000.5, 2e6, -0.1, -1, 1e300, "1.5", " 2 ", ".5", "5.", "1e1"),
    *("far", "", "1.5 miles", "inf", "-inf", "nan", True, [1.0], None, 10**18),
)
TIMES = (
    *("2024-03-01 08:30:00", "2024-03-01T08:30", "2024-03-01 08:30", "2024-03-01T08:30:00.9"),
    *("2024-03-01T13:30:00Z", "2024-03-01T08:30:00-05:00", "2024-03-01 08:30:00 UTC", "now"),
    *("2024-07-01T12:00:00+00", "03/01/2024 08:30:00 AM", "3/1/2024 8:30 pm", "2024-03-01"),
    *("03/01/2024", "01/02/2024 08:30:00", "13/01/2024 08:30:00 AM", "2024-13-01 08:30:00", ""),
    *("1701-03-01T08:30:00", "1999-12-31T23:59:59", "2000-01-01T00:00:00", "2099-12-31T23:59:59"),
    *(
        "2100-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "2024-W09-5T08:30:00",
    ),
    *("2000-01-01T04:59:59Z", "2024-03-10T02:30:00", "2024-11-03T01:30:00", "20240301T083000"),
    *(20240115, 1_709_280_000, 1.5, True, None, ["2024-03-01T08:30:00"], " 2024-03-01 08:30:00 "),
)
NAMED = (
    {"PULocationID": 74, "DOLocationID": 75, "lpep_pickup_datetime": ROW["pickup_at"]},
    {"PULocationID": 74, "DOLocationID": 75, "tpep_pickup_datetime": ROW["pickup_at"]},
    {"PULocationID": 74, "DOLocationID": 75, "pickup_datetime": ROW["pickup_at"], "trip_miles": 2},
    {**ROW, "vendor_id": 2},
    {**ROW, "VendorID": 2.0, "trip_type": 1},
    {**ROW, "fare_amount": -12.5, "RatecodeID": 99, "lpep_dropoff_datetime": "x"},
    {"pickup_zone": 74, "dropoff_zone": 75},
    {"pickup_zone": 74, "dropoff_zone": 264},
    {"pickup_zone": 74},
    {"pickup_zone": 0, "dropoff_zone": "Atlantis", "trip_distance": -1, "passenger_count": 5_000},
)
ODD: tuple[dict[str, Any], ...] = (
    *({**ROW, "pickup_zone": value} for value in ZONES),
    *({**ROW, "dropoff_zone": value} for value in ZONES),
    *({**ROW, "passenger_count": value} for value in NUMBERS),
    *({**ROW, "vendor_id": value} for value in NUMBERS),
    *({**ROW, "trip_type": value} for value in NUMBERS),
    *({**ROW, "trip_distance": value} for value in DISTANCES),
    *({**ROW, "pickup_at": value} for value in TIMES),
    *NAMED,
)


@dataclass
class Loop:
    """A champion that has learned from ended trips, behind every entrance."""

    folder: Path
    tracker: Tracker
    app: Any
    playground: TestClient
    predictor: Predictor


@pytest.fixture(scope="module")
def loop(
    tracking_uri: str, tmp_path_factory: pytest.TempPathFactory, sample_root: Path
) -> Iterator[Loop]:
    """Register, promote and serve one version."""
    folder = tmp_path_factory.mktemp("entrances")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_LOOP_TRACKING_URI", tracking_uri)
        patch.setenv("MODEL_LOOP_STORAGE_ROOT", folder.as_uri())
        patch.setenv("MODEL_LOOP_SERVING_FOLDER", str(folder / "serving"))
        patch.setenv("MODEL_LOOP_VARIANT", "yellow")
        get_settings.cache_clear()
        tracker = Tracker(tracking_uri, "trip-duration-promotion")
        training_set = build_training_set(sample_request("rich"), storage_root=str(sample_root))
        register_model(
            tracker,
            tracker.open_run("entrances/model", "model", {}),
            fit("ensemble.GradientBoostingRegressor", training_set),
            name="trip_duration_yellow",
            example=training_set.example_rows,
            tags=training_set_tags(training_set),
        )
        Promoter(tracker, "yellow", "ended").act(Action("promote", "yellow", 1), "entrances")
        services = make_services(get_settings(), small=True)
        service = services.default
        app = create_app(service, _anybody, max_bytes=100_000, max_rows=500)
        service.start()
        assert service.live.wait(300), "the version is compiled beside everything else"
        questions = WorkerQueries()
        health = health_parts(service, questions)
        pages = make_dashboard(services, get_settings(), health, questions, _all_of_them)
        predictor = load_predictor(versions_of("yellow"), RegisteredVersion("yellow", 1))
        yield Loop(folder, tracker, app, TestClient(pages), predictor)
        questions.stop()
        service.stop()
    get_settings.cache_clear()


async def _anybody(_scope: Any) -> Caller:
    return Caller("tests")


async def _all_of_them(_scope: Any, _right: str, datasets: Any) -> frozenset[str]:
    return frozenset(dataset.name for dataset in datasets)


def by_server(loop: Loop, body: bytes) -> dict[str, Any]:
    """Return what the server answers to a row, or the error."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(loop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
            return await client.post("/predict", content=body)

    answer = asyncio.run(send())
    told = json.loads(answer.content)
    if answer.status_code == 200:
        (found,) = told
        return dict(found)
    assert answer.status_code == 422, answer.text
    return dict(told)


def by_dag(rows: Sequence[Mapping[str, Any]], **given: Any) -> list[dict[str, Any]]:
    """Return what the DAG `prediction` answers to the list of a run."""
    params = {name: one.value for name, one in prediction_form(TRIPS).items()} | given
    run: Any = SimpleNamespace(
        dag_id="prediction",
        run_id="one",
        triggering_user_name="Ada",
        run_type=SimpleNamespace(value="manual"),
    )
    try:
        answered = prediction.predict({**params, "service": "yellow", "inputs": rows}, run)
    except ModelLoopError as error:
        return [{"error": error.fields()}]
    found: list[dict[str, Any]] = json.loads(json.dumps(answered["predictions"]))
    return found


def by_playground(loop: Loop, body: bytes) -> dict[str, Any]:
    """Return the answer that the playground gets and its page shows."""
    answer = loop.playground.post("/explain", content=body)
    told = json.loads(answer.content)
    if answer.status_code != 200:
        assert answer.status_code == 422, answer.text
        return dict(told)
    (one,) = told["answers"]
    return {"prediction": one["prediction"], "model_version": one["version"]}


def by_file(loop: Loop, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what batch scoring makes of a Parquet file with the row alone."""
    given = dict(row)
    for column in TRIP_COLUMNS:
        # A file has every column that the model needs; a cell may be empty.
        if column.required and not given.keys() & {*column.names}:
            given[column.field] = None
    source = loop.folder / "storage" / f"{number}.parquet"
    source.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({name: [value] for name, value in given.items()}), source)
    params = {name: one.value for name, one in batch_scoring_form(TRIPS).items()}
    chunks = batch_scoring.plan_chunks({**params, "service": "yellow", "input": str(source)})
    for chunk in chunks:
        score_chunk(chunk, loop.predictor)
    ((job, parts),) = by_job(chunks)
    result = join_chunks(job, parts)
    if result.rejected_rows:
        return {"reason": pd.read_parquet(str(result.rejected))["reason"][0]}
    found = pd.read_parquet(result.output).iloc[0]
    told = {name: found[name] for name in ("prediction", "unit", "prediction_id", "model_version")}
    return {**told, "assumed": "" if pd.isna(found["assumed"]) else found["assumed"]}


@pytest.fixture(scope="module")
def served(loop: Loop) -> list[dict[str, Any]]:
    """Answers of the server to all rows, each in a request of its own."""
    return [by_server(loop, body_of(row)) for row in ODD]


@pytest.fixture(scope="module")
def asked(served: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Answers of the DAG: good rows in lists, as many as a run takes, each bad one alone."""
    good = [number for number, one in enumerate(served) if "error" not in one]
    found: dict[int, dict[str, Any]] = {}
    for first in range(0, len(good), 50):
        some = good[first : first + 50]
        found |= dict(zip(some, by_dag([ODD[number] for number in some]), strict=True))
    for number in set(range(len(ODD))) - {*good}:
        (found[number],) = by_dag([ODD[number]])
    return found


def body_of(row: Mapping[str, Any]) -> bytes:
    """Return a request with a list of one row."""
    return json.dumps({"inputs": [row]}).encode()


@pytest.mark.parametrize(
    "number", range(len(ODD)), ids=lambda number: f"{number} {json.dumps(ODD[number])[:70]}"
)
def test_every_entrance_says_the_same(
    loop: Loop, served: list[dict[str, Any]], asked: dict[int, dict[str, Any]], number: int
) -> None:
    """The same answer, as near as the compiled form promises, or the same words."""
    row, here, there = ODD[number], served[number], asked[number]
    shown = by_playground(loop, body_of(row))
    filed = by_file(loop, number, row) if _fits_a_file(row) else None
    if "error" in here:
        assert there["error"] == here["error"] == shown["error"]
        problems = here["error"]["problems"]
        said = [f"{one['given'].removeprefix('inputs[0].')} {one['rule']}" for one in problems]
        assert filed in (None, {"reason": "; ".join(said)})
        return
    assert there.keys() == here.keys()
    assert len({here["prediction_id"], there["prediction_id"]}) == 2
    assert here["minutes"] == here["prediction"]
    for name in ("unit", "model_version", "moment"):
        assert there[name] == here[name]
    assumed = ", ".join(here.get("assumed", ()))
    predictions = {there["prediction"], shown["prediction"]}
    if filed is not None:
        assert (filed["unit"], filed["model_version"]) == (here["unit"], here["model_version"])
        assert filed["assumed"] == assumed
        predictions.add(filed["prediction"])
    if "pickup_at" not in assumed:
        # The present moment is another one for each.
        assert there.get("assumed") == here.get("assumed")
        assert all(one == pytest.approx(here["prediction"], abs=1e-4) for one in predictions)


def test_reasons_are_the_same_everywhere(loop: Loop) -> None:
    """From the server, the DAG, files of each kind and the playground, where they are asked for."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(loop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
            return await client.post("/predict?explain=true", content=body_of(ROW))

    (served,) = asyncio.run(send()).json()
    (asked,) = by_dag([ROW], explain=True)
    expected = served["reasons"]
    amounts = [one["added"] for one in expected["strongest"]]
    for reasons in (expected, asked["reasons"], *map(_filed, ("parquet", "csv", "jsonl"))):
        added = [one["added"] for one in reasons["strongest"]]
        assert reasons["base"] + sum(added) + reasons["others"] == pytest.approx(
            served["prediction"], abs=1e-4
        )
        assert added == pytest.approx(amounts, abs=1e-6)
        for name in ("column", "title", "value", "unit"):
            here = [one[name] for one in expected["strongest"]]
            assert [one[name] for one in reasons["strongest"]] == here
    (alias,) = (one["alias"] for one in _shown(loop, "")["answers"])
    shown = _shown(loop, f"?why={alias}")
    assert shown["base"] == pytest.approx(expected["base"])
    assert [added for _, added in shown["features"][: len(amounts)]] == pytest.approx(amounts)
    assert "Distance = 1.9 miles" in [name for name, _ in shown["features"]]


def _filed(kind: str) -> dict[str, Any]:
    """Return the reasons that a file of the row gives."""
    source = Path(get_settings().storage_root.removeprefix("file://")) / f"reasons.{kind}"
    row = pd.DataFrame([ROW])
    if kind == "jsonl":
        row.to_json(source, orient="records", lines=True)
    elif kind == "csv":
        row.to_csv(source, index=False)
    else:
        row.to_parquet(source)
    params = {name: one.value for name, one in batch_scoring_form(TRIPS).items()}
    chunks = batch_scoring.plan_chunks(
        {**params, "service": "yellow", "input": str(source), "explain": True}
    )
    for chunk in chunks:
        batch_scoring.score_chunk(chunk)
    output = batch_scoring.join_outputs(chunks)["files"][0]["output"]
    if kind == "jsonl":
        found: dict[str, Any] = json.loads(Path(output).read_text())["reasons"]
        return found
    table = pd.read_csv(output) if kind == "csv" else pd.read_parquet(output)
    return dict(json.loads(table["reasons"][0]))


def _shown(loop: Loop, query: str) -> dict[str, Any]:
    """Return the part of the row that the playground gets."""
    answer = loop.playground.post(f"/explain{query}", content=body_of(ROW))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _fits_a_file(row: Mapping[str, Any]) -> bool:
    """Return whether a file can hold a row as it is: an object is a column of several."""
    return not any(isinstance(value, dict) for value in row.values())


def test_there_are_two_hundred(served: list[dict[str, Any]]) -> None:
    """Right ones and wrong ones."""
    assert len(ODD) >= 200
    assert 60 < sum("error" in one for one in served) < len(ODD) - 60

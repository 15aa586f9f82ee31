"""The same ten rows through form, server and files: one class for each row, with probabilities."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from starlette.testclient import TestClient
from tests.commands import run_command

from model_loop.dashboard.worker_queries import WorkerQueries
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import get_dataset
from model_loop.intervals.adaptive import Correction
from model_loop.models.classification.class_sets import set_scores
from model_loop.models.classification.decision import Decision
from model_loop.monitoring.labels import add_labels, read_labels
from model_loop.orchestration.forms import batch_scoring_form, prediction_form
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.forms.prediction import field_of
from model_loop.orchestration.steps import batch_scoring, prediction
from model_loop.orchestration.web.dashboard import make_dashboard
from model_loop.orchestration.web.health import health_parts
from model_loop.serving.http.app import create_app
from model_loop.serving.http.server import make_services
from model_loop.serving.http.tokens import Caller
from model_loop.serving.request_log.export import read_day
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.service import PredictionService
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.beside import Beside
from model_loop.tracking.corrections import keep_correction
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.encoders.tables import table_encoder

pytestmark = pytest.mark.integration

#: Of two classes the positive one stands first in sorted order; of three they are numbers.
BOOKINGS = """
name = "bookings"
target = "outcome"
source = "bookings.csv"
[task]
kind = "binary"
positive_class = "cancelled"
classes = ["kept", "cancelled"]
[columns.nights]
type = "number"
[columns.room]
type = "category"
[columns.breakfast]
type = "yes_no"
[columns.outcome]
type = "category"
"""
GRADES = """
name = "grades"
target = "grade"
source = "grades.csv"
[task]
kind = "multiclass"
classes = [1, 2, 10]
[columns.nights]
type = "number"
[columns.room]
type = "category"
[columns.breakfast]
type = "yes_no"
[columns.probabilities]
type = "number"
[columns.grade]
type = "number"
"""
THRESHOLD = 0.35
NAMES = ("bookings", "grades")


def rows_of(name: str, count: int = 600, seed: int = 3) -> pd.DataFrame:
    """Return rows as files have them, with the label of each."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "nights": random.integers(1, 15, count).astype(float),
            "room": random.choice(["single", "double", "suite"], count),
            "breakfast": random.integers(0, 2, count).astype(float),
        }
    )
    score = frame["nights"] / 4 + 2 * (frame["room"] == "suite") + random.normal(0, 1, count)
    if name == "bookings":
        return frame.assign(outcome=np.where(score > 3, "cancelled", "kept"))
    frame["probabilities"] = random.normal(0, 1, count).round(2)
    return frame.assign(grade=np.array([1, 2, 10])[np.digitize(score, (1.5, 3))])


def learned(dataset: Dataset, table: pd.DataFrame) -> Pipeline:
    """Return a calibrated classifier, of two classes at a threshold."""
    columns = list(dataset.recipe(dataset.default_recipe).columns)
    chosen = [one for one in dataset.columns if one.name in columns]
    encoder, labels = table_encoder(chosen, "dense", rows=len(table)), table[dataset.target.name]
    classes = dataset.target.labels
    codes = labels.map(classes.code).to_numpy(np.float64)
    matrix = encoder.fit_transform(table[columns], codes)
    values = np.array(classes.labels)[codes.astype(int)]
    base: Any = GradientBoostingClassifier(n_estimators=12, random_state=1)
    if classes.is_binary:
        base = LogisticRegression()
    base.fit(matrix, values)
    estimator: Any = CalibratedClassifierCV(FrozenEstimator(base), method="isotonic")
    estimator.fit(matrix, values)
    if classes.is_binary:
        estimator = FixedThresholdClassifier(
            FrozenEstimator(estimator),
            threshold=THRESHOLD,
            pos_label=classes.positive,
            response_method="predict_proba",
        ).fit(matrix, values)
    return Pipeline([("encode", encoder), ("estimate", estimator)])


def decision_for(dataset: Dataset, model: Pipeline, table: pd.DataFrame) -> Decision:
    """Return what is stored beside a version."""
    classes = dataset.target.labels
    if classes.is_binary:
        return Decision(classes.labels, classes.positive, THRESHOLD, "declared")
    columns = list(dataset.recipe(dataset.default_recipe).columns)
    codes = table[dataset.target.name].map(classes.code).to_numpy(np.float64)
    scores = set_scores(codes, model.predict_proba(table[columns]))
    return Decision(classes.labels, rows=len(table), set_scores=scores, metrics={"size": 1.5})


@dataclass(frozen=True)
class Loop:
    """Champions of both datasets behind every entrance."""

    folder: Path
    app: Any
    pages: TestClient
    rows: dict[str, pd.DataFrame]
    uris: dict[str, str]
    decisions: dict[str, Decision]


async def _anybody(_scope: Any) -> Caller:
    return Caller("tests")


@pytest.fixture(scope="module")
def loop(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Register, promote and serve a version of each."""
    folder = tmp_path_factory.mktemp("classes")
    declared = folder / "datasets"
    declared.mkdir()
    for name, text in (("bookings", BOOKINGS), ("grades", GRADES)):
        (declared / f"{name}.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_LOOP_TRACKING_URI", tracking_uri)
        patch.setenv("MODEL_LOOP_STORAGE_ROOT", folder.as_uri())
        patch.setenv("MODEL_LOOP_SERVING_FOLDER", str(folder / "serving"))
        patch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(declared))
        patch.setenv("MODEL_LOOP_SERVING_VARIANTS", "bookings, grades")
        get_settings.cache_clear()
        tracker, uris, rows = Tracker(tracking_uri, "classes-promotion"), {}, {}
        decisions = {}
        for key in NAMES:
            dataset, table = get_dataset(key), rows_of(key)
            recipe = dataset.recipe(dataset.default_recipe)
            model = learned(dataset, table)
            decisions[key] = decision_for(dataset, model, table)
            uris[key] = register_model(
                tracker,
                tracker.open_run(f"classes/{key}", "model", {}),
                model,
                name=dataset.variants[key].model_name,
                example=table.head(3)[list(recipe.columns)],
                tags={},
                dataset=dataset,
                beside=Beside(decision=decisions[key]),
            ).uri
            # Sets of 80 % are those of 90 % then, whatever asks.
            correction = Correction(upper=0.5, version=3, day="2024-03-01")
            keep_correction(tracker, dataset.variants[key].model_name, 1, correction)
            Promoter(tracker, key, recipe.moment).act(Action("promote", key, 1), f"class {key}")
            rows[key] = rows_of(key, 10, seed=8)
        services = make_services(get_settings(), small=True)
        everything = {"": services.default, **services.others}
        for service in everything.values():
            assert isinstance(service, PredictionService), service
            service.start()
            assert service.live.wait(300), "versions are compiled beside everything else"
        app = create_app(
            services.default, _anybody, max_bytes=100_000, max_rows=500, others=services.others
        )
        questions = WorkerQueries()
        health = health_parts(services.default, questions)
        pages = make_dashboard(services, get_settings(), health, questions, _all_of_them)
        yield Loop(folder, app, TestClient(pages), rows, uris, decisions)
        questions.stop()
        services.stop()
    get_settings.cache_clear()


async def _all_of_them(_scope: Any, _right: str, datasets: Any) -> frozenset[str]:
    return frozenset(dataset.name for dataset in datasets)


def send(loop: Loop, method: str, path: str, body: Any = None) -> httpx.Response:
    """Ask the server."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(loop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
            return await client.request(method, path, json=body, timeout=300)

    return asyncio.run(ask())


def objects_of(loop: Loop, name: str) -> list[dict[str, Any]]:
    """Return the ten rows as JSON has them."""
    asked = loop.rows[name].drop(columns=get_dataset(name).target.name)
    return [
        {str(column): value for column, value in row.items()} for row in asked.to_dict("records")
    ]


#: Fields of the answer of every entrance.
Said = tuple[Any, ...]


def said_of(answers: Sequence[Mapping[str, Any]], *, suffix: str = "") -> list[Said]:
    """Return labels, probabilities, threshold or set, and level."""
    found = []
    for one in answers:
        shares, classes = one[f"{suffix}probabilities"], one.get("classes")
        shares = json.loads(shares) if isinstance(shares, str) else shares
        classes = json.loads(classes) if isinstance(classes, str) else classes
        assert one["lower"] is None or np.isnan(one["lower"])
        level = None if one["level"] is None or np.isnan(one["level"]) else one["level"]
        found.append((one["prediction"], shares, one.get("threshold"), classes, level))
    return found


def require_same(found: Sequence[Said], expected: Sequence[Said]) -> None:
    """Check that two entrances agree, in the type of labels too."""
    for one, other in zip(found, expected, strict=True):
        assert one[1] == pytest.approx(other[1], abs=1e-9)
        assert (one[0], *one[2:]) == (other[0], *other[2:])
        assert isinstance(one[0], str) == isinstance(other[0], str)


def by_form(loop: Loop, name: str, **more: Any) -> list[dict[str, Any]]:
    """Return what the DAG of predictions answers to its form."""
    dataset = get_dataset(name)
    run: Any = SimpleNamespace(
        dag_id="prediction",
        run_id="classes",
        triggering_user_name="Ada",
        run_type=SimpleNamespace(value="manual"),
    )
    defaults = {field: one.value for field, one in prediction_form(dataset).items()}
    found = []
    for row in objects_of(loop, name):
        filled = {field_of(dataset, one): row[one.field] for one in dataset.columns}
        params = completed_form(dataset, {**defaults, **more, **filled})
        told = prediction.predict(params, run)
        assert str(told["predictions"][0]["prediction"]) in told["summary"]
        found += told["predictions"]
    return found


def by_playground(loop: Loop, name: str) -> list[dict[str, Any]]:
    """Return what the playground shows of the champion."""
    found = []
    for row in objects_of(loop, name):
        answer = loop.pages.post(f"/explain?variant={name}", json=row)
        assert answer.status_code == 200, answer.text
        found += answer.json()["answers"]
    return found


def by_file(loop: Loop, name: str, file: str, content: bytes, **more: Any) -> list[dict[str, Any]]:
    """Return the rows that batch scoring writes."""
    source, dataset = loop.folder / f"{name}-{file}", get_dataset(name)
    source.write_bytes(content)
    defaults = {each: one.value for each, one in batch_scoring_form(dataset).items()}
    form = completed_form(dataset, {**defaults, "input": str(source), **more})
    chunks = batch_scoring.plan_chunks(form)
    for chunk in chunks:
        batch_scoring.score_chunk(chunk)
    (told,) = batch_scoring.join_outputs(chunks)["files"]
    assert (told["rows"], told["rejected_rows"]) == (10, 0), told["reason"]
    output = Path(told["output"])
    if output.suffix == ".jsonl":
        return [json.loads(line) for line in output.read_text().splitlines()]
    frame = pd.read_parquet(output) if output.suffix == ".parquet" else pd.read_csv(output)
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


@pytest.mark.parametrize("name", NAMES)
def test_ten_rows_from_every_entrance(loop: Loop, name: str) -> None:
    """Form, REST, CSV, JSON lines and Parquet: label, probabilities, threshold or set of each."""
    answers = send(loop, "POST", f"/{name}/predict", {"inputs": objects_of(loop, name)})
    assert answers.status_code == 200, answers.text
    asked = said_of(answers.json())
    assert len({str(one[1]) for one in asked}) > 3, "the rows differ"
    assert len({one[0] for one in asked}) > 1
    table = loop.rows[name].drop(columns=get_dataset(name).target.name)
    require_same(said_of(by_form(loop, name)), asked)
    shown = by_playground(loop, name)
    require_same(said_of(shown), asked)
    assert shown[0].get("positive") == ("cancelled" if name == "bookings" else None)
    # The answer has a name of its own where the file has a column of the same name.
    suffix = "predicted_" if name == "grades" else ""
    csv = by_file(loop, name, "a.csv", table.to_csv(index=False).encode())
    require_same(said_of(csv, suffix=suffix), asked)
    lines = "".join(f"{json.dumps(one)}\n" for one in objects_of(loop, name)).encode()
    require_same(said_of(by_file(loop, name, "b.jsonl", lines), suffix=suffix), asked)
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), parquet)
    require_same(
        said_of(by_file(loop, name, "c.parquet", parquet.getvalue()), suffix=suffix), asked
    )


def test_two_classes_are_told_apart_by_the_threshold(loop: Loop) -> None:
    """The positive class from its probability on, which stands beside; there is no set."""
    inputs = objects_of(loop, "bookings")
    answers = send(loop, "POST", "/bookings/predict", {"inputs": inputs, "level": 80}).json()
    for one in answers:
        positive = one["probabilities"]["cancelled"]
        assert one["prediction"] == ("cancelled" if positive >= THRESHOLD else "kept")
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert [*one["probabilities"]] == ["kept", "cancelled"]
        assert one["threshold"] == THRESHOLD
        assert (one["lower"], one["upper"], one["level"]) == (None, None, None)
        assert "classes" not in one
    assert any(THRESHOLD <= one["probabilities"]["cancelled"] < 0.5 for one in answers)


def test_several_classes_have_a_set_of_the_level(loop: Loop) -> None:
    """The likeliest class first, which is the prediction; a higher level has no smaller set."""
    inputs = objects_of(loop, "grades")
    sets = {}
    for level in (50, 99):
        answers = send(loop, "POST", "/grades/predict", {"inputs": inputs, "level": level}).json()
        for one in answers:
            assert one["classes"][0] == one["prediction"]
            assert one["level"] == level
            assert one["probabilities"][str(one["prediction"])] == max(
                one["probabilities"].values()
            )
            assert "threshold" not in one
        sets[level] = [{*one["classes"]} for one in answers]
    assert all(few <= many for few, many in zip(sets[50], sets[99], strict=True))
    assert sets[50] != sets[99]


def test_sets_are_corrected_as_closed_days_say(loop: Loop) -> None:
    """All entrances answer alike; the server's sets of 80 % allow half of the misses."""
    inputs = objects_of(loop, "grades")
    answers = send(loop, "POST", "/grades/predict", {"inputs": inputs, "level": 80}).json()
    decision = loop.decisions["grades"]
    told = np.array([[*one["probabilities"].values()] for one in answers])
    assert [one["classes"] for one in answers] == decision.classes_at(90, told)
    assert decision.classes_at(90, told) != decision.classes_at(80, told)


@pytest.mark.parametrize("name", NAMES)
def test_invocations_answer_as_mlflow_does(loop: Loop, name: str) -> None:
    """Labels as the pipeline's own `predict` gives them, which MLflow's server sends."""
    asked = loop.rows[name].drop(columns=get_dataset(name).target.name)
    expected = np.asarray(mlflow.pyfunc.load_model(loop.uris[name]).predict(asked)).tolist()
    split = {"columns": [*asked.columns], "data": asked.to_numpy(dtype=object).tolist()}
    told = send(loop, "POST", f"/{name}/invocations", {"dataframe_split": split}).json()
    assert told["predictions"] == expected
    assert {type(one) for one in expected} == {str if name == "bookings" else int}
    assert len(told["probabilities"]) == 10
    assert ("threshold" in told) == (name == "bookings")
    assert "classes" not in told
    body = {"dataframe_split": split, "params": {"level": 90}}
    told = send(loop, "POST", f"/{name}/invocations", body).json()
    assert ("classes" in told) == (name == "grades")
    assert "lower" not in told


@pytest.mark.parametrize("name", NAMES)
def test_reasons_name_class_and_unit(loop: Loop, name: str) -> None:
    """Log-odds of the positive class, or of the predicted one, before an isotonic calibration."""
    inputs = objects_of(loop, name)
    body = {"inputs": inputs}
    answers = send(loop, "POST", f"/{name}/predict?explain=true", body).json()
    for one in answers:
        reasons = one["reasons"]
        assert reasons["unit"] == "log-odds"
        assert reasons["calibrated"] is False
        assert reasons["label"] == ("cancelled" if name == "bookings" else one["prediction"])
        assert reasons["strongest"]
    (told,) = by_form(loop, name, explain=True)[:1]
    reasons = answers[0]["reasons"]
    assert told["reasons"]["base"] == pytest.approx(reasons["base"])
    assert told["reasons"]["strongest"][0]["added"] == pytest.approx(
        reasons["strongest"][0]["added"]
    )


def test_the_command_says_the_class_in_words(loop: Loop) -> None:
    """As a sentence for people, and as JSON for machines."""
    row = objects_of(loop, "bookings")[0]
    values = [f"{name}={value}" for name, value in row.items()]
    (answer,) = send(loop, "POST", "/bookings/predict", row).json()

    def command(*options: str) -> str:
        done = run_command(
            *("predict", "bookings", *options, *values), folder=loop.folder, environment=os.environ
        )
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    flat = command()
    assert f"Outcome: {answer['prediction']} (the probability of cancelled is" in flat
    assert "from 35 % on it is the answer), says version 1." in flat
    (machine,) = json.loads(command("--json"))["predictions"]
    assert machine["probabilities"] == pytest.approx(answer["probabilities"])
    assert "log-odds of cancelled" in command("--explain")


@pytest.mark.parametrize("name", NAMES)
def test_the_log_holds_label_and_probabilities(loop: Loop, name: str) -> None:
    """By the id of an answer, and in the export; feedback gives a true class by its label."""
    (answer,) = send(loop, "POST", f"/{name}/predict", objects_of(loop, name)[0]).json()
    address = f"/{name}/predictions/{answer['prediction_id']}"
    told = send(loop, "GET", address).json()
    assert told["prediction"] == answer["prediction"]
    # A column of the table goes first.
    shares = "predicted_probabilities" if name == "grades" else "probabilities"
    assert told[shares] == answer["probabilities"]
    counted = "cancelled" if name == "bookings" else str(answer["prediction"])
    assert told["probability"] == answer["probabilities"][counted]
    assert told["actual"] is None
    true: Any = "kept" if name == "bookings" else 10
    refused = send(
        loop,
        "POST",
        f"/{name}/feedback",
        {"prediction_id": answer["prediction_id"], "actual": "unheard"},
    )
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert (error["given"], error["rule"]) == ("Class 'unheard'", "is unknown")
    assert str(true) in error["remedy"]
    noted = send(
        loop,
        "POST",
        f"/{name}/feedback",
        {"prediction_id": answer["prediction_id"], "actual": str(true)},
    )
    assert noted.status_code == 200, noted.text
    assert send(loop, "GET", address).json()["actual"] == true
    engine = open_log("", loop.folder / "serving")
    day = read_day(engine, dt.datetime.now(dt.UTC).date(), get_dataset(name))
    (logged,) = day[day["prediction_id"] == answer["prediction_id"]].to_dict("records")
    assert (logged["prediction"], logged["actual"]) == (answer["prediction"], true)
    assert json.loads(logged[shares]) == answer["probabilities"]
    for column, value in objects_of(loop, name)[0].items():
        assert told[column] == logged[column] == value
    assert logged["probability"] == told["probability"]
    assert {"label", "actual_label", "minutes"}.isdisjoint(day)


def test_files_of_labels_name_classes(loop: Loop, tmp_path: Path) -> None:
    """By their labels, and a label of no class is refused by its name."""
    (answer,) = send(loop, "POST", "/bookings/predict", objects_of(loop, "bookings")[1]).json()
    address = f"/bookings/predictions/{answer['prediction_id']}"
    send(loop, "GET", address)
    file = tmp_path / "labels.csv"
    file.write_text(f"prediction_id,outcome\n{answer['prediction_id']},cancelled\n")
    engine = open_log("", loop.folder / "serving")
    since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)

    def read(dataset: Dataset) -> pd.DataFrame:
        return read_labels([str(file)], dataset)

    report = add_labels(engine, "bookings", read, since, "tests")
    assert report.matched == 1
    assert send(loop, "GET", address).json()["actual"] == "cancelled"
    file.write_text(f"prediction_id,outcome\n{answer['prediction_id']},unheard\n")
    with pytest.raises(Exception, match="Class 'unheard'"):
        add_labels(engine, "bookings", read, since, "tests")


@pytest.mark.parametrize("name", NAMES)
def test_the_description_lists_the_labels(loop: Loop, name: str) -> None:
    """Types, examples and sentences are those of classes; what they show is what is answered."""
    document = send(loop, "GET", "/openapi.json").json()
    labels = sorted(map(str, get_dataset(name).target.labels.labels))
    (schema,) = [
        one
        for key, one in document["components"]["schemas"].items()
        if key.endswith("Answer")
        and sorted(map(str, one["properties"]["prediction"].get("enum", ()))) == labels
    ]
    assert "probabilities" in schema["required"]
    path = next(one for one in document["paths"] if one.endswith(f"{name}/predict"))
    told = document["paths"][path]["post"]
    example = told["responses"]["200"]["content"]["application/json"]["examples"]["answer"]
    (shown,) = example["value"]
    (answer,) = send(loop, "POST", f"/{name}/predict", objects_of(loop, name)[0]).json()
    assert [*shown] == [*answer]
    assert "interval" not in told["description"]

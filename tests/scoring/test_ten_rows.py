"""The same ten rows through form, server and files of every kind: one answer for each row."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import Pipeline
from tests.serving.conftest import fit

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.learned import LearnedValues
from model_loop.datasets.registry import get_dataset
from model_loop.errors import InvalidInputError
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.residuals import Residuals
from model_loop.monitoring.windows import Window, of_scored
from model_loop.orchestration.forms import batch_scoring_form, prediction_form
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.forms.prediction import field_of
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.steps import batch_scoring, prediction
from model_loop.orchestration.steps.windows import _output
from model_loop.scoring.columns import check_rows
from model_loop.scoring.predictor import choose_versions, load_predictor
from model_loop.serving.http.app import create_app
from model_loop.serving.http.server import make_services
from model_loop.serving.http.tokens import Caller
from model_loop.serving.service import PredictionService
from model_loop.settings import get_settings
from model_loop.tables.table import read_table
from model_loop.tracking.actions import Action
from model_loop.tracking.beside import Beside
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.encoders.tables import table_encoder
from model_loop.training_set.learned import learned_values
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

ROOMS = """
name = "rooms"
target = "loyer"
source = "rooms.csv"
missing_values = ["", "k.A.", "-999"]
[dialect]
delimiter = ";"
[time]
column = "visité"
stored_in = "UTC"
time_zone = "Europe/Paris"
[task]
unit = "EUR"
[columns."Straße"]
type = "category"
[columns."surface (m²)"]
type = "number"
decimal_char = ","
constraints = {minimum = 1, maximum = 5000}
[columns."étage"]
type = "number"
[columns.code]
type = "category"
[columns."meublé"]
type = "yes_no"
[columns."visité"]
type = "time"
[columns.loyer]
type = "number"
"""
#: Each value as CSV has it, and as JSON has it.
CELLS: Mapping[str, Sequence[tuple[str, Any]]] = {
    "Straße": [("Süd", "Süd"), ("Łódź", "Łódź"), ("rue de l'Église", "rue de l'Église")],
    "surface (m²)": [("1.234,5", 1234.5), ("80,25", 80.25), ("k.A.", None), ("7e1", 70)],
    "étage": [("3", 3), ("-999", -999), ("", None), (" 12 ", 12.0)],
    "code": [("75011", 75011), ("01", "01"), ("75011.0", 75011.0), ("k.A.", None), ("74", "74")],
    "meublé": [("oui", True), ("non", False), ("", None), ("1", 1), ("FALSE", "false")],
    "visité": [
        ("2024-03-01T08:30:00+01:00", "2024-03-01T08:30:00+01:00"),
        ("2024-07-01 06:30:00", "2024-07-01T06:30:00"),
        ("2024-12-31T23:30:00Z", "2024-12-31T23:30:00Z"),
    ],
}


@dataclass(frozen=True)
class Ten:
    """Ten rows of a dataset, as text and as JSON."""

    dataset: Dataset
    variant: str
    texts: list[dict[str, str]]
    objects: list[dict[str, Any]]
    delimiter: str = ","


def rooms_rows() -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """Return ten rows, in which each cell comes beside several others."""
    chosen = [
        {name: cells[(row + row // len(cells)) % len(cells)] for name, cells in CELLS.items()}
        for row in range(10)
    ]
    texts = [{name: text for name, (text, _) in row.items()} for row in chosen]
    return texts, [{name: value for name, (_, value) in row.items()} for row in chosen]


def rooms_table(count: int = 400) -> pd.DataFrame:
    """Return rows as the model of rooms learns them."""
    random = np.random.default_rng(3)
    _, objects = rooms_rows()
    some = [objects[row] for row in random.integers(0, 10, count)]
    dataset = get_dataset("rooms")
    columns = dataset.recipe(dataset.default_recipe).columns
    frame = check_rows(dataset, some, columns).rows
    assert len(frame) == count
    frame["loyer"] = 300 + random.normal(0, 50, count) + 9 * frame["surface (m²)"].fillna(50)
    frame["loyer"] += 200 * (frame["Straße"] == "Süd") + 100 * (frame["code"] == "75011")
    return frame


def bikes_table(folder: Path) -> pd.DataFrame:
    """Return rows of bikes as a model learns them, from the file of the dataset."""
    dataset = get_dataset("bikes")
    declaration = dataset.declaration
    assert declaration is not None
    source = folder / "bikes.csv"
    lines = gzip.decompress(
        (Path(__file__).parents[2] / "include/datasets/data/bikes_hourly.csv.gz").read_bytes()
    ).splitlines(keepends=True)
    source.write_bytes(b"".join(lines[:1_500]))
    table = read_table(declaration, [str(source)]).frame
    columns = dataset.recipe(dataset.default_recipe).columns
    frame = check_rows(dataset, table.drop(columns="cnt"), columns).rows
    return frame.assign(cnt=table["cnt"])


def learned(dataset: Dataset, table: pd.DataFrame) -> Pipeline:
    """Return a forest of the default recipe."""
    columns = list(dataset.recipe(dataset.default_recipe).columns)
    chosen = [one for one in dataset.columns if one.name in columns]
    encoder, target = table_encoder(chosen, "dense", rows=len(table)), table[dataset.target.name]
    forest = RandomForestRegressor(20, random_state=1)
    forest.fit(encoder.fit_transform(table[columns], target), target)
    return Pipeline([("encode", encoder), ("estimate", forest)])


def values_of(dataset: Dataset, table: pd.DataFrame) -> LearnedValues:
    """Return what the default recipe learns from."""
    columns = dataset.recipe(dataset.default_recipe).columns
    return learned_values(dataset.columns, columns, [table])


def intervals_for(dataset: Dataset) -> Intervals:
    """Return intervals that differ by the prediction and by the hour, within the bounds."""
    random, hours = np.random.default_rng(4), np.arange(6_000)
    predicted = random.uniform(1, 2_000, len(hours))
    noise = np.where(hours % 24 < 9, 0.1, 0.6)
    residuals = Residuals(
        "validation",
        predicted * np.exp(random.normal(0, noise)),
        predicted,
        learned=("a",),
        judged="b",
        times=3_600.0 * hours.astype(np.float64),
    )
    target = dataset.target
    return calibrate(residuals, by_hour=True, lowest=target.above, highest=target.highest)


@dataclass(frozen=True)
class Loop:
    """Champions of three datasets behind every entrance."""

    folder: Path
    app: Any
    tens: dict[str, Ten]


async def _anybody(_scope: Any) -> Caller:
    return Caller("tests")


@pytest.fixture(scope="module")
def loop(
    tracking_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
    sample_training_set: TrainingSet,
) -> Iterator[Loop]:
    """Register, promote and serve a version of each."""
    folder = tmp_path_factory.mktemp("ten")
    declared = folder / "datasets"
    declared.mkdir()
    (declared / "rooms.toml").write_text(ROOMS)
    bikes = Path(__file__).parents[2] / "include" / "datasets" / "bikes.toml"
    (declared / "bikes.toml").write_text(bikes.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_LOOP_TRACKING_URI", tracking_uri)
        patch.setenv("MODEL_LOOP_STORAGE_ROOT", folder.as_uri())
        patch.setenv("MODEL_LOOP_SERVING_FOLDER", str(folder / "serving"))
        patch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(declared))
        patch.setenv("MODEL_LOOP_SERVING_VARIANTS", "rooms, bikes, green")
        get_settings.cache_clear()
        rooms, table = rooms_table(), bikes_table(folder)
        tables = {"rooms": rooms, "bikes": table}
        models = {
            "rooms": (learned(get_dataset("rooms"), rooms), rooms.head(3)),
            "bikes": (learned(get_dataset("bikes"), table), table.head(3)),
            "green": (
                fit("ensemble.RandomForestRegressor", sample_training_set),
                sample_training_set.example_rows,
            ),
        }
        tracker = Tracker(tracking_uri, "trip-duration-promotion")
        for key, (model, example) in models.items():
            dataset = TRIPS if key == "green" else get_dataset(key)
            recipe = dataset.recipe(
                sample_training_set.recipe.name if key == "green" else dataset.default_recipe
            )
            register_model(
                tracker,
                tracker.open_run(f"ten/{key}", "model", {}),
                model,
                name=dataset.variants[key].model_name,
                example=example[list(recipe.columns)],
                tags={},
                beside=Beside(
                    sample_training_set.learned
                    if key == "green"
                    else values_of(dataset, tables[key]),
                    intervals_for(dataset),
                ),
            )
            Promoter(tracker, key, recipe.moment).act(Action("promote", key, 1), f"ten {key}")
        services = make_services(get_settings(), small=True)
        for service in services.others.values():
            assert isinstance(service, PredictionService), service
            service.start()
            assert service.live.wait(300), "versions are compiled beside everything else"
        app = create_app(
            services.default, _anybody, max_bytes=100_000, max_rows=500, others=services.others
        )
        with (folder / "bikes.csv").open() as file:
            lines = pd.read_csv(file, dtype=str).drop(columns=["cnt", "casual", "registered"])
        texts: list[Any] = lines.iloc[100:1_100:100].to_dict("records")
        trips = [
            {
                "PULocationID": str(70 + number),
                "DOLocationID": str(75 - number),
                "lpep_pickup_datetime": f"2024-03-0{1 + number % 9}T08:3{number}:00",
                "trip_distance": f"{1.5 + number}",
                "passenger_count": str(number),
                "VendorID": "2",
                "trip_type": "1",
            }
            for number in range(10)
        ]
        tens = {
            "rooms": Ten(get_dataset("rooms"), "rooms", *rooms_rows(), delimiter=";"),
            "bikes": Ten(get_dataset("bikes"), "bikes", texts, [_numbers(one) for one in texts]),
            "trips": Ten(TRIPS, "green", trips, [_numbers(one) for one in trips]),
        }
        yield Loop(folder, app, tens)
        services.stop()
    get_settings.cache_clear()


def _numbers(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells of a row as JSON has them."""

    def value(text: str) -> Any:
        try:
            return int(text) if text.isdigit() else float(text)
        except ValueError:
            return text

    return {name: value(text) for name, text in row.items()}


#: Fields of the answer of every entrance.
Said = tuple[float, float, float, float]


def said_of(answers: Sequence[Mapping[str, Any]]) -> list[Said]:
    """Return predictions with their limits and the level of these."""
    return [(one["prediction"], one["lower"], one["upper"], one["level"]) for one in answers]


def by_form(ten: Ten, **more: Any) -> list[dict[str, Any]]:
    """Return what the DAG of predictions answers to its form, filled in for each row."""
    run: Any = SimpleNamespace(
        dag_id="prediction",
        run_id="ten",
        triggering_user_name="Ada",
        run_type=SimpleNamespace(value="manual"),
    )
    defaults = {name: one.value for name, one in prediction_form(ten.dataset).items()}
    found = []
    for row in ten.objects:
        params = {**defaults, **more}
        for column in ten.dataset.columns:
            value = next((row[name] for name in column.names if name in row), None)
            filled = str(value) if column.text and value is not None else value
            params[field_of(ten.dataset, column)] = filled
        (answer,) = prediction.predict(completed_form(ten.dataset, params), run)["predictions"]
        found.append(answer)
    return found


def by_server(
    loop: Loop, ten: Ten, rows: Sequence[Mapping[str, Any]], **more: Any
) -> list[dict[str, Any]]:
    """Return what the server answers to a list."""
    name = ten.dataset.name
    path = f"/{name}" if len(ten.dataset.variants) == 1 else f"/{name}/{ten.variant}"

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(loop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
            return await client.post(f"{path}/predict", json={"inputs": rows, **more}, timeout=300)

    answer = asyncio.run(send())
    assert answer.status_code == 200, answer.text
    answers: list[dict[str, Any]] = answer.json()
    return answers


def counted(loop: Loop, ten: Ten) -> Counter[str]:
    """Return how often the server has said each notice, by ``column: code``."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(loop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
            return await client.get("/metrics")

    families = text_string_to_metric_families(asyncio.run(send()).text)
    return Counter(
        {
            f"{sample.labels['column']}: {sample.labels['code']}": int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "model_loop_notices_total" and sample.labels["variant"] == ten.variant
        }
    )


def by_file(loop: Loop, ten: Ten, name: str, content: bytes, **more: Any) -> list[Said]:
    """Return the predictions that batch scoring writes beside the rows of a file, with limits."""
    return said_of(scored(loop, ten, name, content, **more)[0])


def scored(
    loop: Loop, ten: Ten, name: str, content: bytes, **more: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows that batch scoring writes for a file, and what it says of them."""
    source = loop.folder / f"{ten.dataset.name}-{name}"
    source.write_bytes(content)
    defaults = {each: one.value for each, one in batch_scoring_form(ten.dataset).items()}
    form = completed_form(ten.dataset, {**defaults, "input": str(source), **more})
    chunks = batch_scoring.plan_chunks(form)
    for chunk in chunks:
        batch_scoring.score_chunk(chunk)
    told = batch_scoring.join_outputs(chunks)
    (file,) = told["files"]
    rows = len(ten.objects)
    assert (file["rows"], file["rejected_rows"]) == (rows, 0), file["reason"]
    output = Path(file["output"])
    by_monitoring(ten, output)
    if output.suffix == ".parquet":
        return _records(pd.read_parquet(output)), file
    if output.suffix == ".jsonl":
        lines = output.read_text().splitlines()
        return [json.loads(line) for line in lines], file
    frame = pd.read_csv(output, sep=ten.delimiter, float_precision="round_trip")
    return _records(frame), file


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def by_monitoring(ten: Ten, output: Path) -> None:
    """Let monitoring read what batch scoring has written: the rows that were asked, as they were.

    Predictions of the version for them are those of the file.
    """
    versions = versions_of(ten.variant)
    predictor = load_predictor(versions, choose_versions(versions)[0])
    window = Window.of_days(
        ten.variant, *(dt.datetime(2024, 1, day, tzinfo=dt.UTC) for day in (1, 2))
    )
    seen = of_scored([_output(str(output), ten.dataset)], window, predictor.columns)
    assert len(seen) == len(ten.objects), output
    again = predictor.predict(seen.inputs(predictor.columns))
    assert list(again) == pytest.approx(list(seen.predicted), rel=1e-9), output


def csv_of(ten: Ten) -> bytes:
    """Return the rows as CSV."""
    text = pd.DataFrame(ten.texts).to_csv(index=False, sep=ten.delimiter)
    return text.encode()


def table_of(ten: Ten) -> pa.Table:
    """Return the rows with types."""
    frame = pd.DataFrame(ten.objects)
    if ten.variant == "rooms":
        times = [pd.Timestamp(text) for text in frame["visité"]]
        moments = [at.tz_localize("UTC") if at.tz is None else at for at in times]
        frame["visité"] = pd.Series([at.tz_convert("UTC") for at in moments])
        frame["code"] = frame["code"].map(lambda code: None if code is None else str(code))
        known = {True: True, False: False, "false": False}
        frame["meublé"] = pd.Series([known.get(one) for one in frame["meublé"]], dtype="boolean")
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.mark.parametrize("name", ["rooms", "bikes", "trips"])
def test_ten_rows_from_every_entrance(loop: Loop, name: str) -> None:
    """CSV, gzip, zip, JSON lines, Parquet, Arrow and the form: the same digits; the server, too."""
    ten = loop.tens[name]
    csv = csv_of(ten)
    asked = by_file(loop, ten, "a.csv", csv)
    assert len(set(asked)) > 5, "the rows differ"
    for value, lower, upper, level in asked:
        assert lower < value < upper
        assert level == 90
    assert by_file(loop, ten, "b.csv.gz", gzip.compress(csv)) == asked
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.csv", csv)
    assert by_file(loop, ten, "c.zip", packed.getvalue()) == asked
    lines = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in ten.objects).encode()
    assert by_file(loop, ten, "d.jsonl", lines) == asked
    assert by_file(loop, ten, "e.jsonl.gz", gzip.compress(lines)) == asked
    table, parquet, arrow = table_of(ten), io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    assert by_file(loop, ten, "f.parquet", parquet.getvalue()) == asked
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    assert by_file(loop, ten, "g.arrow", arrow.getvalue()) == asked
    assert said_of(by_form(ten)) == asked
    # The server answers by the compiled form, which adds up trees in another order.
    for rows in (ten.objects, ten.texts):
        for one, other in zip(said_of(by_server(loop, ten, rows)), asked, strict=True):
            assert one == pytest.approx(other, rel=1e-13)
    narrow = by_file(loop, ten, "h.csv", csv, level=62.5)
    assert said_of(by_form(ten, level=62.5)) == narrow
    with pytest.raises(InvalidInputError, match=r"level = 0\.9 is not a number from 50 to 99"):
        by_form(ten, level=0.9)
    assert by_file(loop, ten, "i.jsonl", lines, level=62.5) == narrow
    for one, other in zip(
        said_of(by_server(loop, ten, ten.objects, level=62.5)), narrow, strict=True
    ):
        assert one == pytest.approx(other, rel=1e-13)
    for (_, low, high, level), (_, lower, upper, _) in zip(narrow, asked, strict=True):
        assert lower < low < high < upper
        assert level == 62.5


#: Values that no row of training had, by dataset: the column, the value as CSV has it and as JSON
#: has it, and the notice.
Unseen = Sequence[tuple[str, str, Any, str, str]]
UNSEEN: Mapping[str, Unseen] = {
    "rooms": (
        (
            "Straße",
            "Sud",
            "Sud",
            "unseen_category",
            "strasse is Sud, which no row of training had; known: ",
        ),
        (
            "Straße",
            "",
            None,
            "unseen_missing",
            "strasse is missing, and every row of training had it",
        ),
        ("étage", "400", 400, "out_of_range", "etage is 400, and all rows of training had 3 to 12"),
        (
            "surface (m²)",
            "3.895,5",
            3895.5,
            "out_of_range",
            "surface_m2 is 3895.5, and all rows of training had 70 to 1234.5",
        ),
        (
            "visité",
            "2031-01-01 00:00:00",
            "2031-01-01T00:00:00",
            "out_of_time",
            (
                "visite is 2031-01-01T01:00:00, long after the rows of training, which are of "
                "2024-03-01T08:30:00 to 2025-01-01T00:30:00"
            ),
        ),
    ),
    "trips": (
        ("PULocationID", "264", 264, "unseen_category", "pickup_zone is 264, which no row of"),
        ("trip_distance", "9000", 9000, "out_of_range", "trip_distance is 9000, and all"),
        (
            "lpep_pickup_datetime",
            "2031-01-01 00:00:00",
            "2031-01-01T00:00:00",
            "out_of_time",
            "pickup_at is 2031-01-01T00:00:00, long after the rows of training, which are of 2024",
        ),
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_values_that_no_row_of_training_had(loop: Loop, name: str) -> None:
    """The row is answered; form, server and files say the same of it, of a usual row nothing."""
    usual, unseen = loop.tens[name], UNSEEN[name]
    texts, objects = usual.texts[1:2], usual.objects[1:2]
    for column, text, value, _, _ in unseen:
        texts.append({**texts[0], column: text})
        objects.append({**objects[0], column: value})
    ten = replace(usual, texts=texts, objects=objects)
    before = counted(loop, ten)
    by_list = [one.get("notices", []) for one in by_server(loop, ten, objects)]
    counts = Counter(f"{one['column']}: {one['code']}" for each in by_list for one in each)
    assert counted(loop, ten) == before + counts
    assert by_list[0] == []
    for notices, (_, _, _, code, message) in zip(by_list[1:], unseen, strict=True):
        (notice,) = notices
        assert notice["code"] == code
        assert notice["message"].startswith(message)
    assert by_list[1][0]["learned"] in by_list[1][0]["message"]
    assert [one.get("notices", []) for one in by_form(ten)] == by_list
    lines = "".join(f"{json.dumps(one)}\n" for one in objects).encode()
    for file, content in (("n.csv", csv_of(ten)), ("n.jsonl", lines)):
        rows, said = scored(loop, ten, file, content)
        assert said["notices"] == counts
        for row, notices in zip(rows, by_list, strict=True):
            told = [f"{one['message']} ({one['code']})" for one in notices]
            if file == "n.csv":
                assert row["notices"] == told[0] if told else pd.isna(row["notices"])
            else:
                assert (row["notices"] or []) == notices

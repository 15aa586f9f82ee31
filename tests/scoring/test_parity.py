"""The same real trips, predicted in every way there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from tests.scoring.conftest import request_for

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.estimators import Regressor
from model_loop.objects.trust import load_estimator
from model_loop.scoring.batch.planning import by_job, plan_chunks
from model_loop.scoring.batch.scoring import join_chunks, score_chunk
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.scoring.row_requests import predict_rows
from model_loop.serving.compiled.compiler import make_predictor
from model_loop.serving.http.mlflow_protocol import CSV, JSON, read_invocation
from model_loop.serving.http.requests import read_request
from model_loop.tracking.registry import read_model, save_model
from model_loop.training_set.encodings import Encoding
from model_loop.training_set.matrices import Targets
from model_loop.training_set.preparation import build_training_set
from trip_duration.columns import TRIP_READER, local_now
from trip_duration.dataset import TRIPS
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

MOST_ROWS = 10_000
UNSEEN = 1_000
_ZONES = ["PULocationID", "DOLocationID"]
_ATTRIBUTES = ["passenger_count", "VendorID", "trip_type"]


def strange_trips(folder: str) -> pd.DataFrame:
    """Return real trips that no model has learned from, some between zones taken at random."""
    months = ("2023-01", "2023-02", "2024-03", "2024-04")
    trips = pd.concat(
        pd.read_parquet(f"{folder}/green_tripdata_{month}.parquet") for month in months
    )
    trips = trips[trips.trip_distance.ge(0)].sample(MOST_ROWS, random_state=0, ignore_index=True)
    random = np.random.default_rng(0)
    trips.loc[: UNSEEN - 1, _ZONES] = random.integers(1, 266, (UNSEEN, 2), dtype=np.int32)
    return trips


def batch(predictor: Predictor, source: Path) -> Targets:
    """Minutes by way of a file."""
    output = source.with_name(f"o-{source.name}")
    chunks = plan_chunks(
        request_for(predictor, source, output, chunk_rows=3_000), str(source.parent)
    )
    for chunk in chunks:
        score_chunk(chunk, predictor)
    ((job, parts),) = by_job(chunks)
    assert join_chunks(job, parts).predicted_rows == MOST_ROWS
    read = pd.read_parquet if source.suffix == ".parquet" else pd.read_csv
    return read(output)["predicted_minutes"].to_numpy()


def served(model: Path, trips: pd.DataFrame) -> Iterator[Targets]:
    """Minutes by way of the bodies that the server takes."""
    predictor = make_predictor(TRIPS, 1, read_model(model, "The model"))
    assert predictor.compiled, predictor.plain
    sent = trips[[*_ZONES, "lpep_pickup_datetime", "trip_distance", *_ATTRIBUTES]]
    split = json.loads(sent.to_json(orient="split"))
    records = json.loads(sent.to_json(orient="records"))
    for rows in (
        read_request(TRIPS, json.dumps({"inputs": records}).encode(), MOST_ROWS).rows,
        read_invocation(TRIPS, json.dumps({"dataframe_split": split}).encode(), JSON, MOST_ROWS),
        read_invocation(TRIPS, sent.to_csv(index=False).encode(), CSV, MOST_ROWS),
    ):
        yield predictor.predict(np.asarray([row.cells for row in rows]))


@pytest.mark.parametrize(
    ("estimator", "recipe", "encoding"),
    [
        (BoosterRegressor({"max_depth": 9}, rounds=100), "rich", "native"),
        (LinearRegression(), "pair_distance", "one_hot"),
    ],
    ids=["rich", "pair_distance"],
)
def test_every_way_gives_the_same_minutes(
    published_months: str, tmp_path: Path, estimator: Regressor, recipe: str, encoding: Encoding
) -> None:
    """Questions, files, `/predict`, `/invocations` and a notebook's pyfunc agree to 1e-5 minutes.

    On 10,000 trips; those of the server by its compiled form.
    """
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(published_months, "green", split, recipe=recipe, encoding=encoding)
    training_set = build_training_set(request, storage_root=str(tmp_path))
    splits = training_set.layout_for("dense")
    estimator.fit(splits.train_validation, training_set.train_validation_target)
    model = Pipeline([("encode", splits.encoder), ("estimate", estimator)])
    save_model(model, tmp_path / "model", training_set.example_rows)

    trips = strange_trips(published_months)
    raw = trips.rename(columns={"lpep_pickup_datetime": "pickup_datetime"})
    raw = raw.astype(dict.fromkeys(_ATTRIBUTES, float))
    raw = raw.astype(dict.fromkeys(_ZONES, "int32"))
    notebook = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    columns = notebook.metadata.signature.inputs.input_names()
    said = np.asarray(notebook.predict(raw[columns]))
    assert len(said) == MOST_ROWS

    stored = (tmp_path / "model" / "model.skops").read_bytes()
    predictor = Predictor(RegisteredVersion("green", 1), load_estimator(stored), tuple(columns))
    asked = trips.assign(lpep_pickup_datetime=trips.lpep_pickup_datetime.astype(str))
    questions = json.loads(asked.drop(columns="lpep_dropoff_datetime").to_json(orient="records"))
    _, answered = predict_rows(predictor, TRIP_READER.read_rows(questions, local_now), "ended")
    answers = np.array([one["prediction"] for one in answered])
    trips.to_parquet(tmp_path / "trips.parquet", row_group_size=4_000)
    trips.to_csv(tmp_path / "trips.csv", index=False)
    for found in (
        answers,
        *(batch(predictor, tmp_path / f"trips.{k}") for k in ("parquet", "csv")),
        *served(tmp_path / "model", asked),
    ):
        assert np.abs(found - said).max() < 1e-5

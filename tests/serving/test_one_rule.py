"""The same trip, asked in four ways: one answer, or one refusal."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor

from model_loop.errors import ModelLoopError
from model_loop.scoring.columns import check_rows
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.scoring.row_requests import predict_rows
from model_loop.scoring.rows import from_frame
from model_loop.serving.http.mlflow_protocol import read_invocation
from model_loop.serving.http.requests import read_request
from trip_duration.columns import TRIP_READER, local_now
from trip_duration.dataset import TRIPS

WANTED = ("pickup_datetime", "PULocationID", "DOLocationID", "trip_distance", "passenger_count")
GOOD = {
    "pickup_datetime": "2024-01-15 08:30:00",
    "PULocationID": 74,
    "DOLocationID": 75,
    "trip_distance": 1.5,
}


def by_json(trip: dict[str, Any]) -> list[float]:
    """Ask the server."""
    (row,) = read_request(TRIPS, json.dumps(trip).encode(), 10).rows
    return row.cells


def by_records(trip: dict[str, Any]) -> list[float]:
    """Ask the server as MLflow's clients do."""
    body = json.dumps({"dataframe_records": [trip]}).encode()
    return read_invocation(TRIPS, body, "application/json", 10)[0].cells


def by_csv(trip: dict[str, Any]) -> list[float]:
    """Ask the server with CSV."""
    body = ",".join(trip) + "\n" + ",".join(map(str, trip.values())) + "\n"
    return read_invocation(TRIPS, body.encode(), "text/csv", 10)[0].cells


def by_file(trip: dict[str, Any]) -> list[float]:
    """Have a row of a CSV file read, in which everything is text."""
    checked = check_rows(TRIPS, pd.DataFrame([trip]).astype(str), WANTED)
    if checked.reasons[0] is not None:
        raise ValueError(checked.reasons[0])
    return [float(value) for value in from_frame(TRIPS, checked.rows, WANTED)[0]]


def by_dag(trip: dict[str, Any]) -> list[float]:
    """Ask the DAG `prediction`."""
    model = DummyRegressor(strategy="constant", constant=9.0).fit([[0]], [9.0])
    rows = TRIP_READER.read_rows([trip], local_now)
    ((row, *_),), _ = predict_rows(
        Predictor(RegisteredVersion("green", 1), model, WANTED), rows, "ended"
    )
    return row


WAYS = (by_json, by_records, by_csv, by_file, by_dag)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"PULocationID": 74.0}, {"PULocationID": 74}),
        ({"pickup_datetime": "2024-01-15T08:30"}, {}),
        ({"pickup_datetime": "2024-01-15 08:30:00 UTC"}, {"pickup_datetime": -5}),
        ({"pickup_datetime": "2024-01-15 08:30:00+00"}, {"pickup_datetime": -5}),
        ({"pickup_datetime": "2024-01-15T13:30:00Z"}, {}),
        ({"pickup_datetime": "01/15/2024 08:30:00 AM"}, {}),
        ({"fare_amount": 12.5, "RatecodeID": 1, "lpep_dropoff_datetime": "x"}, {}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) or "same" if value else "same",
)
def test_what_is_read(way: Any, changes: dict[str, Any], found: dict[str, float]) -> None:
    """Every way reads the same trip."""
    at = pd.Timestamp("2024-01-15 08:30") + pd.Timedelta(hours=found.get("pickup_datetime", 0))
    expected = {**GOOD, **found, "pickup_datetime": at.timestamp()}
    row = dict(zip(TRIPS.columns.names, way({**GOOD, **changes}), strict=True))
    assert {name: row[name] for name in expected} == expected
    assert math.isnan(row["passenger_count"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PULocationID": 74.5}, ""),
        ({"PULocationID": 266}, ""),
        ({"pickup_datetime": "2024-01-15"}, "day without a time of day; read are 2024-01-15"),
        ({"pickup_datetime": "02/01/2024 08:30:00"}, "is not a time; read are 2024-01-15 08:30:00"),
        ({"pickup_datetime": "9999-12-31 08:30:00"}, "in the year 9999; trips begin from 2000"),
        ({"passenger_count": 1e39}, ""),
        ({"passenger_count": -1}, ""),
        ({"trip_distance": 1e7}, ""),
    ],
)
def test_what_is_refused(way: Any, changes: dict[str, Any], message: str) -> None:
    """Every way refuses the same, and says which times are read."""
    with pytest.raises((ModelLoopError, ValueError)) as caught:
        way({**GOOD, **changes})
    assert message in str(caught.value)


@pytest.mark.parametrize("way", [by_json, by_records, by_csv, by_dag])
def test_a_name_that_nobody_knows(way: Any) -> None:
    """It may be a slip of the pen; a file may have any further column."""
    with pytest.raises(ModelLoopError, match="distnace"):
        way({**GOOD, "distnace": 1.0})
    assert by_file({**GOOD, "distnace": 1.0})

"""Requests that are accepted, and the errors of all others."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
from tests.serving.conftest import TRIP

from model_loop.datasets.reading import RefusedRowsError, Row, seconds_of
from model_loop.errors import ModelLoopError
from model_loop.serving.http.asgi import refusal
from model_loop.serving.http.mlflow_protocol import read_invocation
from model_loop.serving.http.requests import (
    KEY_LENGTH,
    RequestRefusedError,
    check_key,
    read_feedback,
    read_request,
)
from trip_duration.columns import local_now
from trip_duration.dataset import TRIPS

MOST = 100
#: 2024-03-01 08:00:00 on the city's clocks.
AT = 1_709_280_000.0
ROW = [74.0, 75.0, AT, 1.5, math.nan, math.nan, math.nan]


def read(body: object) -> list[list[float]]:
    """Rows of a request."""
    return [row.cells for row in read_request(TRIPS, json.dumps(body).encode(), MOST).rows]


def same(found: list[list[float]], expected: list[list[float]]) -> bool:
    """Whether rows are the same, unknown values included."""
    return repr(found) == repr(expected)


def test_a_trip_and_trips() -> None:
    """One trip, or several, with or without a key."""
    assert same(read(TRIP), [ROW])
    rows, key, *_ = read_request(
        TRIPS, json.dumps({"inputs": [TRIP, TRIP], "key": "k"}).encode(), MOST
    )
    assert len(rows) == 2
    assert key == "k"


@pytest.mark.parametrize(
    "name", ["lpep_pickup_datetime", "tpep_pickup_datetime", "pickup_datetime"]
)
def test_names_of_tlc(name: str) -> None:
    """TLC's names stand for ours."""
    given = {
        "PULocationID": 74,
        "DOLocationID": 75,
        name: TRIP["pickup_at"],
        "trip_miles": 1.5,
        "VendorID": 2,
        "passenger_count": 1.0,
        "trip_type": None,
    }
    assert same(read(given), [[74.0, 75.0, AT, 1.5, 1.0, 2.0, math.nan]])


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("2024-03-01T08:00:00", AT),
        ("2024-03-01 08:00:00.9", AT),
        ("2024-03-01T13:00:00Z", AT),
        ("2024-03-01T14:00:00+01:00", AT),
        # In summer, New York is four hours behind.
        ("2024-07-01T12:00:00Z", 1_719_820_800.0),
    ],
)
def test_clocks(time: str, seconds: float) -> None:
    """Times without an offset are the city's; others are converted."""
    assert read({**TRIP, "pickup_at": time})[0][2] == seconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pickup_zone": 0}, "pickup_zone = 0 is not a zone from 1 to 265"),
        ({"dropoff_zone": 266}, "dropoff_zone = 266 is not a zone from 1 to 265"),
        ({"dropoff_zone": 10**40}, "is not a zone from 1 to 265"),
        ({"dropoff_zone": 10**400}, "a whole number of more than 60 digits is not a zone"),
        ({"pickup_zone": "Atlantis"}, "pickup_zone = Atlantis is unknown"),
        ({"pickup_zone": 74.5}, "pickup_zone = 74.5 is not a zone"),
        ({"pickup_zone": True}, "pickup_zone = True is not a number"),
        ({"pickup_zone": None}, "pickup_zone is missing"),
        ({"trip_distance": -0.1}, "is not a distance from 0 to 1,000,000 miles"),
        ({"trip_distance": 1e7}, "is not a distance from 0 to 1,000,000 miles"),
        ({"trip_distance": "far"}, "trip_distance = far is not a number"),
        ({"trip_distance": [1.5]}, "is not a number"),
        ({"pickup_at": "yesterday"}, "RFC3339"),
        ({"pickup_at": 20_240_115}, "pickup_at = 20240115 is not a time"),
        ({"pickup_at": "2024-01-15"}, "is a day without a time of day"),
        ({"pickup_at": "0001-01-01T00:00:00Z"}, "in the year 1;"),
        ({"pickup_at": "1701-01-01T00:00:00"}, "in the year 1701"),
        ({"pickup_at": "9999-12-31T23:59:59-12:00"}, "in the year 9999"),
        ({"passenger_count": -1}, "is not a number from 0 to 1,000"),
        ({"passenger_count": 5_000}, "is not a number from 0 to 1,000"),
        ({"distance": 3}, "distance is not a column of this table. Did you mean trip_distance?"),
        ({"PULocationID": 3}, "PULocationID is the same column as pickup_zone"),
        ({"pickup_datetime": "2024-03-01T08:00:00"}, "is the same column as pickup_at"),
        ({"key": "k" * 201}, "is not text, is too long"),
        ({"key": 7}, "is not text"),
        ({"moment": "later"}, "'later' is unknown"),
        ({"inputs": []}, "beside `inputs`"),
    ],
)
def test_what_breaks_a_rule(changes: dict[str, Any], message: str) -> None:
    """Each is refused with the rule that it breaks."""
    with pytest.raises(ModelLoopError) as caught:
        read({**TRIP, **changes})
    assert refusal(caught.value).status == 422
    assert message in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Of every row, with its place in the list."""
    body = {"inputs": [TRIP, {"pickup_zone": 0, "trip_distance": -1, "speed": 2}]}
    with pytest.raises(RefusedRowsError) as caught:
        read(body)
    told = json.loads(refusal(caught.value).body)["error"]
    assert told["given"] == "inputs[1].pickup_zone = 0"
    assert "and 3 more" in told["rule"]
    assert [one["given"] for one in told["problems"]] == [
        "inputs[1].pickup_zone = 0",
        "inputs[1].trip_distance = -1",
        "inputs[1].speed",
        "inputs[1].dropoff_zone",
    ]
    assert all(one["rule"] and one["remedy"] for one in told["problems"])


def test_a_secret_in_a_value_is_masked() -> None:
    """A value is quoted in the answer, and the answer may be logged."""
    secret = "https://me:hunter2@example.com"  # noqa: S105 - a test
    with pytest.raises(RefusedRowsError) as caught:
        read({**TRIP, "pickup_zone": secret})
    assert b"hunter2" not in refusal(caught.value).body


@pytest.mark.parametrize("zone", [264, 265])
def test_zones_that_tlc_has_for_unknown(zone: int) -> None:
    """264 (unknown) and 265 (outside) are zones like others."""
    assert read({**TRIP, "dropoff_zone": zone})[0][1] == zone


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"pickup_zone": NaN}', 400),
        (b'{"pickup_zone": 1, "dropoff_zone": 2, "trip_distance": Infinity}', 400),
        (b'{"pickup_zone": 1, "dropoff_zone": 2, "trip_distance": 1e999}', 400),
        (b"[" * 60_000, 400),
        (b"[" * 100_000, 413),
        (b"[]", 422),
        (b"7", 422),
        (b"{}", 422),
        (b'{"inputs": []}', 422),
        (b'{"inputs": [{}]}', 422),
        (b'{"inputs": [' + b",".join([b"{}"] * (MOST + 1)) + b"]}", 413),
    ],
)
def test_bodies_that_are_no_request(body: bytes, status: int) -> None:
    """Every malformed body gets an answer with the reason."""
    with pytest.raises(ModelLoopError) as caught:
        read_request(TRIPS, body, MOST)
    assert refusal(caught.value).status == status, caught.value


RECORD = {"PULocationID": 74, "DOLocationID": 75, "trip_distance": 1.5}


def is_the_record(found: list[Row]) -> bool:
    """Return whether rows are the record alone, which begins now."""
    ((row, assumed, _),) = found
    now = seconds_of(local_now())
    others = [value for place, value in enumerate(row) if place != 2]
    expected = [74.0, 75.0, 1.5, math.nan, math.nan, math.nan]
    return same([others], [expected]) and now - 60 < row[2] <= now and assumed == ("pickup_at",)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(RECORD), "data": [list(RECORD.values())]}},
        {
            "dataframe_split": {
                "index": [0],
                "columns": list(RECORD),
                "data": [list(RECORD.values())],
            }
        },
        {"dataframe_records": [RECORD]},
        {"instances": [RECORD]},
        {"inputs": [RECORD]},
        {"inputs": RECORD},
        {"inputs": {name: [value] for name, value in RECORD.items()}, "params": {}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_forms_of_mlflow(body: object) -> None:
    """All forms of MLflow's protocol are the same trip."""
    found = read_invocation(
        TRIPS, json.dumps(body).encode(), "application/json; charset=utf-8", MOST
    )
    assert is_the_record(found)


def test_csv() -> None:
    """CSV holds text, and an empty cell is unknown."""
    body = b"PULocationID,DOLocationID,trip_distance,passenger_count\r\n74,75,1.5,\r\n"
    assert is_the_record(read_invocation(TRIPS, body, "text/csv", MOST))


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/xml", 415),
        (b"{", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"[" * 100_000, "application/json", 413),
        (b"{}", "application/json", 422),
        (b'{"instances": [], "inputs": []}', "application/json", 422),
        (b'{"instances": []}', "application/json", 422),
        (b'{"instances": [1]}', "application/json", 422),
        (b'{"instances": [{"PULocationID": 74}], "params": {"a": 1}}', "application/json", 422),
        (b'{"inputs": {"PULocationID": [1], "DOLocationID": [1, 2]}}', "application/json", 422),
        (b'{"dataframe_split": {"columns": ["PULocationID"]}}', "application/json", 422),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "application/json", 422),
        (
            b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}',
            "application/json",
            422,
        ),
        (b'{"dataframe_split": 7}', "application/json", 422),
        (b"", "text/csv", 422),
        (b"\xff", "text/csv", 400),
        (b"PULocationID,PULocationID\n1,2\n", "text/csv", 422),
        (b"PULocationID,DOLocationID\n1\n", "text/csv", 422),
        (b"PULocationID,DOLocationID\none,two\n", "text/csv", 422),
        (b"PULocationID,DOLocationID,trip_distance\n1,2,inf\n", "text/csv", 422),
        (b"PULocationID,DOLocationID\n" + b"1,2\n" * (MOST + 1), "text/csv", 413),
    ],
)
def test_invocations_that_are_none(body: bytes, kind: str, status: int) -> None:
    """Each is refused."""
    with pytest.raises(ModelLoopError) as caught:
        read_invocation(TRIPS, body, kind, MOST)
    assert refusal(caught.value).status == status


@pytest.mark.parametrize(
    ("kind", "begin", "trip", "end"),
    [
        ("predict", b'{"inputs":[', b"{},", b"{}]}"),
        ("feedback", b"[", b"{},", b"{}]"),
        ("application/json", b'{"instances":[', b"{},", b"{}]}"),
        ("application/json", b'{"dataframe_split":{"columns":[],"data":[', b"[],", b"[]]}}"),
        ("application/json", b'{"inputs":{"PULocationID":[', b"1,", b"1]}}"),
        ("text/csv", b"PULocationID\n", b"1\n", b""),
    ],
)
def test_trips_are_counted_before_they_take_their_room(
    kind: str, begin: bytes, trip: bytes, end: bytes
) -> None:
    """Far too many trips are refused in a few times the memory of their body."""
    body = begin + trip * 250_000 + end
    readers = {"predict": read_request, "feedback": read_feedback}
    tracemalloc.start()
    try:
        with pytest.raises(RequestRefusedError, match="more than 100 rows") as caught:
            readers[kind](TRIPS, body, MOST) if kind in readers else read_invocation(
                TRIPS, body, kind, MOST
            )
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413


def test_keys() -> None:
    """Brackets are a valid key; one that is too long, or that a database rejects, is not."""
    key = "{[" * (KEY_LENGTH // 2)
    body = json.dumps({"inputs": [TRIP] * MOST, "key": key}).encode()
    assert read_request(TRIPS, body + b" " * 100_000, MOST)[1] == check_key(key) == key
    assert check_key("") is None
    for wrong in ("\0", "x" * (KEY_LENGTH + 1)):
        with pytest.raises(RequestRefusedError) as caught:
            check_key(wrong)
        assert caught.value.status == 422
        with pytest.raises(RequestRefusedError):
            read({**TRIP, "key": wrong})


def test_feedback() -> None:
    """One or several; minutes are more than none and at most a day."""
    one = {"prediction_id": "a" * 32, "actual_minutes": 12.5}
    assert read_feedback(TRIPS, json.dumps(one).encode(), MOST) == {"a" * 32: 12.5}
    assert read_feedback(TRIPS, json.dumps([one]).encode(), MOST) == {"a" * 32: 12.5}
    for wrong in ({"actual_minutes": 0}, {"actual_minutes": 1_441}, {"prediction_id": "x"}):
        with pytest.raises(ModelLoopError):
            read_feedback(TRIPS, json.dumps({**one, **wrong}).encode(), MOST)

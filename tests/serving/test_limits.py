"""Limits of intervals in answers of the server, in its log, and in what is read of it."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, inspect
from tests.serving.conftest import TRIP, Server

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.errors import InvalidInputError
from model_loop.intervals.adaptive import Correction
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.models.calibrating import bounds_of
from model_loop.scoring.limits import NO_LIMITS, limit_names, limits_in_words, limits_of_rows
from model_loop.serving.http.requests import open_request
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.export import read_day
from model_loop.serving.request_log.tables import LIMITS, open_log
from model_loop.tracking.deployments import Deployment
from trip_duration.dataset import TRIPS

Make = Callable[..., Server]

PARKS = """
name = "parks"
target = "visitors"
source = "parks.csv"
[columns.level]
type = "number"
[columns.visitors]
type = "number"
constraints = {minimum = 0}
"""


@pytest.fixture(scope="session")
def intervals() -> Intervals:
    """Intervals of positive values, wider by day than by night, none of which is above 60."""
    random = np.random.default_rng(1)
    hours = np.arange(6_000) % 24
    predicted = random.lognormal(2.5, 0.5, len(hours))
    noise = np.where((hours > 7) & (hours < 20), 0.5, 0.1)
    actual = predicted * np.exp(random.normal(0, noise))
    times = 3_600.0 * np.arange(6_000, dtype=np.float64)
    residuals = Residuals("validation", actual, predicted, ("a",), "b", times)
    found = calibrate(residuals, by_hour=True, lowest=0.0, highest=60.0)
    assert found.groups, "hours differ"
    return found


@pytest.fixture
def server(make_server: Make, predictors: dict[int, ServedVersion], intervals: Intervals) -> Server:
    """A server whose champion has intervals; another version has none."""
    made = make_server(Deployment(champion=1))
    made.registry.predictors = {
        7: replace(predictors[1], version=7, intervals=intervals),
        **predictors,
    }
    made.registry.now = Deployment(champion=7)
    made.live.refresh()
    return made


def test_answers_have_limits_of_the_level_that_is_asked(
    server: Server, intervals: Intervals
) -> None:
    """90 % by default; one row, and a list; wider for a higher level, and by the row's own hour."""
    (day,) = server.predict(TRIP)
    prediction = day["prediction"]
    assert (day["lower"], day["upper"]) == intervals.at(90.0).limits(prediction, 8)
    assert day["level"] == 90
    assert day["lower"] < prediction < day["upper"]
    night = {**TRIP, "pickup_at": "2024-03-01T23:59:59.9"}
    few, many = (server.predict({"inputs": [TRIP, night], "level": level}) for level in (50, 98.7))
    for one, other, hour in zip(few, many, (8, 23), strict=True):
        assert (one["level"], other["level"]) == (50, 98.7)
        assert (one["lower"], one["upper"]) == intervals.at(50.0).limits(one["prediction"], hour)
        assert other["lower"] < one["lower"] < one["upper"] < other["upper"]
    assert server.predict({**TRIP, "level": 80})[0]["level"] == 80


@pytest.mark.parametrize("level", [49.9, 99.1, 0.9, -1, 1e9, True, "90", [90]])
@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_a_level_out_of_its_bounds_is_refused_by_name(
    server: Server, level: object, path: str
) -> None:
    """A share, a text or a list is no percentage from 50 to 99; nothing is answered or logged."""
    body: dict[str, Any] = {"inputs": [TRIP]}
    body |= {"level": level} if path == "/predict" else {"params": {"level": level}}
    refused = server.ask("POST", path, json=body)
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert error["given"] == f"level = {f'{level:g}' if isinstance(level, float) else repr(level)}"
    assert error["rule"] == "is not a number from 50 to 99"
    assert "percentage" in error["remedy"]
    assert server.log.counts.written == server.log.waiting == 0


def test_the_correction_of_closed_days_moves_the_limits_at_the_next_look(
    server: Server, intervals: Intervals
) -> None:
    """Limits alone; the champion stays the same version, and the one before it is still kept."""
    (before,) = server.predict(TRIP)
    correction = Correction(bias=0.3, lower=0.5, upper=0.2, version=4, day="2024-03-04")
    server.registry.corrections = {7: correction, 8: correction}
    server.live.look()
    (answer,) = server.predict(TRIP)
    assert answer["prediction"] == before["prediction"]
    limits = intervals.at(90.0, correction).limits(answer["prediction"], 8)
    assert (answer["lower"], answer["upper"]) == limits
    assert answer["upper"] > before["upper"]
    kept = server.live.now.champion
    server.live.look()
    assert server.live.now.champion is kept
    tries = list(server.registry.tries)
    server.registry.now = Deployment(champion=1)
    server.live.refresh()
    assert server.registry.tries == tries


def test_a_version_of_before_answers_null(server: Server) -> None:
    """For all three, in answers, in the log, and by MLflow's protocol."""
    server.registry.now = Deployment(champion=2)
    server.live.refresh()
    (answer,) = server.predict({**TRIP, "level": 80})
    nothing = {"lower": None, "upper": None, "level": None}
    assert {name: answer[name] for name in nothing} == nothing
    found = server.ask("GET", f"/predictions/{answer['prediction_id']}").json()
    assert {name: found[name] for name in nothing} == nothing
    body = {"inputs": [TRIP], "params": {"level": 80}}
    told = server.ask("POST", "/invocations", json=body).json()
    assert (told["lower"], told["upper"], told["level"]) == ([None], [None], None)


def test_invocations_stay_plain_without_the_parameter(server: Server) -> None:
    """With `level` among MLflow's parameters, limits stand beside; no other parameter is taken."""
    body = {"inputs": [TRIP, TRIP]}
    plain = server.ask("POST", "/invocations", json=body).json()
    assert {"lower", "upper", "level"}.isdisjoint(plain)
    assert {"lower", "upper", "level"}.isdisjoint(
        server.ask("POST", "/invocations", json={**body, "params": {}}).json()
    )
    answer = server.predict({**TRIP, "level": 80})[0]
    asked = server.ask("POST", "/invocations", json={**body, "params": {"level": 80}}).json()
    assert asked["lower"] == [answer["lower"]] * 2
    assert asked["upper"] == [answer["upper"]] * 2
    assert asked["level"] == 80
    for params in ({"level": 80, "width": 1}, [80]):
        refused = server.ask("POST", "/invocations", json={**body, "params": params})
        assert (refused.status_code, refused.json()["error"]["given"]) == (422, "`params`")


def test_the_log_keeps_limits(server: Server) -> None:
    """Looked up by id and exported by day: those of the answer, also of one that shows none."""
    (answer,) = server.predict({**TRIP, "level": 80})
    (plain,) = server.ask("POST", "/invocations", json={"inputs": [TRIP]}).json()["prediction_ids"]
    found = server.ask("GET", f"/predictions/{answer['prediction_id']}").json()
    assert [found[name] for name in LIMITS] == [answer[name] for name in LIMITS]
    day = dt.datetime.now(tz=dt.UTC).date()
    frame = read_day(server.log.engine, day, TRIPS).set_index("prediction_id")
    for name in LIMITS:
        assert frame.loc[answer["prediction_id"], name] == answer[name]
        assert frame[name].dtype == "float64"
    assert frame.loc[plain, "level"] == 90
    assert frame.loc[plain, "lower"] < answer["lower"]


def test_a_log_of_before_is_read_and_written(tmp_path: Path) -> None:
    """Its table gets the columns; neither its predictions nor those of a spool have limits."""
    old = create_engine(f"sqlite:///{tmp_path / 'requests.db'}")
    open_log("", tmp_path).dispose()
    with old.begin() as connection:
        for name in LIMITS:
            connection.exec_driver_sql(f"ALTER TABLE predictions DROP COLUMN {name}")
        connection.exec_driver_sql(
            "INSERT INTO predictions (prediction_id, at, service, version, part, caller, minutes, "
            "latency_ms) VALUES ('a', 86400, 'green', 1, 'champion', 'ada', 5.5, 1)"
        )
    engine = open_log("", tmp_path)
    assert {*LIMITS} <= {column["name"] for column in inspect(engine).get_columns("predictions")}
    frame = read_day(engine, dt.date(1970, 1, 2), TRIPS)
    assert frame.loc[0, "prediction"] == 5.5
    assert frame[[*LIMITS]].isna().all(axis=None)
    before = msgspec.msgpack.encode(
        ("a", 1.0, "green", 1, "champion", "ada", None, 5.5, 1.0, [], "")
    )
    read = msgspec.msgpack.decode(before, type=Entry)
    assert (read.lower, read.upper, read.level) == (None, None, None)


def test_a_column_of_a_table_may_have_the_same_name() -> None:
    """Beside a single row, `level` is the column; beside a list, that of the intervals."""
    parks = dataset_of(parse_declaration(PARKS, "parks.toml"))
    single = open_request(parks, json.dumps({"level": 3}).encode(), 9)
    assert (single.level, single.read(parks)[0].cells) == (90.0, [3.0])
    body = {"inputs": [{"level": 3}], "level": 80}
    several = open_request(parks, json.dumps(body).encode(), 9)
    assert (several.level, several.read(parks)[0].cells) == (80.0, [3.0])
    assert limit_names(parks.columns.fields) == ("lower", "upper", "predicted_level")


def test_limits_end_at_declared_bounds() -> None:
    """Those of the target's column in the file, or of the target of a dataset in Python."""
    parks = dataset_of(parse_declaration(PARKS, "parks.toml"))
    assert bounds_of(parks) == (0.0, math.inf)
    assert bounds_of(TRIPS) == (TRIPS.target.above, TRIPS.target.highest)


def test_one_row_and_many_have_the_same_limits(intervals: Intervals) -> None:
    """To the last digit, whatever the hour and the prediction; none leaves the bounds."""
    random = np.random.default_rng(2)
    predictions = np.concatenate([random.lognormal(2.5, 1.5, 500), [0.0, -3.0, 1e-9, 1e6]])
    times = random.uniform(-1e9, 2e9, len(predictions))
    times[::7] = math.nan
    lower, upper = intervals.at(90.0).limits_of(predictions, times)
    place = TRIPS.columns.places["pickup_datetime"]
    rows = [[math.nan] * len(TRIPS.columns) for _ in times]
    for row, at in zip(rows, times.tolist(), strict=True):
        row[place] = at
    found = limits_of_rows(intervals, TRIPS, 90.0, predictions.tolist(), rows)
    assert [one.lower for one in found] == lower.tolist()
    assert [one.upper for one in found] == upper.tolist()
    inside = (predictions > 0) & (predictions <= 60)
    assert ((lower <= predictions) & (predictions <= upper))[inside].all()
    assert ((lower >= 0) & (upper <= 60)).all()


def test_answers_are_as_wide_as_the_errors_of_their_rows(
    server: Server, predictors: dict[int, ServedVersion], intervals: Intervals
) -> None:
    """One row and many: by its place, its way and its hour, on the clocks of the table."""
    bins = (
        ScaleBins("category", "PULocationID", values=(74.0,)),
        ScaleBins("number", "trip_distance", edges=(1.0, 5.0)),
        ScaleBins("hour"),
    )
    factors = (
        ScaleFactors(0, -1, (400, 0)),
        ScaleFactors(1, 2, tuple(range(-50, 50))),
    )
    scaled = replace(intervals, scale=ErrorScale(0.1, bins, factors))
    server.registry.predictors[9] = replace(predictors[1], version=9, intervals=scaled)
    server.registry.now = Deployment(champion=9)
    server.live.refresh()
    elsewhere = {**TRIP, "pickup_zone": 1, "pickup_at": "2024-03-01T23:59:59.9"}
    found = server.predict({"inputs": [TRIP, elsewhere]})
    places = TRIPS.columns.places
    frame = pd.DataFrame({name: [math.nan, math.nan] for name in places})
    frame["PULocationID"] = [74, 1]
    frame["trip_distance"] = 1.5
    times = np.array([8.5, 23.99]) * 3_600
    predicted = np.array([answer["prediction"] for answer in found])
    sizes = scaled.sizes(predicted, times, frame)
    assert sizes is not None
    low, high = scaled.at(90.0).limits_of(predicted, times, sizes)
    assert [answer["lower"] for answer in found] == pytest.approx(low.tolist())
    assert [answer["upper"] for answer in found] == pytest.approx(high.tolist())
    assert sizes[0] > 1.3 * sizes[1]


def test_what_is_not_finite_is_no_limit() -> None:
    """Too few rows for a level, and a prediction that is no number: None, which JSON has."""
    few = replace(
        calibrate(Residuals("validation", np.arange(30.0), np.arange(30.0) + 1, ("a",), "b")),
        lowest=None,
    )
    rows = [[math.nan] * len(TRIPS.columns)]
    assert limits_of_rows(few, TRIPS, 99.0, [5.0], rows) == [(None, None, 99.0)]
    assert limits_of_rows(few, TRIPS, 50.0, [5.0], rows)[0].lower is not None
    assert limits_of_rows(few, TRIPS, 50.0, [math.nan], rows) == [(None, None, 50.0)]
    assert limits_of_rows(None, TRIPS, 50.0, [5.0], rows) == [NO_LIMITS]


def test_a_biased_model_has_its_prediction_within_the_limits() -> None:
    """All true values lie above the predictions: the interval begins with the prediction."""
    predicted = np.linspace(-50, 50, 1_000)
    biased = calibrate(Residuals("validation", predicted + 3, predicted, ("a",), "b"))
    assert biased.at(90.0).limits(1.5) == (1.5, 4.5)
    low, high = biased.at(90.0).limits_of(np.array([1.5]))
    assert (low.tolist(), high.tolist()) == ([1.5], [4.5])


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((14.2371, 20.4119, 90.0), ", between 14.2 and 20.5 (90 %)"),
        ((-0.012345, 0.0, 80.0), ", between -0.0124 and 0 (80 %)"),
        ((123456.7, 234567.1, 98.5), ", between 123456 and 234568 (98.5 %)"),
        ((None, 20.41, 90.0), ", at most 20.5 (90 %)"),
        ((14.29, None, 90.0), ", at least 14.2 (90 %)"),
        ((None, None, 90.0), ""),
        ((None, None, None), ""),
    ],
)
def test_limits_in_words_are_rounded_outwards(limits: tuple[Any, ...], words: str) -> None:
    """The interval of the words holds that of the numbers."""
    assert limits_in_words(dict(zip(LIMITS, limits, strict=True))) == words


def test_a_lookup_is_made_once_for_a_level(intervals: Intervals) -> None:
    """Another level makes another, and a flood of levels does not fill the memory."""
    assert intervals.at(80.0) is intervals.at(80.0)
    for level in np.linspace(50, 99, 500):
        intervals.at(float(level))
    assert len(intervals._bands) <= 64
    with pytest.raises(InvalidInputError, match=r"level = 99\.5"):
        intervals.at(99.5)

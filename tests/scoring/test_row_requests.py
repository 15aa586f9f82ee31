"""Trips as people and programs ask for them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from tests.scoring.test_damaged_files import scored

from model_loop.errors import InvalidInputError
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.predictor import Predictor, VersionAddress, parse_model
from model_loop.scoring.row_requests import predict_rows
from trip_duration.columns import TRIP_READER
from trip_duration.typical import typical_distance, typical_miles
from trip_duration.zones import mapped_zones

#: By the city's clocks.
NOON = dt.datetime(2024, 3, 4, 12, 0)  # noqa: DTZ001 - the city's clocks
FIRST = {"PULocationID": 239, "DOLocationID": 236, "trip_distance": 1.98}
SECOND = {"PULocationID": 170, "DOLocationID": 65, "trip_distance": 6.54}


def ask(
    predictor: Predictor, records: Sequence[object], now: dt.datetime = NOON
) -> list[dict[str, Any]]:
    """Ask a version at the moment of ended trips, as the DAG `prediction` does."""
    return predict_rows(predictor, TRIP_READER.read_rows(records, lambda: now), "ended")[1]


def test_answers_are_those_of_the_model(predictor: Predictor) -> None:
    """Minutes as the model says, an id of its own for each, and the version."""
    found = ask(predictor, [FIRST, SECOND], NOON)
    trips = pd.DataFrame([FIRST, SECOND]).assign(
        pickup_datetime=pd.Timestamp("2024-03-04 12:00"), passenger_count=np.nan
    )
    trips[["VendorID", "trip_type"]] = np.nan
    expected = predictor.model.predict(trips[list(predictor.columns)])
    assert [one["prediction"] for one in found] == expected.tolist()
    assert [one["minutes"] for one in found] == expected.tolist()
    assert len({uuid.UUID(one["prediction_id"]) for one in found}) == 2
    assert {(one["model_version"], one["unit"], one["moment"]) for one in found} == {
        (7, "min", "ended")
    }
    assert found[0]["assumed"] == {"pickup_at": "2024-03-04T12:00:00"}


def test_friendly_names_mean_the_same(predictor: Predictor) -> None:
    """Names of zones, TLC's names of columns, and times of other places."""
    asked: list[Mapping[str, Any]] = [
        {**FIRST, "lpep_pickup_datetime": "2024-03-04 12:00:00", "passenger_count": 2},
        {
            "pickup_zone": "Manhattan - Upper West Side South",
            "dropoff_zone": "236",
            "trip_miles": 1.98,
            "pickup_at": "2024-03-04T17:00:00Z",
            "passenger_count": 2,
            "fare_amount": 12.5,
        },
    ]
    first, second = ask(predictor, asked)
    assert {**first, "prediction_id": ""} == {**second, "prediction_id": ""}


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("PULocationID", "7.4e1", True),
        ("PULocationID", "7400e-2", True),
        ("PULocationID", "7.45e1", False),
        ("PULocationID", True, False),
        ("trip_distance", True, False),
        ("trip_distance", "1e1", True),
        ("passenger_count", False, False),
        ("PULocationID", 10**400, False),
        ("trip_distance", 10**400, False),
        ("passenger_count", -(10**400), False),
        ("trip_distance", [1.0], False),
    ],
)
def test_one_rule_for_numbers(
    predictor: Predictor, tmp_path: Path, name: str, value: object, *, good: bool
) -> None:
    """The library behind the DAG `prediction` and a CSV file take, and refuse, the same."""
    trip = {**FIRST, "pickup_at": "2024-03-04T12:00:00", name: value}
    if good:
        assert len(ask(predictor, [trip])) == 1
    else:
        with pytest.raises(InvalidInputError, match=r"inputs\[0\]") as refused:
            ask(predictor, [trip])
        assert len(str(refused.value)) < 1_000
    pd.DataFrame([{name: str(one) for name, one in trip.items()}]).to_csv(
        tmp_path / "a.csv", index=False
    )
    result = scored(predictor, tmp_path / "a.csv")
    assert (result.rows, result.predicted_rows) == (1, int(good))


def test_the_typical_distance_stands_in(predictor: Predictor) -> None:
    """Without a distance the typical one is reckoned with, and the answer says so."""
    (found,) = ask(predictor, [{"pickup_zone": 239, "dropoff_zone": 236}])
    assert found["assumed"]["trip_distance"] == typical_distance(239, 236)
    (given,) = ask(predictor, [{**FIRST, "pickup_at": "2024-03-04T12:00:00"}])
    assert "assumed" not in given


def test_a_model_that_knows_no_distance_needs_none(predictor: Predictor) -> None:
    """Nothing is reckoned with that the model does not ask for."""
    model = DummyRegressor(strategy="constant", constant=9.0).fit([[0, 0]], [9.0])
    plain = replace(predictor, model=model, columns=("PULocationID", "DOLocationID"))
    (found,) = ask(plain, [{"pickup_zone": 264, "dropoff_zone": 265}])
    assert found["prediction"] == 9.0
    assert [*found["assumed"]] == ["pickup_at"]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"dropoff_zone": 1}, "inputs[1].pickup_zone is missing"),
        ({**FIRST, "PULocationID": "Atlantis"}, "inputs[1].PULocationID = Atlantis is unknown"),
        ({**FIRST, "DOLocationID": 0}, "inputs[1].DOLocationID = 0 is not a zone from 1 to 265"),
        ({**FIRST, "trip_distance": -1}, "inputs[1].trip_distance = -1 is not a distance from 0"),
        ({**FIRST, "trip_distance": "far"}, "trip_distance = far is not a number"),
        ({**FIRST, "pickup_at": "soon"}, "pickup_at = soon is not a time"),
        ({**FIRST, "distnace": 1}, "inputs[1].distnace is not a column of this table"),
        ({**FIRST, "pickup_zone": 239}, "pickup_zone is the same column as PULocationID"),
        ({"pickup_zone": 264, "dropoff_zone": 1}, "and a zone has no place on the map"),
        ("239 to 236", "is not a row"),
    ],
)
def test_a_question_that_breaks_a_rule(
    predictor: Predictor, question: Mapping[str, Any], message: str
) -> None:
    """The message names the question and the rule, and nothing is predicted."""
    with pytest.raises(InvalidInputError) as caught:
        ask(predictor, [FIRST, question])
    assert message in str(caught.value)


def test_typical_distances_are_plausible() -> None:
    """As far as a cab drives; the same both ways; and more than nothing within a zone."""
    assert 1.3 < typical_distance(239, 236) < 2.5
    assert 15 < typical_distance(132, 230) < 19
    ids = mapped_zones().index.to_numpy(dtype=np.int64)
    there = typical_miles(*(side.ravel() for side in np.meshgrid(ids, ids))).reshape(len(ids), -1)
    assert np.allclose(there, there.T)
    assert 0 < there.min() < there.max() < 60


def test_ids_are_uuids_that_sort_by_time() -> None:
    """Version 7 of RFC 9562, all different."""
    first, second = new_ids(10_000), new_ids(1)
    found = [uuid.UUID(one.decode()) for one in first]
    assert len(set(found)) == 10_000
    assert {(one.version, one.variant) for one in found} == {(7, uuid.RFC_4122)}
    assert first[0][:13] <= second[0][:13]
    assert len(new_ids(0)) == 0


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("3", VersionAddress("green", 3)),
        ("models:/trip_duration_yellow/12", VersionAddress("yellow", 12)),
        ("models:/trip_duration_green@champion", VersionAddress("green", alias="champion")),
        ("models:/trip_duration_green@shadow_ended", VersionAddress("green", alias="shadow_ended")),
    ],
)
def test_addresses_of_models(text: str, meant: VersionAddress) -> None:
    """A number, or an address of MLflow's."""
    assert parse_model(text, "green") == meant


@pytest.mark.parametrize("text", ["", "three", "models:/other/1", "runs:/abc/model"])
def test_what_is_no_address(text: str) -> None:
    """Nothing but our registered models is loaded."""
    with pytest.raises(InvalidInputError, match="is not a version of a registered model"):
        parse_model(text, "green")


@pytest.mark.parametrize("alias", ["champion_", "champion_later", "Champion", "champion/3"])
def test_only_aliases_that_are_set_here_are_known(alias: str) -> None:
    """The refusal lists them all, those of each moment."""
    with pytest.raises(InvalidInputError, match=r"is unknown\. Choose one of: champion, .*_ended"):
        parse_model(f"models:/trip_duration_green@{alias}", "green")

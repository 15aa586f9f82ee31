"""Rows as they are given, and what the model gets of them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model_loop.errors import InvalidInputError
from model_loop.scoring.columns import check_rows, find_columns
from trip_duration.dataset import TRIPS
from trip_duration.typical import typical_distance
from trip_duration.values import FIRST_YEAR, LAST_YEAR, TIME_FORMS

FORMS = f"read are {TIME_FORMS}"
YEARS = f"trips begin from {FIRST_YEAR} to {LAST_YEAR}"
WANTED = ("pickup_datetime", "PULocationID", "DOLocationID", "passenger_count", "trip_distance")
GOOD = {
    "lpep_pickup_datetime": "2024-03-04 08:30:00",
    "PULocationID": 74,
    "DOLocationID": 75,
    "passenger_count": 1,
    "trip_distance": 1.5,
}


def rows(**changes: object) -> pd.DataFrame:
    """A good row, and a second one that is changed."""
    return pd.DataFrame([GOOD, {**GOOD, **changes}], dtype=object)


def test_good_rows_get_the_types_of_the_model() -> None:
    """Times without a zone, whole zones, and numbers."""
    checked = check_rows(TRIPS, rows(), WANTED)
    assert list(checked.rows.columns) == list(WANTED)
    assert [str(kind) for kind in checked.rows.dtypes] == [
        *("datetime64[us]", "int32", "int32", "float64", "float64")
    ]
    assert list(checked.reasons) == [None, None]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PULocationID", 266, "PULocationID = 266 is not a zone from 1 to 265"),
        ("PULocationID", 1.5, "PULocationID = 1.5 is not a zone from 1 to 265"),
        ("DOLocationID", None, "DOLocationID is missing"),
        ("DOLocationID", "x", "DOLocationID = x is unknown"),
        ("trip_distance", -0.1, "trip_distance = -0.1 is not a distance from 0 to 1,000,000 miles"),
        (
            "trip_distance",
            np.inf,
            "trip_distance = inf is not a distance from 0 to 1,000,000 miles",
        ),
        ("lpep_pickup_datetime", "noon", f"lpep_pickup_datetime = noon is not a time; {FORMS}"),
        ("lpep_pickup_datetime", None, "pickup_at is missing"),
        (
            "lpep_pickup_datetime",
            "2024-01-15",
            f"lpep_pickup_datetime = 2024-01-15 is a day without a time of day; {FORMS}",
        ),
        (
            "lpep_pickup_datetime",
            "9999-12-31 23:59:59+00",
            f"lpep_pickup_datetime = 9999-12-31 23:59:59+00 begins in the year 9999; {YEARS}",
        ),
        ("lpep_pickup_datetime", "13/01/2024 08:30:00 AM", f"… is not a time; {FORMS}"),
        ("lpep_pickup_datetime", "01/02/2024 08:30:00", f"… is not a time; {FORMS}"),
        ("passenger_count", 1e39, "passenger_count = 1e+39 is not a number from 0 to 1,000"),
        ("passenger_count", -1, "passenger_count = -1 is not a number from 0 to 1,000"),
        (
            "trip_distance",
            1e7,
            "trip_distance = 10000000.0 is not a distance from 0 to 1,000,000 miles",
        ),
        ("DOLocationID", "Corona", "DOLocationID = Corona is the name of 2 zones"),
        (
            "DOLocationID",
            "a\n" * 50,
            f"DOLocationID = {'a ' * 30}… is unknown",
        ),
        ("passenger_count", "two", "passenger_count = two is not a number"),
        ("passenger_count", np.inf, "passenger_count = inf is not a number from 0 to 1,000"),
    ],
)
def test_a_row_that_cannot_be_predicted(name: str, value: object, reason: str) -> None:
    """It is left out, and the reason names the column as it was given."""
    checked = check_rows(TRIPS, rows(**{name: value}), WANTED)
    begin, _, end = reason.partition("…") if reason[0] == "…" else (reason, "", "")
    assert checked.reasons[0] is None
    assert checked.reasons[1].startswith(begin)
    assert checked.reasons[1].endswith(end)
    assert reason[0] == "…" or checked.reasons[1] == reason
    assert "\n" not in checked.reasons[1]
    assert list(checked.rows.index) == [0]


def test_every_reason_is_told() -> None:
    """A row may be wrong in several ways, also in a column that the model does without."""
    checked = check_rows(TRIPS, rows(PULocationID=0, trip_distance=-1), WANTED[:-1])
    assert checked.reasons[1] == (
        "PULocationID = 0 is not a zone from 1 to 265; "
        "trip_distance = -1 is not a distance from 0 to 1,000,000 miles"
    )


def test_what_is_left_out_is_assumed_and_told() -> None:
    """The time is that of the job, the distance the typical one between the zones."""
    now = dt.datetime(2024, 3, 4, 12, 0)  # noqa: DTZ001 - the city's clocks
    given = rows(lpep_pickup_datetime=None, trip_distance=np.nan)
    checked = check_rows(TRIPS, given, WANTED, now)
    assert list(checked.reasons) == [None, None]
    assert list(checked.assumed) == [None, "pickup_at, trip_distance"]
    assert checked.rows.pickup_datetime[1] == pd.Timestamp(now)
    assert checked.rows.trip_distance[1] == typical_distance(74, 75)
    off_the_map = rows(DOLocationID=264, trip_distance=np.nan)
    (_, reason) = check_rows(TRIPS, off_the_map, WANTED, now).reasons
    assert reason == "trip_distance is missing, and a zone has no place on the map"


@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_what_the_model_need_not_know_may_be_missing(missing: object) -> None:
    """A passenger count that is not given is NaN."""
    checked = check_rows(TRIPS, rows(passenger_count=missing or None), WANTED)
    assert checked.reasons[1] is None
    assert np.isnan(checked.rows.passenger_count[1])
    without = check_rows(TRIPS, rows().drop(columns="passenger_count"), WANTED)
    assert without.rows.passenger_count.isna().all()


@pytest.mark.parametrize(
    ("given", "local"),
    [
        ("2024-03-04T08:30:00", "2024-03-04 08:30"),
        ("2024-03-04T08:30:00Z", "2024-03-04 03:30"),
        ("2024-07-04T08:30:00+00:00", "2024-07-04 04:30"),
        (pd.Timestamp("2024-03-04 08:30"), "2024-03-04 08:30"),
        ("2024-01-15 08:30:00+00", "2024-01-15 03:30"),
        ("2024-01-15 08:30:00-05", "2024-01-15 08:30"),
        ("2024-01-15 08:30:00 UTC", "2024-01-15 03:30"),
        ("2024-01-15T08:30", "2024-01-15 08:30"),
        ("01/15/2024 08:30:00 PM", "2024-01-15 20:30"),
        ("1/15/2024 12:30 am", "2024-01-15 00:30"),
    ],
)
def test_times_are_those_of_new_york(given: object, local: str) -> None:
    """A time that says how far it is from Greenwich is turned into New York's, summer or winter."""
    checked = check_rows(TRIPS, rows(lpep_pickup_datetime=given), WANTED)
    assert checked.rows.pickup_datetime[1] == pd.Timestamp(local)


def test_times_of_arrow_keep_their_moment() -> None:
    """A column of moments with a time zone is turned as a whole."""
    given = rows().assign(lpep_pickup_datetime=pd.to_datetime(["2024-03-04T08:30Z"] * 2))
    assert check_rows(TRIPS, given, WANTED).rows.pickup_datetime[0] == pd.Timestamp(
        "2024-03-04 03:30"
    )


def test_moments_beyond_the_clocks_spoil_their_row_alone() -> None:
    """Arrow's times may lie further away than those that models count with."""
    far = [1_705_307_400_000, 2**63 - 1, -(2**62)]
    for zone in (None, "UTC"):
        times = pa.array(far, pa.timestamp("ms", zone)).to_pandas()
        given = pd.concat([rows(), rows().head(1)], ignore_index=True)
        checked = check_rows(TRIPS, given.assign(lpep_pickup_datetime=times), WANTED)
        assert list(checked.rows.index) == [0]
        assert all(YEARS in reason for reason in checked.reasons[1:])


@pytest.mark.parametrize(
    ("zone", "number"),
    [("74.0", 74), (74.0, 74), ("Manhattan - Upper West Side South", 239), ("JFK Airport", 132)],
)
def test_zones_as_programs_and_people_write_them(zone: object, number: int) -> None:
    """A whole number with a point, and a name."""
    assert check_rows(TRIPS, rows(PULocationID=zone), WANTED).rows.PULocationID[1] == number


def test_columns_are_found_by_any_of_their_names() -> None:
    """Ours, the friendly ones, and those of every service."""
    assert find_columns(TRIPS, ["tpep_pickup_datetime", "x"], ["pickup_datetime"]) == {
        "pickup_datetime": "tpep_pickup_datetime"
    }
    assert find_columns(TRIPS, ["trip_miles"], ["trip_distance"]) == {"trip_distance": "trip_miles"}
    # Our own name is meant where there are two.
    assert find_columns(TRIPS, ["PULocationID", "pickup_zone"], ["PULocationID"]) == {
        "PULocationID": "PULocationID"
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["PULocationID"], "lacks DOLocationID. The model needs dropoff_zone or DOLocationID"),
        (["trip_miles", "PULocationID"], "lacks DOLocationID"),
        (["lpep_pickup_datetime", "tpep_pickup_datetime"], "both mean pickup_datetime"),
    ],
)
def test_columns_that_do_not_fit(given: list[str], message: str) -> None:
    """A missing column is named by every name it may have."""
    with pytest.raises(InvalidInputError) as caught:
        find_columns(TRIPS, given, ("pickup_datetime",) if "both" in message else WANTED[1:3])
    assert message in str(caught.value)

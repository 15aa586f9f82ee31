"""Numbers that encoders read off the raw columns, and what is refused there."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_loop.errors import ContractError
from trip_duration.recipes import RECIPES
from trip_duration.training_set.encoders import columns as read
from trip_duration.training_set.encoders.columns import as_trained

RICH = RECIPES["rich"].columns
#: Federal holidays, as the Office of Personnel Management lists them: some are observed on the
#: Friday before or on the Monday after.
HOLIDAYS = [
    *("2021-12-24", "2021-12-31"),
    *("2022-01-17", "2022-02-21", "2022-05-30", "2022-06-20", "2022-07-04", "2022-09-05"),
    *("2022-10-10", "2022-11-11", "2022-11-24", "2022-12-26", "2023-01-02"),
]


def trips(count: int = 4, **changes: Any) -> pd.DataFrame:
    """Make trips of the types of prepared months."""
    times = pd.Timestamp("2024-01-15 08:30") + pd.to_timedelta(np.arange(count), unit="h")
    return pd.DataFrame(
        {
            "PULocationID": np.arange(1, count + 1, dtype=np.int32),
            "DOLocationID": np.full(count, 265, dtype=np.int32),
            "trip_distance": np.arange(count) / 2,
            "pickup_datetime": times.astype("datetime64[us]"),
            "passenger_count": [1.0, np.nan] * (count // 2),
            "VendorID": np.full(count, 2.0),
            "trip_type": np.full(count, 1.0),
        }
    ).assign(**changes)


def test_a_frame_of_the_right_types_is_returned_as_it_is() -> None:
    """Without a copy, also where it holds more than a recipe reads."""
    frame = trips(other="text")
    assert as_trained(frame, RICH) is frame


def test_other_types_become_those_of_prepared_months() -> None:
    """Nullable numbers, objects, and times of any form; what was given is left as it was."""
    frame = trips()
    times = frame["pickup_datetime"]
    given = frame.assign(
        PULocationID=frame["PULocationID"].astype("Int64"),
        DOLocationID=frame["DOLocationID"].astype(object),
        passenger_count=frame["passenger_count"].astype("Float64"),
        VendorID=["2"] * 4,
        pickup_datetime=times.astype(str),
    ).drop(columns="trip_type")
    kept = given.copy()
    found = as_trained(given, RICH)
    pd.testing.assert_frame_equal(given, kept)
    expected = frame.assign(trip_type=np.nan)
    for name in RICH:
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())
    assert found["pickup_datetime"].dtype == "datetime64[us]"
    utc = times.dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    for other in (
        utc,
        utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.astype(object),
        times.astype(object),
        pd.Series(times.dt.to_pydatetime(), dtype=object),
    ):
        found = as_trained(frame.assign(pickup_datetime=other), RICH)
        assert found["pickup_datetime"].tolist() == times.tolist()
    shuffled = frame.assign(pickup_datetime=times.astype(str)).iloc[[2, 0, 3, 1]]
    assert as_trained(shuffled, RICH)["pickup_datetime"].tolist() == times[[2, 0, 3, 1]].tolist()


def test_missing_columns_are_named() -> None:
    """All of them, with those that are there and those that are read; attributes may be missing."""
    given = trips().drop(columns=["PULocationID", "trip_distance", "VendorID"])
    with pytest.raises(ContractError) as caught:
        as_trained(given, RICH)
    assert caught.value.given == f"Trips with the columns {list(given.columns)}"
    assert caught.value.rule == f"lack {', '.join(n for n in RICH if n in MISSING)}"
    assert caught.value.remedy == f"Give every raw column of the recipe: {', '.join(RICH)}."


MISSING = ("PULocationID", "trip_distance")


def test_a_column_that_is_there_twice_is_named() -> None:
    """Nothing says which one counts; a column that is not read may be there as often as it is."""
    once = trips()
    twice = pd.concat([once, once[["DOLocationID"]]], axis=1)
    with pytest.raises(ContractError, match="The column DOLocationID is there more than once"):
        as_trained(twice, RICH)
    other = pd.concat([once.assign(x=1), once.assign(x=1)[["x"]]], axis=1)
    assert as_trained(other, RICH) is other


#: Of each column, values at its bounds, values beyond them, and the rule that is told.
BOUNDS: dict[str, tuple[list[Any], list[Any], str]] = {
    "PULocationID": (
        [1, 265, 74.0],
        [0, 266, -1, 1.5, np.nan, np.inf],
        "not a zone, a whole number",
    ),
    "DOLocationID": ([1, 265], [0, 266, 264.5], "not a zone, a whole number from 1 to 265"),
    "trip_distance": ([0, 1e6], [-0.001, np.nan, np.inf], "not a distance of 0 miles or more"),
    "passenger_count": ([0, 1_000, np.nan], [-1, 1_000.5, np.inf], "not a number from 0 to 1,000"),
    "VendorID": ([0, 1_000], [-0.5, 1e9], "not a number from 0 to 1,000"),
    "pickup_datetime": (
        [pd.Timestamp("2000-01-01"), pd.Timestamp("2099-12-31 23:59:59")],
        [pd.Timestamp("1999-12-31 23:59:59"), pd.Timestamp("2100-01-01"), pd.NaT],
        "not a time in the years 2000 to 2099",
    ),
}


@pytest.mark.parametrize("column", BOUNDS)
def test_what_no_trip_has_is_refused(column: str) -> None:
    """At a bound it is read; beyond, the first row is named, and how many there are of how many."""
    right, wrong, rule = BOUNDS[column]
    values: list[Any] = trips(6)[column].tolist()
    for value in right:
        given = trips(6).assign(**{column: [*values[:5], value]})
        assert len(as_trained(given, RICH)) == 6
    for value in wrong:
        given = trips(6).assign(**{column: [*values[:3], value, values[4], value]})
        with pytest.raises(ContractError) as caught:
            as_trained(given, RICH)
        assert caught.value.given == f"The column {column}"
        told = rf"holds \S+ in row 4, which is {rule}.*; so 2 of 6 rows cannot be predicted"
        assert re.fullmatch(told, caught.value.rule), caught.value.rule


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("trip_distance", True, "holds a value that is not a number (true or false)"),
        (
            "passenger_count",
            np.array([False])[0],
            "holds a value that is not a number (true or false)",
        ),
        ("trip_distance", "far", "holds a value that is not a number (could not convert"),
        ("trip_distance", [1], "holds a value that is not a number ("),
        ("pickup_datetime", dt.date(2024, 1, 15), "cannot be read (2024-01-15 is not a time)"),
        ("pickup_datetime", 1_705_307_400, "cannot be read (1705307400 is not a time)"),
        ("pickup_datetime", "2024-01-15", "('2024-01-15' is a day without a time of day"),
        ("pickup_datetime", "soon", "holds a time that cannot be read ('soon' is not a time"),
    ],
)
def test_what_is_of_another_kind_is_refused(column: str, value: Any, message: str) -> None:
    """Truths, words and days are no numbers and no times; the column is named."""
    values: list[Any] = trips()[column].tolist()
    values[2] = value
    given = trips().assign(**{column: pd.Series(values, dtype=object)})
    with pytest.raises(ContractError, match=f"^The column {column} .*{re.escape(message)}"):
        as_trained(given, RICH)


def test_a_column_of_truths_alone_is_refused() -> None:
    """NumPy would count them."""
    for kind in (bool, "boolean"):
        given = trips().assign(passenger_count=pd.Series([True, False] * 2, dtype=kind))
        with pytest.raises(
            ContractError, match="passenger_count holds a value that is not a number"
        ):
            as_trained(given, RICH)


def test_times_are_told_as_by_the_calendar() -> None:
    """Hours with fractions and weekdays of random seconds, and federal holidays of some years."""
    seconds = np.random.default_rng(0).integers(946_684_800, 4_102_444_799, 500)
    times = seconds.astype("datetime64[s]").astype("datetime64[us]")
    frame = pd.DataFrame({"pickup_datetime": times})
    told = [pd.Timestamp(one).to_pydatetime() for one in times]
    hours = [one.hour + one.minute / 60 + one.second / 3_600 for one in told]
    np.testing.assert_allclose(read.hour_of_day(frame), hours, rtol=0, atol=1e-9)
    assert read.weekday(frame).tolist() == [one.weekday() for one in told]
    days = pd.date_range("2021-12-20", "2023-01-05")
    frame = pd.DataFrame({"pickup_datetime": days + pd.Timedelta("23:59:59")})
    found = days[read.is_holiday(frame) == 1].strftime("%Y-%m-%d").tolist()
    assert found == HOLIDAYS
    assert set(read.is_holiday(frame)) == {0.0, 1.0}
    assert read.is_holiday(frame.iloc[:0]).shape == (0,)
    # Of a year at the turn of which nothing else is asked.
    one = pd.DataFrame({"pickup_datetime": pd.to_datetime(["2022-12-26"])})
    assert read.is_holiday(one).tolist() == [1.0]


def test_zones_are_narrow_where_they_can_be() -> None:
    """Without a copy of prepared months; anything else as whole numbers of 64 bits."""
    frame = trips()
    pickup, dropoff = read.narrow_zones(frame)
    assert pickup.dtype == dropoff.dtype == np.int32
    assert np.shares_memory(pickup, frame["PULocationID"].to_numpy())
    for name in ("PULocationID", "DOLocationID"):
        wide = read.narrow_zones(frame.assign(**{name: frame[name].astype(float)}))
        assert [one.dtype for one in wide] == [np.int64] * 2
        assert [one.tolist() for one in wide] == [[1, 2, 3, 4], [265] * 4]
    assert [one.tolist() for one in read.zones(frame)] == [[1, 2, 3, 4], [265] * 4]


def test_numbers_beside_the_time() -> None:
    """Distances clipped where that is asked for, and 0 for an attribute that is missing."""
    frame = trips()
    assert read.distance(frame, None).tolist() == [0.0, 0.5, 1.0, 1.5]
    assert read.distance(frame, 0.75).tolist() == [0.0, 0.5, 0.75, 0.75]
    assert read.distance(frame, 0.0).tolist() == [0.0] * 4
    assert read.attribute(frame, "passenger_count").tolist() == [1.0, 0.0, 1.0, 0.0]

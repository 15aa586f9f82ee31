"""The split by time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tests.trips.conftest import GREEN

from trip_duration.errors import ContractError, InvalidInputError
from trip_duration.trips.cleaning import CleaningRules, clean_month
from trip_duration.trips.months import Month, MonthSplit
from trip_duration.trips.sample import SampleOptions
from trip_duration.trips.source import fetch_month
from trip_duration.trips.split import split_trips

SPLIT = MonthSplit.parse("2024-01", "2024-02", "2024-03")


def trips(*times: str) -> pd.DataFrame:
    """Trips that begin at the given times."""
    pickup = pd.Series(times, dtype="datetime64[us]")
    return pd.DataFrame({"pickup_datetime": pickup, "duration": 10.0})


def test_cuts_by_pickup_time() -> None:
    """Strays of the known months go where their time belongs; nothing of the test's time does."""
    split = split_trips(
        {
            Month(2024, 1): trips("2008-12-31 23:00", "2024-01-15", "2024-02-01 00:00"),
            Month(2024, 2): trips("2024-01-31 23:59:59", "2024-02-10", "2024-03-01 00:00"),
            Month(2024, 3): trips("2024-02-29 23:59", "2024-03-10", "2024-04-01 00:10"),
        },
        SPLIT,
    )
    assert [str(time) for time in split.train.pickup_datetime] == [
        "2008-12-31 23:00:00",
        "2024-01-15 00:00:00",
        "2024-01-31 23:59:59",
    ]
    assert [str(time.date()) for time in split.validation.pickup_datetime] == [
        "2024-02-01",
        "2024-02-10",
    ]
    assert [str(time.date()) for time in split.test.pickup_datetime] == ["2024-03-10", "2024-04-01"]
    assert split.strays == 2


def test_test_months_may_be_left_out() -> None:
    """Without test months every trip is learned from or tuned on."""
    months = {Month(2024, 1): trips("2024-01-15"), Month(2024, 2): trips("2024-02-15")}
    split = split_trips(months, MonthSplit.parse("2024-01", "2024-02"))
    assert (len(split.train), len(split.validation), len(split.test), split.strays) == (1, 1, 0, 0)
    assert list(split.test.columns) == ["pickup_datetime", "duration"]


def test_several_months_for_each() -> None:
    """The cut lies at the start of the first validation month, and of the first test month."""
    wanted = MonthSplit.parse("2023-11,2023-12", "2024-01..2024-03", "2024-04,2024-05")
    split = split_trips({month: trips(f"{month}-15") for month in wanted.all}, wanted)
    assert (len(split.train), len(split.validation), len(split.test), split.strays) == (2, 3, 2, 0)


@pytest.mark.real_months
def test_real_months(tlc_folder: str, tmp_path: Path) -> None:
    """The published green months 2024-01 and 2024-02 give 54,378 and 51,492 trips, no strays."""
    wanted = MonthSplit.parse("2024-01", "2024-02")
    months = {}
    for month in wanted.all:
        raw = fetch_month(
            tlc_folder, GREEN, month, str(tmp_path), sample=SampleOptions(), timeout_seconds=1
        )
        months[month] = clean_month(raw, GREEN, ["trip_distance"], CleaningRules()).trips
    split = split_trips(months, wanted)
    assert (len(split.train), len(split.validation), len(split.test)) == (54_378, 51_492, 0)
    assert split.strays == 0
    assert max(split.train.trip_distance.max(), split.validation.trip_distance.max()) > 201_421


def test_month_that_was_not_prepared() -> None:
    """A month that is missing is named."""
    with pytest.raises(InvalidInputError, match=r"2024-02, 2024-03 was not prepared"):
        split_trips({Month(2024, 1): trips("2024-01-15")}, SPLIT)


def test_files_of_another_time() -> None:
    """Files that hold other months than their names say leave nothing to tune on."""
    months = {month: trips("2024-01-15") for month in SPLIT.all}
    with pytest.raises(ContractError, match=r"validation months .* hold no trip of their time"):
        split_trips(months, SPLIT)

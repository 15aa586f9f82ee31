"""The split by time."""

from __future__ import annotations

import numpy as np
import pytest
from tests.trip_duration.conftest import GREEN

from model_loop.errors import ContractError
from model_loop.training_set.types import Period
from trip_duration.batches import TripBatch
from trip_duration.months import Month, MonthSplit
from trip_duration.split import SplitCollector, SplitTrips

SPLIT = MonthSplit.parse("2024-01", "2024-02", "2024-03")


def trips(*times: str) -> TripBatch:
    """Trips that begin at the given times."""
    pickup = np.array([np.datetime64(time, "us") for time in times]).astype(np.int64)
    columns = {"pickup_datetime": pickup, "duration": np.full(len(times), 10.0)}
    return TripBatch(0, columns, np.zeros(len(times), dtype=bool))


def split_trips(months: dict[Month, TripBatch], split: MonthSplit) -> SplitTrips:
    """The trips of months, split."""
    collector = SplitCollector(split, GREEN, ["pickup_datetime"], 100)
    for month, batch in months.items():
        collector.begin(month)
        collector.append(batch, np.ones(batch.rows, dtype=bool))
    return collector.finish()


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
    assert split.periods["train"] == Period("2008-12-31T23:00:00", "2024-01-31T23:59:59")
    assert split.periods["validation"] == Period("2024-02-01T00:00:00", "2024-02-10T00:00:00")


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


def test_files_of_another_time() -> None:
    """Files that hold other months than their names say leave nothing to tune on."""
    months = {month: trips("2024-01-15") for month in SPLIT.all}
    with pytest.raises(ContractError, match=r"validation months .* hold no trip of their time"):
        split_trips(months, SPLIT)

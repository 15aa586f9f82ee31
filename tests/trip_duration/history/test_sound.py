"""Sound months, and parts of months, that a comparison with history must not refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from tests.trip_duration.history.months import (
    GREEN,
    TABLE,
    generated,
    parts_of,
    published,
)
from tests.trip_duration.history.test_history import prepare

from model_loop.findings import Finding
from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch
from trip_duration.months import parse_months
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions

MONTHS = ("2024-01", "2024-02", "2024-03")
_DAY = pd.Timedelta("1D")


def test_equal_trips_are_no_copies(tmp_path: Path) -> None:
    """Many trips within one zone are equal by chance: that is no stale copy."""
    for month in parse_months(MONTHS):
        path = tmp_path / f"green_tripdata_{month}.parquet"
        write_month(path, GREEN, month, SampleOptions(trips=12_000, seed=120))
    done = prepare(tmp_path, tmp_path / "storage")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []


def verdicts(parts: Sequence[Sketch]) -> list[tuple[Finding, ...]]:
    """Compare each part with those before it."""
    return [
        judge_partition(TABLE, part, parts[:place]) for place, part in enumerate(parts) if place
    ]


def test_days_of_a_published_month_are_not_refused(whole_months: str, tmp_path: Path) -> None:
    """Another day of the week has other hours: that is no other clock."""
    days = list(parts_of(published(Path(whole_months), "2024-02"), "2024-02", 1, tmp_path))
    assert [one for found in verdicts(days) for one in found if one.level == "refused"] == []


def test_days_are_compared_with_the_same_days_of_the_week(tmp_path: Path) -> None:
    """At weekends, trips are three hours later than on working days, and no day is refused."""
    trips = generated("2024-01", 60_000, 21)
    first, last = trips.lpep_pickup_datetime, trips.lpep_dropoff_datetime
    later = first.dt.normalize() + (first - first.dt.normalize() + pd.Timedelta("3h")) % _DAY
    first = first.where(first.dt.dayofweek < 5, later)
    lasted = last - trips.lpep_pickup_datetime
    trips = trips.assign(lpep_pickup_datetime=first, lpep_dropoff_datetime=first + lasted)
    days = list(parts_of(trips, "2024-01", 1, tmp_path))
    assert [one for found in verdicts(days) for one in found if one.level == "refused"] == []


def test_an_hour_that_summer_time_skips_is_not_missing(tmp_path: Path) -> None:
    """One empty hour in a partition is that of the change of the clock."""
    history = list(parts_of(generated("2024-01", 60_000, 21), "2024-01", 7, tmp_path))
    trips = generated("2024-03", 60_000, 21)
    skipped = trips.lpep_pickup_datetime.dt.floor("h") == "2024-03-10 14:00"
    days = list(parts_of(trips[~skipped], "2024-03", 1, tmp_path))
    assert judge_partition(TABLE, days[9], history) == ()


@pytest.mark.parametrize("factor", [1.609344, 3.0])
def test_a_day_of_another_unit_is_refused(tmp_path: Path, factor: float) -> None:
    """Wider limits for days still refuse what has happened to all of its rows."""
    days = list(parts_of(generated("2024-01", 60_000, 21), "2024-01", 1, tmp_path))
    trips = generated("2024-01", 60_000, 22)
    trips = trips.assign(trip_distance=trips.trip_distance * factor)
    damaged = list(parts_of(trips, "2024-01", 1, tmp_path))[20]
    assert "another_unit" in {one.code for one in judge_partition(TABLE, damaged, days[:20])}

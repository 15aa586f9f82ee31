"""The profile of a month, against plain pandas."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from tests.trip_duration.conftest import GREEN, JANUARY, fetch

from trip_duration import batches
from trip_duration.batches import TripBatch
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.checking import check_month
from trip_duration.contract.rules import ContractLimits
from trip_duration.profile import SCALES, MonthProfile, ProfileBuilder
from trip_duration.sample import write_month
from trip_duration.sample_options import Corruption, SampleOptions
from trip_duration.services import SERVICES
from trip_duration.source.fetching import fetch_month

COLUMNS = ("PULocationID", "DOLocationID", "trip_distance", "passenger_count", "VendorID")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> CheckedMonth:
    """A checked month with some dirt."""
    folder = tmp_path_factory.mktemp("month")
    dirt = Corruption(stray_share=0.01, absurd_distance_share=0.01, duplicate_share=0.01)
    options = SampleOptions(trips=3_000, seed=5, dirt=dirt)
    write_month(folder / "green_tripdata_2024-01.parquet", GREEN, JANUARY, options)
    raw = fetch(str(folder), folder)
    return CheckedMonthStore(str(folder)).check(raw, GREEN, ContractLimits())


@pytest.fixture(scope="module")
def profile(month: CheckedMonth) -> MonthProfile:
    """Its profile."""
    return month.load_profile()


@pytest.fixture(scope="module")
def trips(month: CheckedMonth) -> pd.DataFrame:
    """Its sound trips."""
    return clean_month(month, GREEN, Selection(COLUMNS, CleaningRules(0.0, 1_440.0)))


def test_scales_follow_the_columns() -> None:
    """What is not whole is counted as finely as it is published; times are not counted."""
    assert {name: scale.bins for name, scale in SCALES.items()} == {
        "PULocationID": 266,
        "DOLocationID": 266,
        "trip_distance": 10_001,
        "passenger_count": 256,
        "VendorID": 256,
        "trip_type": 256,
        "duration": 28_801,
    }
    assert {name for name, scale in SCALES.items() if not scale.whole} == {
        "trip_distance",
        "duration",
    }


def test_columns_agree_with_pandas(profile: MonthProfile, trips: pd.DataFrame) -> None:
    """Counts, means and extremes agree; quantiles to the width of a bin."""
    for name, width in (("trip_distance", 0.01), ("duration", 0.05), ("passenger_count", 1.0)):
        column, values = profile.column(name), trips[name]
        assert (column.known, column.missing) == (values.count(), values.isna().sum())
        assert column.mean == pytest.approx(values.mean())
        assert column.standard_deviation == pytest.approx(values.std(ddof=0))
        assert (column.minimum, column.maximum) == (values.min(), values.max())
        for share, quantile in column.quantiles.items():
            known = values.dropna().clip(upper=SCALES[name].end)
            expected = np.quantile(known, float(share), method="inverted_cdf")
            assert quantile == pytest.approx(expected, abs=width), (name, share)


def test_values_agree_with_pandas(profile: MonthProfile, trips: pd.DataFrame) -> None:
    """The most frequent values, and how many there are, agree for whole numbers."""
    for name in ("passenger_count", "VendorID", "PULocationID"):
        column, counts = profile.column(name), trips[name].value_counts()
        assert column.distinct == len(counts)
        assert column.most_frequent[0][1] == counts.iloc[0]
        assert all(counts[value] == count for value, count in column.most_frequent)


def test_times_and_zones_agree_with_pandas(profile: MonthProfile, trips: pd.DataFrame) -> None:
    """Trips by day, weekday, hour, zone and pair agree."""
    pickup = trips.pickup_datetime.dt
    assert profile.trips == len(trips) == sum(profile.per_day)
    days = pickup.day.value_counts()
    assert profile.per_day == tuple(int(days.get(day, 0)) for day in range(1, 32))
    table = np.array(profile.per_weekday_and_hour)
    assert table.shape == (7, 24)
    expected = np.zeros((7, 24), dtype=int)
    np.add.at(expected, (pickup.weekday.to_numpy(), pickup.hour.to_numpy()), 1)
    assert np.array_equal(table, expected)
    means = trips.groupby("PULocationID")[["duration", "trip_distance"]].mean()
    assert [zone.zone for zone in profile.zones] == list(means.index)
    for zone in profile.zones:
        assert zone.mean_duration == pytest.approx(means.duration[zone.zone])
        assert zone.mean_distance == pytest.approx(means.trip_distance[zone.zone])
    pairs = trips.groupby(["PULocationID", "DOLocationID"]).size()
    assert all(pairs[pair.pickup, pair.dropoff] == pair.trips for pair in profile.pairs)
    assert profile.pairs[0].trips == pairs.max()


def test_histograms_hold_every_trip(profile: MonthProfile, trips: pd.DataFrame) -> None:
    """Each trip is in one bin; the last takes what is beyond."""
    for histogram in (profile.durations, profile.distances):
        assert sum(histogram.counts) == profile.trips
        assert len(histogram.edges) == len(histogram.counts)
    assert profile.distances.counts[-1] == (trips.trip_distance >= 20).sum()


def test_does_not_depend_on_the_batches(
    month: CheckedMonth, profile: MonthProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a month is cut, its profile is the same, but for the rounding of sums."""
    monkeypatch.setattr(batches, "BATCH_ROWS", 7)
    again = check_month(month.raw, GREEN, ContractLimits()).profile
    for column, other in zip(profile.columns, again.columns, strict=True):
        assert column.most_frequent == other.most_frequent
        assert column.quantiles == other.quantiles
        assert column.mean == pytest.approx(other.mean, rel=1e-12)
    assert (profile.durations, profile.per_day) == (again.durations, again.per_day)
    assert profile.per_weekday_and_hour == again.per_weekday_and_hour


def test_is_made_where_an_earlier_version_has_left_none(
    month: CheckedMonth, profile: MonthProfile
) -> None:
    """A month that was checked before profiles were kept is read again."""
    assert dataclasses.replace(month, profile=None).load_profile() == profile


def test_is_plain_json(profile: MonthProfile) -> None:
    """It is written as JSON without anything that JSON does not know."""
    found = json.loads(json.dumps(profile.to_json(), allow_nan=False))
    assert found["trips"] == profile.trips
    assert found["columns"][0]["quantiles"]["0.5"] > 0


def test_an_empty_profile() -> None:
    """A profile of no trips is empty, and no error."""
    profile = ProfileBuilder("green", JANUARY).build()
    assert (profile.trips, profile.columns, profile.zones, profile.pairs) == (0, (), (), ())
    assert sum(profile.durations.counts) == 0


def profile_of(sound: npt.NDArray[np.bool_], **further: npt.NDArray[np.float64]) -> MonthProfile:
    """Return the profile of trips of an hour between two zones, but for some columns."""
    rows = len(sound)
    columns: dict[str, Any] = {
        "pickup_datetime": np.full(rows, np.datetime64("2024-01-15T08:00", "us").astype(np.int64)),
        "PULocationID": np.full(rows, 1, dtype=np.int32),
        "DOLocationID": np.full(rows, 3, dtype=np.int32),
        "trip_distance": np.ones(rows),
        "duration": np.full(rows, 10.0),
        **further,
    }
    builder = ProfileBuilder("green", JANUARY)
    builder.add(TripBatch(0, columns, np.zeros(rows, dtype=bool)), sound)
    return builder.build()


def test_a_distance_of_nearly_the_largest_number() -> None:
    """The contract counts such a trip and keeps it; its square is beyond all numbers."""
    profile = profile_of(np.ones(2, dtype=bool), trip_distance=np.array([1.0, 1e308]))
    distance = profile.column("trip_distance")
    assert (distance.mean, distance.maximum) == (5e307, 1e308)
    assert distance.most_frequent == ((1.0, 1), (100.0, 1))


@pytest.mark.parametrize("gaps", [0, 3, 100])
@pytest.mark.parametrize(
    "values", [(1, 2, 6), range(60), (0, 255), (1, 300), (1, 2.5), (3,), (1, 900.5, np.nan)]
)
def test_numbers_however_they_are_counted(values: Sequence[float], gaps: int) -> None:
    """Few and many numbers, whole and not, of all rows and of some: as pandas counts them."""
    generator = np.random.default_rng(0)
    rows, sound = generator.choice([*values], 500).astype(np.float64), np.ones(500, dtype=bool)
    sound[generator.choice(500, gaps, replace=False)] = False
    profile = profile_of(sound, passenger_count=rows)
    column, known = profile.column("passenger_count"), pd.Series(rows[sound]).dropna()
    assert (column.known, column.missing) == (len(known), sound.sum() - len(known))
    assert (column.minimum, column.maximum) == (known.min(), known.max())
    assert column.mean == pytest.approx(known.mean(), rel=1e-12)
    assert column.standard_deviation == pytest.approx(known.std(ddof=0), rel=1e-6)
    counts = known.clip(upper=255).round().value_counts()
    assert column.distinct == len(counts)
    assert all(counts[value] == count for value, count in column.most_frequent)
    assert profile.column("PULocationID").mean == 1
    assert (profile.trips, profile.pairs[0].trips) == (sound.sum(), sound.sum())


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_service(name: str, tmp_path: Path) -> None:
    """Each service has a profile of the columns that it publishes."""
    service, options = SERVICES[name], SampleOptions(trips=500)
    raw = fetch_month("sample", service, JANUARY, str(tmp_path), sample=options, timeout_seconds=1)
    profile = CheckedMonthStore(str(tmp_path)).check(raw, service, ContractLimits()).load_profile()
    names = {column.name for column in profile.columns}
    assert ("passenger_count" in names) == (name != "fhvhv")
    assert {"duration", "trip_distance", "PULocationID"} <= names

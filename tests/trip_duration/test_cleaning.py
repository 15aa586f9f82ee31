"""Cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trip_duration.conftest import GREEN, JANUARY, fetch

from model_loop.errors import ContractError, InvalidInputError
from trip_duration.cleaning import (
    CleaningReport,
    Selection,
    TripArrays,
    clean_month,
    take_month,
)
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.recipes import RECIPES
from trip_duration.sample import write_month
from trip_duration.sample_options import Corruption, SampleOptions
from trip_duration.services import SERVICES
from trip_duration.source.fetching import fetch_month

RICH = RECIPES["rich"].columns


@dataclass(frozen=True)
class Cleaned:
    """Clean trips, and the report of them."""

    trips: pd.DataFrame
    report: CleaningReport


def clean(
    folder: Path,
    rules: CleaningRules | None = None,
    columns: Sequence[str] = RICH,
    limits: ContractLimits | None = None,
) -> Cleaned:
    """The clean January of a folder."""
    month = checked(folder, limits)
    selection = Selection(columns, rules or CleaningRules())
    trips = TripArrays(GREEN, ("pickup_datetime", *columns, "duration"), month.report.rows)
    report = take_month(month, GREEN, selection, trips)
    frame = trips.frame()
    assert frame.equals(clean_month(month, GREEN, selection))
    return Cleaned(frame, report)


def checked(folder: Path, limits: ContractLimits | None = None) -> CheckedMonth:
    """The January of a folder, checked."""
    store = CheckedMonthStore(str(folder))
    return store.check(fetch(str(folder), folder), GREEN, limits or ContractLimits())


def by_pandas(folder: Path) -> pd.DataFrame:
    """The same trips, the plain way."""
    trips = pd.read_parquet(folder / "green_tripdata_2024-01.parquet")
    spent = trips.lpep_dropoff_datetime - trips.lpep_pickup_datetime
    trips["duration"] = spent.dt.total_seconds() / 60
    kept = trips.duration.between(1, 60) & trips.trip_distance.notna()
    return trips[kept].reset_index(drop=True)


def write_trips(folder: Path, pickup: Any, dropoff: Any) -> None:
    """Write a month of trips between many zones."""
    numbers = np.arange(len(pickup))
    table = pa.table(
        {
            "lpep_pickup_datetime": pickup,
            "lpep_dropoff_datetime": dropoff,
            "PULocationID": pa.array(numbers % 100 + 1, pa.int32()),
            "DOLocationID": pa.array(numbers % 90 + 1, pa.int32()),
            "trip_distance": np.full(len(pickup), 5.0),
            "passenger_count": np.ones(len(pickup)),
            "VendorID": np.ones(len(pickup)),
            "trip_type": np.ones(len(pickup)),
            "total_amount": numbers + 0.5,
        }
    )
    pq.write_table(table, folder / "green_tripdata_2024-01.parquet")


def test_keeps_what_pandas_keeps(folder: Path) -> None:
    """Rows, order and durations agree with the plain way, to the last bit."""
    expected, found = by_pandas(folder), clean(folder).trips
    assert (found.duration == expected.duration).all()
    assert (found.PULocationID == expected.PULocationID).all()
    assert (found.pickup_datetime == expected.lpep_pickup_datetime).all()
    assert found.passenger_count.isna().equals(expected.passenger_count.isna())


def test_fractions_of_seconds_agree(tmp_path: Path) -> None:
    """Durations agree with the plain way to the last bit for times with microseconds too."""
    count = 2_000
    random = np.random.default_rng(1)
    start = np.datetime64("2024-01-05T12:00:00", "us") + random.integers(0, 10**9, count)
    spent = random.integers(60_000_000, 3_600_000_000, count).astype("timedelta64[us]")
    write_trips(tmp_path, start, start + spent)
    found = clean(tmp_path, columns=["PULocationID"]).trips.duration
    assert (found == pd.Series(spent).dt.total_seconds() / 60).all()


def test_frame_is_small_and_plain(folder: Path) -> None:
    """Only the recipe's columns, with plain types, and the duration."""
    kinds = {name: str(kind) for name, kind in clean(folder).trips.dtypes.items()}
    assert kinds == {
        "pickup_datetime": "datetime64[us]",
        "PULocationID": "int32",
        "DOLocationID": "int32",
        "passenger_count": "float64",
        "VendorID": "float64",
        "trip_type": "float64",
        "trip_distance": "float64",
        "duration": "float64",
    }


def test_bounds_are_included(tmp_path: Path) -> None:
    """Trips of exactly one and exactly sixty minutes stay; a second beyond goes."""
    seconds = np.array([59, 60, 3_600, 3_601])
    start = np.datetime64("2024-01-05T12:00:00", "us")
    write_trips(tmp_path, np.repeat(start, 4), start + seconds.astype("timedelta64[s]"))
    cleaned = clean(tmp_path)
    assert cleaned.trips.PULocationID.tolist() == [2, 3]
    assert (cleaned.report.too_short, cleaned.report.too_long) == (1, 1)
    wider = clean(tmp_path, CleaningRules(0.0, 90.0))
    assert len(wider.trips) == 4


def test_report_accounts_for_every_row(tmp_path: Path) -> None:
    """What was read is what was kept and what was left out, each for its reason."""
    dirt = Corruption(null_share=0.05, negative_duration_share=0.05, long_duration_share=0.05)
    options = SampleOptions(trips=2_000, seed=3, dirt=dirt)
    write_month(tmp_path / "green_tripdata_2024-01.parquet", GREEN, JANUARY, options)
    report = clean(
        tmp_path, CleaningRules(5.0, 20.0), limits=ContractLimits(quarantine_share=0.2)
    ).report
    left_out = report.quarantined + report.too_short + report.too_long
    assert report.rows_read == 2_000 == report.rows_kept + left_out
    assert min(report.quarantined, report.too_short, report.too_long) > 50


def test_what_was_set_aside_is_for_recipes_without_a_clock(tmp_path: Path) -> None:
    """Strays are left out, unless nobody looks at the clock; other broken rows always are."""
    dirt = Corruption(stray_share=0.02, null_share=0.02)
    options = SampleOptions(trips=2_000, seed=3, dirt=dirt)
    write_month(tmp_path / "green_tripdata_2024-01.parquet", GREEN, JANUARY, options)
    month = checked(tmp_path)
    without, with_strays = (
        clean_month(month, GREEN, Selection(RICH, CleaningRules(), keep_set_aside=keep))
        for keep in (False, True)
    )
    assert month.report.set_aside > 20
    assert without.pickup_datetime.dt.year.eq(2024).all()
    strays = with_strays[with_strays.pickup_datetime.dt.year.ne(2024)]
    assert len(with_strays) - len(without) == len(strays) > 20
    assert not with_strays.trip_distance.isna().any()


def test_a_file_that_has_changed_since_its_check_is_an_error(folder: Path) -> None:
    """Rows in quarantine are known by their number, which another file of that name has not."""
    month = checked(folder)
    write_month(folder / "green_tripdata_2024-01.parquet", GREEN, JANUARY, SampleOptions(trips=301))
    with pytest.raises(ContractError, match=r"has changed since .* when it had 300 rows"):
        clean_month(month, GREEN, Selection(RICH, CleaningRules()))


def test_what_no_trip_can_have_is_missing(tmp_path: Path) -> None:
    """A passenger count that no request may have costs neither its trip nor its month."""
    path = tmp_path / f"green_tripdata_{JANUARY}.parquet"
    write_month(path, GREEN, JANUARY, SampleOptions(trips=300, seed=3))
    trips = pq.read_table(path).to_pandas()
    trips["passenger_count"] = trips["passenger_count"].astype(float)
    trips.loc[:3, "passenger_count"] = (5_000.0, -1.0, np.inf, 1_000.0)
    trips.to_parquet(path, index=False)
    checked = CheckedMonthStore(str(tmp_path)).check(
        fetch(str(tmp_path), tmp_path), GREEN, ContractLimits()
    )
    columns = ("trip_distance", "passenger_count")
    kept = clean_month(checked, GREEN, Selection(columns, CleaningRules(0.0, 1_440.0)))
    assert len(kept) == len(trips)
    found = kept.passenger_count.to_numpy()
    np.testing.assert_array_equal(found[:4], [np.nan, np.nan, np.nan, 1_000.0])
    np.testing.assert_array_equal(found[4:], trips.passenger_count.to_numpy()[4:])


@pytest.mark.parametrize("impossible", [5_000, -1, np.inf])
def test_a_column_of_what_no_trip_can_have_is_refused(tmp_path: Path, impossible: float) -> None:
    """Such values count as missing, so that a whole column of them is no column."""
    path = tmp_path / f"green_tripdata_{JANUARY}.parquet"
    write_month(path, GREEN, JANUARY, SampleOptions(trips=300, seed=3))
    trips = pq.read_table(path).to_pandas().assign(passenger_count=impossible)
    trips.to_parquet(path, index=False)
    raw = fetch(str(tmp_path), tmp_path)
    with pytest.raises(ContractError, match=r"no value in 100\.0% of the column passenger_count"):
        CheckedMonthStore(str(tmp_path)).check(raw, GREEN, ContractLimits())


def test_long_distances_stay(tmp_path: Path) -> None:
    """Absurd distances are neither clipped nor dropped: encoders decide about them."""
    options = SampleOptions(trips=500, seed=3, dirt=Corruption(absurd_distance_share=0.1))
    write_month(tmp_path / "green_tripdata_2024-01.parquet", GREEN, JANUARY, options)
    assert (clean(tmp_path).trips.trip_distance > 100_000).sum() > 20


def test_damaged_file_is_an_error(folder: Path) -> None:
    """A file whose footer is whole but whose trips are damaged is refused by the month's name."""
    file = folder / "green_tripdata_2024-01.parquet"
    content = file.read_bytes()
    damaged = len(content) // 2
    file.write_bytes(content[:4] + bytes(damaged) + content[4 + damaged :])
    with pytest.raises(
        ContractError, match=r"Month 2024-01 of green .* not a readable Parquet file"
    ):
        checked(folder)
    assert not (folder / "products").exists()


def test_number_out_of_range_is_an_error(folder: Path) -> None:
    """A zone number that fits no zone's type is refused; it does not wrap around."""
    file = folder / "green_tripdata_2024-01.parquet"
    table = pq.read_table(file)
    index = table.schema.get_field_index("PULocationID")
    wide = pa.array([2**40 + 7] * table.num_rows, pa.int64())
    pq.write_table(table.set_column(index, "PULocationID", wide), file)
    with pytest.raises(ContractError, match=r"Month 2024-01 of green .*unknown_zone: 300 rows"):
        clean(folder)


def test_unknown_column_is_an_error(folder: Path) -> None:
    """A mistyped column is refused; it does not become a column of missing values."""
    with pytest.raises(InvalidInputError, match="trip_distence"):
        clean(folder, columns=["PULocationID", "trip_distence"])


@pytest.mark.parametrize(
    "column", ["PULocationID", "DOLocationID", "lpep_pickup_datetime", "lpep_dropoff_datetime"]
)
def test_rows_with_missing_values_are_left_out(folder: Path, column: str) -> None:
    """Trips without a zone or a time are left out and counted; the others keep their types."""
    file = folder / "green_tripdata_2024-01.parquet"
    table = pq.read_table(file)
    index = table.schema.get_field_index(column)
    values = table[column].to_pylist()
    values[:10] = [None] * 10
    holed = pa.array(values, table[column].type)
    pq.write_table(table.set_column(index, column, holed), file)
    cleaned = clean(folder)
    assert cleaned.report.quarantined == 10
    assert str(cleaned.trips.PULocationID.dtype) == "int32"
    assert not cleaned.trips[["PULocationID", "DOLocationID", "duration"]].isna().any().any()


def test_nothing_left_is_an_error(folder: Path) -> None:
    """Rules that leave no trip name the month and what became of its rows."""
    with pytest.raises(ContractError, match=r"2024-01.*no trip left.*too short"):
        clean(folder, CleaningRules(5_000.0, 6_000.0))


@pytest.mark.parametrize("bounds", [(-1.0, 60.0), (60.0, 60.0), (60.0, 1.0)])
def test_rules_must_leave_a_range(bounds: tuple[float, float]) -> None:
    """Bounds without a range between them are refused."""
    with pytest.raises(InvalidInputError, match=r"are not a range|is out of bounds"):
        CleaningRules(*bounds)


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_service_is_cleaned(name: str, tmp_path: Path) -> None:
    """Each service gives the same columns; what it does not publish reads as missing."""
    service = SERVICES[name]
    raw = fetch_month(
        "sample",
        service,
        JANUARY,
        str(tmp_path),
        sample=SampleOptions(trips=400),
        timeout_seconds=1,
    )
    month = CheckedMonthStore(str(tmp_path)).check(raw, service, ContractLimits())
    trips = clean_month(month, service, Selection(RICH, CleaningRules()))
    assert set(RICH) < set(trips.columns)
    assert trips.passenger_count.isna().all() == (name == "fhvhv")


def test_published_rows_are_counted_twice(published_months: str, tmp_path: Path) -> None:
    """What is kept of published months is what pandas counts in their files."""
    for month in (JANUARY, JANUARY.next()):
        raw = fetch_month(
            published_months, GREEN, month, str(tmp_path), sample=SampleOptions(), timeout_seconds=1
        )
        checked_month = CheckedMonthStore(str(tmp_path)).check(raw, GREEN, ContractLimits())
        trips = pd.read_parquet(Path(published_months) / f"green_tripdata_{month}.parquet")
        began, ended = trips.lpep_pickup_datetime, trips.lpep_dropoff_datetime
        within = (ended - began).between(pd.Timedelta(minutes=1), pd.Timedelta(minutes=60))
        in_month = began.dt.to_period("M") == pd.Period(str(month))
        assert 0 < (~in_month).sum() < 20
        for keep_set_aside, wanted in ((True, within), (False, within & in_month)):
            selection = Selection(RICH, CleaningRules(), keep_set_aside=keep_set_aside)
            kept = clean_month(checked_month, GREEN, selection)
            assert len(kept) == wanted.sum()


@pytest.mark.whole_months
def test_real_months(whole_months: str, tmp_path: Path) -> None:
    """The published green months 2024-01 and 2024-02 keep 105,870 trips."""
    kept = 0
    for month in (JANUARY, JANUARY.next()):
        raw = fetch_month(
            whole_months, GREEN, month, str(tmp_path), sample=SampleOptions(), timeout_seconds=1
        )
        checked_month = CheckedMonthStore(str(tmp_path)).check(raw, GREEN, ContractLimits())
        selection = Selection(RICH, CleaningRules(), keep_set_aside=True)
        kept += len(clean_month(checked_month, GREEN, selection))
    assert kept == 105_870

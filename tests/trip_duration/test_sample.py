"""Generated months."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from model_loop.errors import InvalidInputError
from trip_duration.months import Month
from trip_duration.sample import generate_month, is_sample, write_month
from trip_duration.sample_options import QUIET_ZONES, Corruption, Drift, SampleOptions
from trip_duration.services import SERVICES, get_service
from trip_duration.zones import mapped_zones

GREEN = get_service("green")
MONTH = Month(2024, 1)
OPTIONS = SampleOptions(trips=4_000, seed=5)


def generate(**changes: Any) -> pd.DataFrame:
    """A generated month with its minutes and hours."""
    table: pd.DataFrame = generate_month(
        GREEN, MONTH, dataclasses.replace(OPTIONS, **changes)
    ).to_pandas()
    spent = table.lpep_dropoff_datetime - table.lpep_pickup_datetime
    return table.assign(
        minutes=spent.dt.total_seconds() / 60, hour=table.lpep_pickup_datetime.dt.hour
    )


def test_same_options_same_file(tmp_path: Path) -> None:
    """The same options give the same bytes; another seed or month gives others."""
    paths = [tmp_path / name for name in ("first", "second", "other_seed", "other_month")]
    write_month(paths[0], GREEN, MONTH, OPTIONS)
    write_month(paths[1], GREEN, MONTH, OPTIONS)
    write_month(paths[2], GREEN, MONTH, dataclasses.replace(OPTIONS, seed=6))
    write_month(paths[3], GREEN, MONTH.next(), OPTIONS)
    first, second, other_seed, other_month = (path.read_bytes() for path in paths)
    assert first == second
    assert len({first, other_seed, other_month}) == 3


def test_says_that_it_is_sample_data(tmp_path: Path) -> None:
    """The file's metadata carry the label, the options and the generator's version."""
    path = tmp_path / "month.parquet"
    write_month(path, GREEN, MONTH, OPTIONS)
    metadata: Mapping[bytes, bytes] = pq.read_schema(path).metadata
    assert metadata[b"data_source"] == b"sample"
    assert b'"seed": 5' in metadata[b"sample_options"]
    assert is_sample(path)


def test_other_files_are_not_sample(tmp_path: Path) -> None:
    """A file without the label, or no Parquet file at all, is not called sample."""
    path = tmp_path / "file"
    path.write_bytes(b"something else")
    assert not is_sample(path)


def test_trips_are_plausible() -> None:
    """Real zones, city speeds and distances, and rush hours."""
    trips = generate()
    assert set(trips.PULocationID) | set(trips.DOLocationID) <= set(mapped_zones().index)
    assert trips.lpep_pickup_datetime.between("2024-01-01", "2024-01-31 23:59:59").all()
    assert 8 < trips.minutes.median() < 20
    assert 1 < trips.trip_distance.median() < 5
    assert (trips.hour == 17).sum() > 5 * (trips.hour == 4).sum()


def test_every_zone_but_the_quiet_ones_may_have_trips() -> None:
    """Trips reach zones all over the city, and none of the zones that are said to be quiet."""
    table = generate_month(get_service("yellow"), MONTH, SampleOptions(trips=20_000)).to_pandas()
    seen = set(table.PULocationID) | set(table.DOLocationID)
    assert not seen & set(QUIET_ZONES)
    assert max(seen) > 255
    assert len(seen) > 200


def test_there_is_something_to_learn() -> None:
    """Distance explains most of a trip's duration, and the hour some of the rest."""
    trips = generate(trips=20_000)
    assert trips.minutes.corr(trips.trip_distance) > 0.7
    pace = trips.minutes / trips.trip_distance
    assert pace[trips.hour == 16].median() > 1.15 * pace[trips.hour == 4].median()


def test_months_resemble_each_other() -> None:
    """The busy zones of one month are those of the next."""
    first = generate_month(GREEN, MONTH, OPTIONS).to_pandas().PULocationID
    second = generate_month(GREEN, MONTH.next(), OPTIONS).to_pandas().PULocationID
    busiest = {int(zone) for zone in first.value_counts().index[:5]}
    assert len(busiest & {int(zone) for zone in second.value_counts().index[:8]}) >= 4


def test_drift_is_as_told() -> None:
    """Each knob of drift moves what it says."""
    usual = generate()
    longer = generate(drift=Drift(distance_factor=1.5))
    assert longer.trip_distance.median() / usual.trip_distance.median() == pytest.approx(1.5, 0.05)
    slower = generate(drift=Drift(speed_factor=0.75))
    assert slower.minutes.median() > 1.2 * usual.minutes.median()
    assert (slower.trip_distance == usual.trip_distance).all()
    later = generate(drift=Drift(rush_hour_shift=6))
    assert (later.hour == 23).sum() > 2 * (usual.hour == 23).sum()
    with_new_zone = generate(drift=Drift(new_zone=5))
    assert 0.03 < (with_new_zone.PULocationID == 5).mean() < 0.07
    shifted = generate(drift=Drift(zone_shift=0.5))
    busiest = usual.PULocationID.mode()[0]
    assert (shifted.PULocationID == busiest).mean() < 0.7 * (usual.PULocationID == busiest).mean()


def test_dirt_is_as_told() -> None:
    """Each knob of dirt strews what it says, in about the share that it says."""
    dirty = generate(
        dirt=Corruption(
            null_share=0.1,
            stray_share=0.1,
            negative_duration_share=0.1,
            long_duration_share=0.1,
            absurd_distance_share=0.1,
            duplicate_share=0.1,
        )
    )
    assert dirty.trip_distance.isna().mean() == pytest.approx(0.1, abs=0.02)
    assert (dirty.lpep_pickup_datetime.dt.year == 2009).mean() == pytest.approx(0.1, abs=0.02)
    assert (dirty.minutes < 0).mean() == pytest.approx(0.1, abs=0.02)
    assert (dirty.minutes > 9 * 24 * 60 - 300).mean() == pytest.approx(0.1, abs=0.02)
    assert (dirty.trip_distance > 99_999).mean() == pytest.approx(0.1, abs=0.02)
    assert len(dirty) == pytest.approx(4_400, abs=80)
    assert not generate().trip_distance.isna().any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleOptions(trips=0), "trips = 0 is out of bounds"),
        (lambda: SampleOptions(seed=-1), "seed = -1"),
        (lambda: Drift(distance_factor=0.0), "distance_factor = 0.0"),
        (lambda: Drift(distance_factor=float("nan")), "distance_factor = nan"),
        (lambda: Drift(zone_shift=1.5), "zone_shift = 1.5"),
        (lambda: Drift(rush_hour_shift=24), "rush_hour_shift = 24"),
        (lambda: Drift(new_zone=264), "new_zone = 264"),
        (lambda: Drift(new_zone=57), "new_zone = 57 is a zone without trips"),
        (lambda: Corruption(null_share=-0.1), "null_share = -0.1"),
    ],
)
def test_options_have_bounds(make: Any, message: str) -> None:
    """Options out of bounds are refused by name."""
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_service_has_its_columns(name: str) -> None:
    """Generated months hold every column that the service's specification names."""
    table: pd.DataFrame = generate_month(SERVICES[name], MONTH, OPTIONS)
    assert set(SERVICES[name].columns.values()) <= set(table.column_names)


def test_schema_is_the_published_one(published_months: str) -> None:
    """A generated green month has the columns and types of the published one."""
    real = pq.read_schema(Path(published_months) / "green_tripdata_2024-01.parquet")
    made = generate_month(GREEN, MONTH, OPTIONS).schema
    assert {field.name: field.type for field in made} == {field.name: field.type for field in real}

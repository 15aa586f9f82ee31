"""Generated trips as files: dirt strewn in, and the columns that TLC publishes."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trip_duration.sample.city import GeneratedTrips
from trip_duration.sample_options import Corruption
from trip_duration.services import (
    DISTANCE,
    DROPOFF_TIME,
    DROPOFF_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
    Service,
)

_MICROSECONDS_PER_DAY = 86_400 * 1_000_000
#: Rows that real files hold without passenger count, rate, payment and trip type.
_INCOMPLETE_SHARE = 0.06


def corrupt(
    trips: GeneratedTrips, dirt: Corruption, random: np.random.Generator
) -> tuple[GeneratedTrips, npt.NDArray[np.int64]]:
    """Strew dirt into trips; also name the rows of the file, some of which are there twice."""
    count = len(trips.pickup)
    pickup, dropoff, distance = trips.pickup.copy(), trips.dropoff.copy(), trips.distance.copy()
    rows = {
        field.name: random.random(count) < getattr(dirt, field.name)
        for field in dataclasses.fields(dirt)
    }
    distance[rows["null_share"]] = np.nan
    distance[rows["absurd_distance_share"]] = 100_000.0 + 1_000.0 * random.random()
    ends_first = rows["negative_duration_share"]
    pickup[ends_first], dropoff[ends_first] = dropoff[ends_first], pickup[ends_first]
    dropoff[rows["long_duration_share"]] += 9 * _MICROSECONDS_PER_DAY
    other_year = 15 * 365 * _MICROSECONDS_PER_DAY
    pickup[rows["stray_share"]] -= other_year
    dropoff[rows["stray_share"]] -= other_year
    twice = np.sort(np.concatenate([np.arange(count), np.flatnonzero(rows["duplicate_share"])]))
    return GeneratedTrips(pickup, dropoff, trips.pickup_zone, trips.dropoff_zone, distance), twice


def published_columns(
    service: Service, trips: GeneratedTrips, random: np.random.Generator, missing_share: float = 0.0
) -> pa.Table:
    """Trips in the columns and types that TLC publishes for the service.

    Parameters
    ----------
    missing_share
        See `Drift.missing_share`.
    """
    columns = {
        service.columns[PICKUP_TIME]: pa.array(trips.pickup, pa.timestamp("us")),
        service.columns[DROPOFF_TIME]: pa.array(trips.dropoff, pa.timestamp("us")),
        service.columns[PICKUP_ZONE]: pa.array(trips.pickup_zone, pa.int32()),
        service.columns[DROPOFF_ZONE]: pa.array(trips.dropoff_zone, pa.int32()),
        service.columns[DISTANCE]: pa.array(trips.distance, pa.float64(), from_pandas=True),
    }
    if service.name == "fhvhv":
        return pa.table(columns | _for_hire_columns(trips, random))
    incomplete = _INCOMPLETE_SHARE + missing_share
    return pa.table(columns | _taxi_columns(service, trips, random, incomplete))


def _taxi_columns(
    service: Service, trips: GeneratedTrips, random: np.random.Generator, incomplete_share: float
) -> dict[str, pa.Array]:
    count = len(trips.pickup)
    incomplete = random.random(count) < incomplete_share
    miles = np.minimum(np.nan_to_num(trips.distance), 100.0)
    minutes = np.clip((trips.dropoff - trips.pickup) / 6e7, 0, 120)
    fare = np.round(3.0 + 2.1 * miles + 0.4 * minutes, 1)
    tip = np.round(fare * random.choice([0.0, 0.15, 0.2, 0.25], count, p=[0.45, 0.2, 0.25, 0.1]), 2)
    green = service.name == "green"

    def whole(values: npt.NDArray[np.int64]) -> pa.Array:
        return pa.array(values, pa.int64(), mask=incomplete)

    columns = {
        "VendorID": pa.array(random.choice([1, 2], count, p=[0.13, 0.87]), pa.int32()),
        "store_and_fwd_flag": pa.array(np.full(count, "N"), pa.large_string(), mask=incomplete),
        "RatecodeID": whole(random.choice([1, 5], count, p=[0.97, 0.03])),
        "passenger_count": whole(random.choice([1, 2, 3, 5], count, p=[0.83, 0.1, 0.03, 0.04])),
        "payment_type": whole(random.choice([1, 2], count, p=[0.68, 0.32])),
        "fare_amount": pa.array(fare),
        "extra": pa.array(random.choice([0.0, 1.0, 2.5], count, p=[0.5, 0.3, 0.2])),
        "mta_tax": pa.array(np.full(count, 0.5)),
        "tip_amount": pa.array(tip),
        "tolls_amount": pa.array(np.zeros(count)),
        "improvement_surcharge": pa.array(np.ones(count)),
        "total_amount": pa.array(np.round(fare + tip + 1.5, 2)),
        "congestion_surcharge": pa.array(np.zeros(count), mask=incomplete),
    }
    if green:
        columns["ehail_fee"] = pa.nulls(count, pa.float64())
        columns["trip_type"] = whole(random.choice([1, 2], count, p=[0.97, 0.03]))
    else:
        columns["Airport_fee"] = pa.array(np.zeros(count), mask=incomplete)
    return columns


def _for_hire_columns(trips: GeneratedTrips, random: np.random.Generator) -> dict[str, pa.Array]:
    count = len(trips.pickup)
    seconds = (trips.dropoff - trips.pickup) // 1_000_000
    waited = random.integers(60, 600, count) * 1_000_000
    company = random.choice(["HV0003", "HV0005"], count, p=[0.73, 0.27])
    fare = np.round(5.0 + 0.012 * np.clip(seconds, 0, 7_200), 2)
    return {
        "hvfhs_license_num": pa.array(company, pa.large_string()),
        "request_datetime": pa.array(trips.pickup - waited, pa.timestamp("us")),
        "on_scene_datetime": pa.array(trips.pickup - 60_000_000, pa.timestamp("us")),
        "trip_time": pa.array(seconds, pa.int64()),
        "base_passenger_fare": pa.array(fare),
        "tolls": pa.array(np.zeros(count)),
        "tips": pa.array(np.zeros(count)),
        "driver_pay": pa.array(np.round(fare * 0.78, 2)),
        "shared_request_flag": pa.array(np.full(count, "N"), pa.large_string()),
    }

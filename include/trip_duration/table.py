"""Declaration of trips, by which a month is compared with the months before it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from model_loop.history.table import (
    DECIMALS,
    DURATIONS,
    Array,
    ComparedColumn,
    ComparedTable,
    Derived,
    Relation,
    Values,
    ratio_bounds,
)
from trip_duration.geometry import centroid_miles
from trip_duration.services import (
    AMOUNT,
    DISTANCE,
    DROPOFF_ZONE,
    DURATION,
    LAST_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
    get_service,
)

_MAP_DISTANCE = "map_distance"

#: Factors between units of length that are mixed up in practice.
LENGTHS: Mapping[str, float] = {
    "kilometres in place of miles": 1.609344,
    "miles in place of kilometres": 1 / 1.609344,
    "nautical miles": 1 / 1.150779,
    "metres in place of miles": 1_609.344,
    "feet in place of miles": 5_280.0,
    "yards in place of miles": 1_760.0,
    "metres in place of feet": 0.3048,
    "feet in place of metres": 1 / 0.3048,
}


@functools.cache
def trip_table(service: str) -> ComparedTable:
    """Return the table of a service's trips.

    Raises
    ------
    InvalidInputError
        If there is no such service.
    """
    return _TRIPS.limited_to(frozenset({*get_service(service).columns, DURATION}))


def _miles_on_map(values: Values) -> Array:
    pickup, dropoff = (_zone_numbers(values[name]) for name in (PICKUP_ZONE, DROPOFF_ZONE))
    miles: Array = _miles_between()[pickup, dropoff]
    return miles


def _zone_numbers(zones: Array) -> npt.NDArray[np.int64]:
    """Return whole numbers of zones, 0 where there is no such zone."""
    known = (zones >= 1) & (zones <= LAST_ZONE)
    return np.where(known, zones, 0).astype(np.int64)


@functools.cache
def _miles_between() -> Array:
    """Return the miles between each two zones: pairs of zones are fewer than trips."""
    numbers = np.arange(LAST_ZONE + 1)
    pickup, dropoff = np.meshgrid(numbers, numbers, indexing="ij")
    miles = centroid_miles(pickup.ravel(), dropoff.ravel()).reshape(pickup.shape)
    # Within a zone, and to and from zones without a place, the map says nothing.
    return np.where(miles > 0, miles, np.nan)


def _detour(values: Values) -> Array:
    return np.log(values[DISTANCE] / values[_MAP_DISTANCE])


def _speed(values: Values) -> Array:
    return np.log(values[DISTANCE] / values[DURATION] * 60)


def _straight_speed(values: Values) -> Array:
    return np.log(values[_MAP_DISTANCE] / values[DURATION] * 60)


def _amount_per_mile(values: Values) -> Array:
    return np.log(values[AMOUNT] / values[DISTANCE])


def _amount_per_minute(values: Values) -> Array:
    return np.log(values[AMOUNT] / values[DURATION])


_TRIPS = ComparedTable(
    columns=(
        ComparedColumn(PICKUP_TIME, "time"),
        ComparedColumn(PICKUP_ZONE, "category"),
        ComparedColumn(DROPOFF_ZONE, "category"),
        ComparedColumn(PASSENGERS, "category"),
        ComparedColumn(VENDOR, "category"),
        ComparedColumn(TRIP_TYPE, "category"),
        ComparedColumn(DISTANCE, "number", {**LENGTHS, **DECIMALS}),
        ComparedColumn(AMOUNT, "number", DECIMALS, outcome=True),
        ComparedColumn(DURATION, "number", {**DURATIONS, **DECIMALS}),
    ),
    time=PICKUP_TIME,
    target=DURATION,
    identity=(PICKUP_ZONE, DROPOFF_ZONE, DISTANCE, AMOUNT, DURATION),
    derived=(
        Derived(
            _MAP_DISTANCE,
            "the distance on the map",
            (PICKUP_ZONE, DROPOFF_ZONE),
            _miles_on_map,
            input=True,
        ),
        Derived(
            "detour",
            "the metered distance against that on the map",
            (DISTANCE, _MAP_DISTANCE),
            _detour,
            fixed=True,
            usual=ratio_bounds(1.0, 1.7),
        ),
        Derived("speed", "the speed", (DISTANCE, DURATION), _speed, usual=ratio_bounds(4, 35)),
        Derived(
            "straight_speed",
            "the speed along the map",
            (_MAP_DISTANCE, DURATION),
            _straight_speed,
        ),
        Derived("amount_per_mile", "the amount for a mile", (AMOUNT, DISTANCE), _amount_per_mile),
        Derived(
            "amount_per_minute",
            "the amount for a minute",
            (AMOUNT, DURATION),
            _amount_per_minute,
        ),
    ),
    # The lowest of 6 published months, 24 weeks and 180 days of them: 0.695, 0.678 and 0.694; of
    # shuffled values about 0.
    related=(
        Relation(DISTANCE, DURATION, least=0.5, refused=0.3),
        Relation(_MAP_DISTANCE, DISTANCE, least=0.5, refused=0.3),
        Relation(_MAP_DISTANCE, DURATION, least=0.5, refused=0.3),
    ),
)

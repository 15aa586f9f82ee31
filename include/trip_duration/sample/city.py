"""A made-up city on real zones: where trips begin and end, when, and how long they take."""

from __future__ import annotations

import calendar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.days import HOURS_PER_DAY, SECONDS_PER_DAY, weekday_of
from trip_duration.geometry import EARTH_RADIUS_MILES
from trip_duration.months import Month
from trip_duration.sample_options import QUIET_ZONES, Drift
from trip_duration.zones import mapped_zones

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

#: Streets are longer than the straight line.
_DETOUR = 1.35
#: Miles within one zone.
_WITHIN_ZONE = 0.8
#: Miles over which the number of trips falls to a third.
_REACH = 2.5
#: Minutes before and after the ride itself.
_OVERHEAD = 1.5
_NEW_ZONE_SHARE = 0.05

#: Share of a weekday's trips by hour, and typical miles an hour: shaped like green taxis in 2024.
_DEMAND = np.array(
    [18, 13, 9, 7, 5, 5, 14, 40, 49, 53, 52, 53, 53, 57, 64, 73, 77, 83, 79, 63, 47, 35, 28, 22],
    dtype=np.float64,
)
_SPEED = np.repeat(
    # Two hours each, from midnight.
    [12.2, 12.0, 15.5, 11.3, 9.8, 10.5, 10.1, 9.4, 9.5, 10.6, 11.5, 12.2],
    2,
)
_WEEKDAY_DEMAND = np.array([0.95, 1.05, 1.1, 1.05, 1.05, 0.95, 0.8])
_WEEKEND = 5
_WEEKEND_SPEED = 1.12
_BOROUGH_SPEED = {
    "Manhattan": 0.9,
    "Brooklyn": 0.95,
    "Queens": 1.1,
    "Bronx": 1.05,
    "Staten Island": 1.35,
    "EWR": 1.4,
}
#: Share of the trips in each borough. Green taxis stay out of the Manhattan core.
_BOROUGH_DEMAND = {
    "green": {"Manhattan": 6, "Queens": 3, "Brooklyn": 1.6, "Bronx": 0.3},
    "yellow": {"Manhattan": 20, "Queens": 1.5, "Brooklyn": 0.5, "Bronx": 0.05},
    "fhvhv": {"Manhattan": 8, "Queens": 4, "Brooklyn": 5, "Bronx": 2.5, "Staten Island": 0.4},
}
_ELSEWHERE_DEMAND = 0.02
_GREEN_LATITUDE = 40.78


@dataclass(frozen=True)
class GeneratedTrips:
    """Generated trips, each array of shape (trips,), ordered by pick-up.

    Parameters
    ----------
    pickup, dropoff
        Microseconds since the epoch.
    pickup_zone, dropoff_zone
        Zone ids.
    distance
        Miles; NaN where it is missing.
    """

    pickup: _Ints
    dropoff: _Ints
    pickup_zone: _Ints
    dropoff_zone: _Ints
    distance: _Floats


class City:
    """The zones with the traffic between them.

    Parameters
    ----------
    service
        Name of the service: decides which boroughs it serves.
    random
        Decides which zones are busy; trips have a generator of their own.
    """

    def __init__(self, service: str, random: np.random.Generator) -> None:
        zones = mapped_zones().drop(index=list(QUIET_ZONES))
        self.ids = zones.index.to_numpy(dtype=np.int64)
        self.miles = _miles_between(zones)
        self.speed = zones["borough"].map(_BOROUGH_SPEED).to_numpy(dtype=np.float64)
        self.demand = _zone_demand(zones, service, random)
        toward = random.permutation(self.demand) + self.demand
        attraction = toward * np.exp(-self.miles / _REACH)
        self.cumulative = np.cumsum(attraction / attraction.sum(axis=1, keepdims=True), axis=1)

    def travel(
        self, month: Month, trips: int, drift: Drift, random: np.random.Generator
    ) -> GeneratedTrips:
        """Trips of one month."""
        pickup = _pickup_seconds(month, trips, drift.rush_hour_shift, random)
        start, end = self._zones(trips, drift, random)
        distance = self.miles[start, end] * random.lognormal(0.0, 0.15, trips)
        distance = np.maximum(np.round(distance * drift.distance_factor, 2), 0.05)
        hours = distance / self._speed(pickup, start, end, distance, drift, random)
        seconds = np.round(hours * 3_600 + _OVERHEAD * 60).astype(np.int64)
        return GeneratedTrips(
            pickup=pickup * 1_000_000,
            dropoff=(pickup + seconds) * 1_000_000,
            pickup_zone=self.ids[start],
            dropoff_zone=self.ids[end],
            distance=distance,
        )

    def _zones(self, trips: int, drift: Drift, random: np.random.Generator) -> tuple[_Ints, _Ints]:
        start = random.choice(len(self.ids), size=trips, p=self.demand)
        quiet = self.demand[np.argsort(self.demand)[::-1][np.argsort(np.argsort(self.demand))]]
        elsewhere = random.choice(len(self.ids), size=trips, p=quiet)
        start = np.where(random.random(trips) < drift.zone_shift, elsewhere, start)
        if drift.new_zone is not None:
            new = int(np.searchsorted(self.ids, drift.new_zone))
            start = np.where(random.random(trips) < _NEW_ZONE_SHARE, new, start)
        # Row by row the cumulative shares run from 0 to 1; adding the row's number makes one
        # increasing sequence of them all, in which every draw is found at once.
        steps = (self.cumulative + np.arange(len(self.ids))[:, None]).ravel()
        found = np.searchsorted(steps, start + random.random(trips))
        return start, np.minimum(found - start * len(self.ids), len(self.ids) - 1)

    def _speed(
        self,
        pickup: _Ints,
        start: _Ints,
        end: _Ints,
        distance: _Floats,
        drift: Drift,
        random: np.random.Generator,
    ) -> _Floats:
        """Return the speed of trips, in miles an hour."""
        hour, weekday = (pickup // 3_600) % HOURS_PER_DAY, weekday_of(pickup // SECONDS_PER_DAY)
        weekend = np.where(weekday >= _WEEKEND, _WEEKEND_SPEED, 1.0)
        district = np.sqrt(self.speed[start] * self.speed[end])
        # Long trips use the highways.
        highway = np.minimum(1.0 + 0.07 * distance, 2.2)
        noise = random.lognormal(0.0, 0.25, len(pickup))
        speed: _Floats = _SPEED[hour] * weekend * district * highway * noise * drift.speed_factor
        return speed


def _pickup_seconds(
    month: Month, trips: int, rush_hour_shift: int, random: np.random.Generator
) -> _Ints:
    """Pick-up times in seconds since the epoch, ordered."""
    days = calendar.monthrange(month.year, month.number)[1]
    first = int(pd.Timestamp(month.start).timestamp())
    hours = np.arange(days * 24)
    weekday = weekday_of(first // SECONDS_PER_DAY + hours // HOURS_PER_DAY)
    weight = _DEMAND[(hours - rush_hour_shift) % 24] * _WEEKDAY_DEMAND[weekday]
    chosen = random.choice(hours, size=trips, p=weight / weight.sum())
    seconds: _Ints = np.sort(first + chosen * 3_600 + random.integers(0, 3_600, trips))
    return seconds


def _zone_demand(zones: pd.DataFrame, service: str, random: np.random.Generator) -> _Floats:
    """Share of the pick-ups of each zone: few busy ones, many quiet ones."""
    served = _BOROUGH_DEMAND[service]
    borough = zones["borough"].map(lambda name: served.get(name, _ELSEWHERE_DEMAND))
    demand = borough.to_numpy(dtype=np.float64) * random.pareto(1.3, len(zones))
    if service == "green":
        core = (zones["borough"] == "Manhattan") & (zones["latitude"] < _GREEN_LATITUDE)
        demand = np.where(core, demand * _ELSEWHERE_DEMAND, demand)
    share: _Floats = demand / demand.sum()
    return share


def _miles_between(zones: pd.DataFrame) -> _Floats:
    """Miles on the street between each two zones (haversine formula, with a detour)."""
    latitude, longitude = np.radians(zones[["latitude", "longitude"]].to_numpy().T)
    across = np.sin((latitude[:, None] - latitude) / 2) ** 2
    along = np.sin((longitude[:, None] - longitude) / 2) ** 2
    angle = across + np.cos(latitude[:, None]) * np.cos(latitude) * along
    miles: _Floats = 2 * EARTH_RADIUS_MILES * np.arcsin(np.sqrt(angle)) * _DETOUR
    np.fill_diagonal(miles, _WITHIN_ZONE)
    return miles

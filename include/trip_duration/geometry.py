"""Geometry of the zones: features of a trip from the map, known before it begins."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trip_duration.zones import AIRPORTS, zones

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EARTH_RADIUS_MILES = 3_958.8

#: Value for a length or an area that the map does not have; no real one is negative.
UNKNOWN = -1.0


@dataclass(frozen=True)
class _Map:
    """Facts of the zones, each of shape (zones + 1,), by zone number; row 0 is not a zone."""

    latitude: FloatArray
    longitude: FloatArray
    area: FloatArray
    borough: FloatArray
    airport: FloatArray

    def at(self, zone: IntArray) -> _Map:
        """The facts of the zone of each trip."""
        known = np.where((zone > 0) & (zone < len(self.area)), zone, 0)
        return _Map(**{name: values[known] for name, values in vars(self).items()})


@functools.cache
def _map() -> _Map:
    table = zones()
    table = table.reindex(range(table.index.max() + 1))
    boroughs = sorted(table.borough.dropna().unique())
    return _Map(
        latitude=table.latitude.to_numpy(),
        longitude=table.longitude.to_numpy(),
        area=table.square_kilometers.fillna(UNKNOWN).to_numpy(),
        borough=table.borough.map({name: number for number, name in enumerate(boroughs)})
        .fillna(UNKNOWN)
        .to_numpy(dtype=np.float64),
        airport=np.isin(table.index, AIRPORTS).astype(np.float64),
    )


def centroid_miles(pickup: IntArray, dropoff: IntArray) -> FloatArray:
    """Distance between the centroids of two zones, in miles, shape (trips,).

    On a plane that touches the sphere half-way between them, which is exact enough within a city;
    `UNKNOWN` where a zone has no place.
    """
    return _between(_map().at(pickup), _map().at(dropoff))["centroid_distance"]


def features(pickup: IntArray, dropoff: IntArray) -> Mapping[str, FloatArray]:
    """Return the map features of trips from zone to zone: named columns of shape (trips,)."""
    begin, end = _map().at(pickup), _map().at(dropoff)
    sides = {
        f"{side}_{name}": _filled(values)
        for side, place in (("pickup", begin), ("dropoff", end))
        for name, values in vars(place).items()
    }
    return {**sides, **_between(begin, end)}


def _between(begin: _Map, end: _Map) -> dict[str, FloatArray]:
    latitude = np.radians((begin.latitude + end.latitude) / 2)
    north = np.radians(end.latitude - begin.latitude) * EARTH_RADIUS_MILES
    east = np.radians(end.longitude - begin.longitude) * np.cos(latitude) * EARTH_RADIUS_MILES
    return {
        "centroid_distance": _filled(np.hypot(north, east)),
        # Streets run in a grid: the way along its axes.
        "grid_distance": _filled(np.abs(north) + np.abs(east)),
        # Radians, counted from the east.
        "direction": np.nan_to_num(np.arctan2(north, east), nan=0.0),
    }


def _filled(values: FloatArray) -> FloatArray:
    return np.nan_to_num(values, nan=UNKNOWN)

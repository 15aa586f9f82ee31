"""Positions of the zones, read without pandas."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from importlib import resources


@functools.cache
def zone_coordinates() -> Mapping[int, tuple[float, float]]:
    """Latitude and longitude (degrees) of the zones that have a place on the map, by number."""
    with resources.files("trip_duration").joinpath("zones.csv").open() as file:
        return {
            int(row["LocationID"]): (float(row["latitude"]), float(row["longitude"]))
            for row in csv.DictReader(file)
            if row["latitude"]
        }


def coordinates_of(zone: int) -> tuple[float, float] | None:
    """Return the position of a zone; None where it has none."""
    return zone_coordinates().get(zone)

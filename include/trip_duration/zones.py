"""The taxi zones: number, borough, name, centroid and area.

``zones.csv`` is derived from TLC's zone look-up table and zone shapes
(https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page). A centroid is that of the zone's
largest polygon, an area that of all its polygons (shoelace formula). The shapes are listed in the
order of the zones, by which 57, 104 and 105 are found: their own labels repeat those of 56 and 103.
264 and 265 mean "unknown" and "outside" and have no place.
"""

from __future__ import annotations

import functools
from importlib import resources

import pandas as pd

_NUMBERS = ("latitude", "longitude", "square_kilometers")

#: The zones that are airports: Newark, John F. Kennedy and LaGuardia.
AIRPORTS = (1, 132, 138)


@functools.cache
def _read() -> pd.DataFrame:
    with resources.files("trip_duration").joinpath("zones.csv").open() as file:
        # "N/A" is the borough of zone 265, not a missing value.
        zones = pd.read_csv(file, keep_default_na=False, na_values=dict.fromkeys(_NUMBERS, ""))
    return zones.set_index("LocationID")


def zones() -> pd.DataFrame:
    """All 265 zones by ``LocationID``: borough, zone, latitude, longitude (degrees), area."""
    return _read().copy()


def mapped_zones() -> pd.DataFrame:
    """The 263 zones that have a place on the map."""
    return zones().dropna(subset=["latitude", "longitude"])

"""What the map tells of a trip."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trip_duration import geometry
from trip_duration.zones import mapped_zones

JFK, LAGUARDIA, TIMES_SQUARE, UNKNOWN_ZONE = 132, 138, 230, 264


def trips(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pick-up and drop-off zones."""
    pickup, dropoff = np.array(pairs, dtype=np.int64).T
    return pickup, dropoff


def haversine_miles(pickup: int, dropoff: int) -> float:
    """The exact distance on a sphere."""
    places = mapped_zones().loc[[pickup, dropoff], ["latitude", "longitude"]].to_numpy()
    (lat1, lon1), (lat2, lon2) = np.radians(places)
    half = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * 3_958.8 * math.asin(math.sqrt(half))


@pytest.mark.parametrize("pair", [(JFK, TIMES_SQUARE), (74, 75), (1, 23)])
def test_distances_are_those_of_the_sphere(pair: tuple[int, int]) -> None:
    """Within the city, the plane and the sphere agree."""
    ours = geometry.centroid_miles(*trips(pair))[0]
    assert ours == pytest.approx(haversine_miles(*pair), rel=1e-4)


def test_sides_have_places_boroughs_and_airports() -> None:
    """Each side of a trip is described by the facts of its zone."""
    found = {name: values[0] for name, values in geometry.features(*trips((JFK, 74))).items()}
    assert (found["pickup_airport"], found["dropoff_airport"]) == (1.0, 0.0)
    assert found["pickup_borough"] != found["dropoff_borough"]
    assert found["pickup_area"] > found["dropoff_area"] > 0
    assert found["direction"] > 0  # East Harlem is north of the airport.
    assert found["grid_distance"] > found["centroid_distance"]


@pytest.mark.parametrize("zone", [0, -1, UNKNOWN_ZONE, 265, 266, 10**6])
def test_zones_without_a_place_are_marked(zone: int) -> None:
    """Nothing is made up of a zone that is not on the map."""
    found = geometry.features(*trips((zone, LAGUARDIA)))
    for name in ("pickup_latitude", "pickup_area", "centroid_distance", "grid_distance"):
        assert found[name][0] == geometry.UNKNOWN
    assert all(np.isfinite(values).all() for values in found.values())


def test_within_a_zone_there_is_no_distance() -> None:
    """From a zone to itself, the centroids agree."""
    assert geometry.centroid_miles(*trips((74, 74)))[0] == 0

"""The taxi zones."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from trip_duration.zones import mapped_zones, zones


def test_zones_are_complete() -> None:
    """All 265 zones are listed; the 263 on the map lie in and around New York."""
    assert list(zones().index) == list(range(1, 266))
    mapped = mapped_zones()
    assert list(mapped.index) == list(range(1, 264))
    assert mapped.latitude.between(40.4, 41.0).all()
    assert mapped.longitude.between(-74.3, -73.6).all()
    assert zones().loc[239, "zone"] == "Upper West Side South"


def test_zones_of_one_name_have_places_of_their_own() -> None:
    """Zones whose shapes TLC labels alike are told apart: no two zones share a centroid."""
    assert not mapped_zones().duplicated(["latitude", "longitude"]).any()


def test_callers_cannot_change_the_zones() -> None:
    """What a caller does to its table is not seen by the next."""
    mine = zones()
    mine.loc[1, "zone"] = "changed"
    assert zones().loc[1, "zone"] == "Newark Airport"


@pytest.mark.whole_months
def test_names_are_the_published_ones(whole_months: str) -> None:
    """Boroughs and names are those of TLC's look-up table."""
    with (Path(whole_months) / "taxi_zone_lookup.csv").open() as file:
        published = {int(row["LocationID"]): row for row in csv.DictReader(file)}
    ours = zones()
    assert set(ours.index) == set(published)
    for zone, row in published.items():
        assert (ours.loc[zone, "borough"], ours.loc[zone, "zone"]) == (row["Borough"], row["Zone"])

"""The map of the zones, with and without a zone file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.dashboard.conftest import Documents, MakeSources

from model_loop.dashboard.page import Page
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.types import LoggedPartition

MONTH = LoggedPartition("3" * 32, "green", "2024-03", "sample", 1.7e9, {"rows": 60.0})
PROFILE = {
    "zones": [
        {"zone": zone, "trips": trips, "mean_duration": minutes}
        for zone, trips, minutes in ((74, 30, 10.0), (75, 20, 15.0), (166, 10, 20.0))
    ]
}


def square(name: str, number: Any, west: float, south: float) -> dict[str, Any]:
    """A zone of a file, a hundredth of a degree wide."""
    ring = [[west + x, south + y] for x, y in ((0, 0), (0.01, 0), (0.01, 0.01), (0, 0.01), (0, 0))]
    return {"properties": {name: number}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def zone_file(folder: Path, *features: dict[str, Any]) -> str:
    """A GeoJSON file."""
    file = folder / "zones.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(file)


def drawn(make_sources: MakeSources, file: str, measure: str = "duration") -> list[dict[str, Any]]:
    """The traces of the map of a month."""
    documents = Documents({f"{MONTH.run_id}/profile.json": PROFILE})
    page = PAGES["data"](make_sources(documents, file, partitions=(MONTH,)), {"map": measure})
    assert page.notes == []
    figure = next(chart.figure for chart in page.charts if chart.name == "zones")
    assert figure is not None
    traces: list[dict[str, Any]] = figure["data"]
    return traces


def test_zones_of_a_file_are_filled_by_their_value(
    make_sources: MakeSources, tmp_path: Path
) -> None:
    """However the file writes their number; a zone that it lacks stays a circle."""
    file = zone_file(
        tmp_path,
        square("locationid", "74", -73.95, 40.80),
        square("LocationID", 166, -73.97, 40.81),
        # A second part of a zone, one that nobody knows, and one without a place.
        square("location_id", "166", -73.99, 40.82),
        square("objectid", 1, -73.99, 40.85),
        {"properties": {"LocationID": 9}, "geometry": None},
    )
    outlines, *areas, circles = drawn(make_sources, file)
    assert outlines["x"].count(None) == 4
    texts = {area["text"].partition("<br>")[2]: area for area in areas}
    assert set(texts) == {
        "30 trips<br>mean duration (min): 10", "10 trips<br>mean duration (min): 20",
    }  # fmt: skip
    low, high = (texts[text] for text in sorted(texts, reverse=True))
    assert {area["fill"] for area in areas} == {"toself"}
    assert {area["hoveron"] for area in areas} == {"fills"}
    assert low["fillcolor"] == "@scaled0.000"
    assert high["fillcolor"] == "@scaled1.000"
    assert high["x"].count(None) == 2
    assert circles["customdata"] == [[20, 15.0]]
    assert (circles["marker"]["cmin"], circles["marker"]["cmax"]) == (10.0, 20.0)


def test_colours_mean_what_is_shown(make_sources: MakeSources, tmp_path: Path) -> None:
    """The same zones by another measure are coloured the other way round."""
    file = zone_file(tmp_path, *(square("LocationID", zone, -73.9, 40.7) for zone in (74, 75, 166)))
    by_measure = {
        measure: {
            trace["text"].partition("<br>")[0]: trace["fillcolor"]
            for trace in drawn(make_sources, file, measure)[1:-1]
        }
        for measure in ("pickups", "duration")
    }
    first, second = by_measure.values()
    assert len(first) == 3
    assert max(first, key=first.__getitem__) == min(second, key=second.__getitem__)


def test_without_a_file_zones_are_circles(make_sources: MakeSources) -> None:
    """As large as they have trips."""
    (circles,) = drawn(make_sources, "")
    assert len(circles["x"]) == 3
    assert circles["marker"]["size"][-1] == max(circles["marker"]["size"])


@pytest.mark.parametrize("name", ["data", "playground"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"features": [square("LocationID", 1, 900_000, 0)]}, "is not in degrees"),
        ({"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}}]}, "cannot be read"),
        ({"features": [{"geometry": {"type": "Polygon", "coordinates": []}}]}, "cannot be read"),
        ([], "cannot be read"),
        (None, "cannot be read"),
    ],
    ids=["metres", "points", "empty", "no collection", "no file"],
)
def test_a_file_that_is_none_is_told(
    make_sources: MakeSources, tmp_path: Path, name: str, content: Any, why: str
) -> None:
    """The page says what is wrong and what to give, and shows circles."""
    file = tmp_path / "zones.geojson"
    if content is not None:
        file.write_text(json.dumps(content))
    page: Page = PAGES[name](make_sources(zone_file=str(file), partitions=(MONTH,)), {})
    (note,) = page.notes
    assert why in note
    assert "MODEL_LOOP_DASHBOARD_ZONE_FILE" in note

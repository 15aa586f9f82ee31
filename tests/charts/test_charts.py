"""The charts of a model and of a month say what their numbers say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.trip_duration.conftest import JANUARY

from model_loop.charts.chart import Chart
from model_loop.charts.models import model_charts
from model_loop.charts.wording import Wording
from trip_duration.charts.months import month_charts
from trip_duration.charts.zones import DURATION, LEAST_TRIPS, rows_of_month, zones_chart
from trip_duration.dataset import TRIPS
from trip_duration.profile import ProfileBuilder

WORDS = Wording.of(TRIPS)


def named(charts: list[Chart], name: str) -> Chart:
    """Return a chart by its name."""
    return next(chart for chart in charts if chart.name == name)


def trace(chart: Chart, number: int = 0) -> Any:
    """Return a trace of its figure."""
    assert chart.figure is not None
    return chart.figure["data"][number]


def test_residuals_are_the_errors(numbers: dict[str, Any]) -> None:
    """All test trips are in the bars and in the cells."""
    charts = model_charts(numbers, WORDS)
    trips = numbers["test"]["rows"]
    assert sum(trace(named(charts, "residuals"))["y"]) == trips
    cells = trace(named(charts, "predicted_and_actual"))["z"]
    assert sum(cell or 0 for row in cells for cell in row) == trips
    assert f"{numbers['test']['half_within']:.1f} min" in named(charts, "residuals").about


def test_every_slice_has_its_bar(numbers: dict[str, Any]) -> None:
    """There is one bar for each line of the table."""
    slices = [
        chart for chart in model_charts(numbers, WORDS) if chart.name.startswith("errors_by_")
    ]
    assert len(slices) == len({row["slice"] for row in numbers["test"]["slices"]})
    assert sum(len(trace(chart)["x"]) for chart in slices) == len(numbers["test"]["slices"])


def test_the_best_trial_stands_out() -> None:
    """The best trial, one that was pruned and another differ, and the best is drawn last."""
    curves = [
        {"trial": 0, "steps": [2, 4], "errors": [9.0, 6.0], "stopped": "", "best": False},
        {"trial": 1, "steps": [2, 4], "errors": [8.0, 5.0], "stopped": "", "best": True},
        {"trial": 2, "steps": [2], "errors": [9.5], "stopped": "median", "best": False},
    ]
    chart = named(model_charts({"curves": curves}, WORDS), "learning_curves")
    assert chart.figure is not None
    lines = [trace["line"] for trace in chart.figure["data"]]
    assert len({line["color"] for line in lines}) == len(curves)
    assert lines[-1]["width"] > lines[0]["width"]
    assert [row[-1] for row in chart.table.rows].count("best") == 2


def test_a_model_without_numbers_has_empty_charts() -> None:
    """Of a run that was stopped, or of an earlier version."""
    assert not any(chart.table.rows for chart in model_charts({}, WORDS))


def test_counts_are_those_of_the_profile(profile: dict[str, Any]) -> None:
    """Histograms, days and hours show them, weekdays below each other."""
    charts = month_charts(profile)
    for name, counts in (
        ("duration_histogram", profile["durations"]["counts"]),
        ("distance_histogram", profile["distances"]["counts"]),
        ("trips_by_day", profile["per_day"]),
    ):
        assert trace(named(charts, name))["y"] == counts
    hours = trace(named(charts, "trips_by_hour"))
    assert (hours["z"], hours["y"][0]) == (profile["per_weekday_and_hour"], "Mon")
    missing = named(charts, "missing_values")
    assert len(trace(missing)["y"]) == len(profile["columns"])


@pytest.mark.parametrize("measure", ["pickups", "duration"])
def test_the_map_shows_zones_with_a_centroid(profile: dict[str, Any], measure: str) -> None:
    """The largest circle where most trips begin; means of few trips are left out."""
    rows = rows_of_month(profile, measure)
    least = LEAST_TRIPS if measure == "duration" else 1
    assert {row[0] for row in rows} == {
        zone["zone"] for zone in profile["zones"] if zone["trips"] >= least
    }
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
    circles = trace(zones_chart(rows, DURATION), -1)
    sizes, trips = circles["marker"]["size"], [trips for trips, _ in circles["customdata"]]
    assert sizes.index(max(sizes)) == trips.index(max(trips))


def test_a_month_without_trips_has_no_map() -> None:
    """Nothing is drawn of a profile without zones."""
    charts = month_charts(ProfileBuilder("green", JANUARY).build().to_json())
    assert not named(charts, "zones").table.rows

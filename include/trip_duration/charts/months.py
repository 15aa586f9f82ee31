"""Charts of a month, by its profile: how many trips there are, how long, when and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable
from model_loop.charts.formatting import percent
from trip_duration.charts.columns import NO_PROFILE, column_charts
from trip_duration.charts.zones import DURATION, rows_of_month, zones_chart

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def month_charts(profile: Mapping[str, Any]) -> list[Chart]:
    """Return the charts of the run of a month."""
    return [
        *trips_charts(profile, profile["month"]),
        zones_chart(rows_of_month(profile, "duration"), DURATION),
        *column_charts(profile),
    ]


def trips_charts(profile: Mapping[str, Any] | None, title: str) -> list[Chart]:
    """Return the charts of the trips of a month."""
    profile = profile or {}
    return [
        _histogram(profile.get("durations"), "duration_histogram", "Durations", "minutes"),
        _histogram(profile.get("distances"), "distance_histogram", "Distances", "miles"),
        _days(profile.get("per_day") or (), title),
        _hours(profile.get("per_weekday_and_hour") or ()),
    ]


def _histogram(found: Mapping[str, Any] | None, name: str, what: str, unit: str) -> Chart:
    edges, counts = (found["edges"], found["counts"]) if found else ([], [])
    total = sum(counts) or 1
    largest = max(range(len(counts)), key=lambda place: counts[place], default=0)
    width = edges[1] - edges[0] if found else 1
    said = (
        f"Most trips take {edges[largest]:g} to {edges[largest] + width:g} {unit}; "
        f"{percent(counts[-1] / total)} are beyond {edges[-1]:g} and counted in the last bar."
        if found
        else ""
    )
    return Chart(
        name,
        what,
        f"trips by {unit}",
        said,
        ChartTable((f"from ({unit})", "trips"), list(zip(edges, counts, strict=True))),
        NO_PROFILE,
        figures.histogram(edges, counts, title=unit, values="trips") if found else None,
    )


def _days(days: Sequence[int], month: str) -> Chart:
    rows = [(f"{month}-{number:02}", count) for number, count in enumerate(days, 1)]
    return Chart(
        "trips_by_day",
        "Trips by day",
        "trips",
        f"{min(days):,} to {max(days):,} trips begin on a day." if days else "",
        ChartTable(("day", "trips"), rows),
        NO_PROFILE,
        figures.lines({"trips": rows}, title="trips", dates=True, zero=True),
    )


def _hours(table: Sequence[Sequence[int]]) -> Chart:
    rows = [(weekday, *hours) for weekday, hours in zip(_WEEKDAYS, table, strict=bool(table))]
    busiest = max(
        ((count, weekday, hour) for weekday, *hours in rows for hour, count in enumerate(hours)),
        default=(0, "", 0),
    )
    return Chart(
        "trips_by_hour",
        "Trips by weekday and hour",
        "trips",
        f"Most trips begin on {busiest[1]} at {busiest[2]}:00: {busiest[0]:,}." if rows else "",
        ChartTable(("weekday", *(f"{hour}:00" for hour in range(24))), rows),
        NO_PROFILE,
        figures.heatmap(
            [f"{hour}" for hour in range(24)],
            _WEEKDAYS,
            table,
            bar="trips",
            xaxis={"title": {"text": "hour of the pick-up"}, "dtick": 3},
            yaxis={"autorange": "reversed"},
        )
        if rows
        else None,
    )

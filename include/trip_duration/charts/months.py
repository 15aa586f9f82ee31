"""Charts of a month, by its profile: how many trips there are, how long, when and from where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.charts.chart import Chart
from model_loop.charts.columns import column_charts
from model_loop.charts.partitions import days_chart, histogram_chart, hours_chart
from model_loop.charts.wording import Wording
from trip_duration.charts.zones import DURATION, NO_PROFILE, rows_of_month, zones_chart
from trip_duration.dataset import TRIPS


def month_charts(profile: Mapping[str, Any]) -> list[Chart]:
    """Return the charts of the run of a month."""
    return [
        *trips_charts(profile, profile["month"]),
        zones_chart(rows_of_month(profile, "duration"), DURATION),
        *column_charts(profile, TRIPS, NO_PROFILE),
    ]


def trips_charts(profile: Mapping[str, Any] | None, month: str) -> list[Chart]:
    """Return the charts of the trips of a month."""
    profile, words, none = profile or {}, Wording.of(TRIPS), NO_PROFILE
    counts = enumerate(profile.get("per_day") or (), 1)
    days = [(f"{month}-{number:02}", count) for number, count in counts]
    return [
        histogram_chart(f"{name}_histogram", title, unit, profile.get(key), words, none)
        for name, title, unit, key in (
            ("duration", "Durations", "minutes", "durations"),
            ("distance", "Distances", "miles", "distances"),
        )
    ] + [
        days_chart(days, words, none),
        hours_chart(profile.get("per_weekday_and_hour") or (), words, none, "hour of the pick-up"),
    ]

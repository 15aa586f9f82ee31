"""The columns of a month: what they are like, what is missing, what is frequent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import percent, plain
from trip_duration.zone_names import zone_labels

NO_PROFILE = Empty("This month has no profile on the tracking server.", "green_months")
#: Columns whose values are names of something: their most frequent ones are told.
_COUNTED = ("PULocationID", "DOLocationID", "passenger_count", "VendorID", "trip_type")


def column_charts(profile: Mapping[str, Any] | None) -> list[Chart]:
    """Draw the distributions of the columns of a month, by its profile."""
    columns = (profile or {}).get("columns", ())
    return [
        _feature_profiles(columns),
        _missing(columns),
        _distinct(columns),
        _frequent(columns),
    ]


def _feature_profiles(columns: Sequence[Mapping[str, Any]]) -> Chart:
    rows = [
        (
            column["name"],
            column["known"],
            column["missing"],
            column["distinct"],
            *(plain(column[name]) for name in ("mean", "standard_deviation", "minimum", "maximum")),
            *(plain(column["quantiles"].get(share)) for share in ("0.05", "0.5", "0.95")),
        )
        for column in columns
    ]
    return Chart(
        "feature_profiles",
        "Feature profiles",
        "",
        "Every column of the sound trips: how many values, how they are spread. Durations in "
        "minutes, distances in miles.",
        ChartTable(
            (
                "column",
                "known",
                "missing",
                "distinct",
                "mean",
                "std",
                "min",
                "max",
                "5 %",
                "50 %",
                "95 %",
            ),
            rows,
        ),
        NO_PROFILE,
        wide=True,
    )


def _missing(columns: Sequence[Mapping[str, Any]]) -> Chart:
    rows = sorted(
        (
            (
                column["name"],
                column["missing"],
                column["missing"] / max(column["missing"] + column["known"], 1),
            )
            for column in columns
        ),
        key=lambda row: -row[2],
    )
    lacking = [row for row in rows if row[1]]
    said = ", ".join(f"{row[0]} {percent(row[2])}" for row in lacking) if lacking else "nothing"
    return Chart(
        "missing_values",
        "Missing values",
        "share of the trips",
        f"Missing: {said}.",
        ChartTable(("column", "missing", "share"), rows),
        NO_PROFILE,
        figures.bars(
            [row[0] for row in rows],
            [row[2] for row in rows],
            title="share of the trips",
            horizontal=True,
            labels=[percent(row[2]) for row in rows],
            form=".0%",
        ),
    )


def _distinct(columns: Sequence[Mapping[str, Any]]) -> Chart:
    rows = sorted(
        ((column["name"], column["distinct"]) for column in columns), key=lambda row: -row[1]
    )
    figure = figures.bars(
        [row[0] for row in rows],
        [row[1] for row in rows],
        title="distinct values (logarithmic)",
        horizontal=True,
        labels=[f"{row[1]:,}" for row in rows],
    )
    layout = {**figure["layout"], "xaxis": {**figure["layout"]["xaxis"], "type": "log"}}
    return Chart(
        "unique_values",
        "Unique values",
        "distinct values",
        "How many different values each column has: distances to the hundredth of a mile, "
        "durations to the twentieth of a minute.",
        ChartTable(("column", "distinct values"), rows),
        NO_PROFILE,
        {**figure, "layout": layout},
    )


def _frequent(columns: Sequence[Mapping[str, Any]]) -> Chart:
    labels = zone_labels()
    rows = []
    for column in columns:
        if column["name"] in _COUNTED:
            for value, count in column["most_frequent"][:5]:
                zone = labels.get(int(value), "") if column["name"].endswith("LocationID") else ""
                rows.append((column["name"], zone or f"{value:g}", count))
    return Chart(
        "most_frequent",
        "Most frequent values",
        "trips",
        "The five most frequent values of each column that has names or numbers of things.",
        ChartTable(("column", "value", "trips"), rows),
        NO_PROFILE,
        figures.bars(
            [f"{row[0]} = {row[1]}" for row in rows],
            [row[2] for row in rows],
            title="trips",
            horizontal=True,
            labels=[f"{row[2]:,}" for row in rows],
        ),
        wide=True,
        height=max(24 * len(rows) + 80, 200),
    )

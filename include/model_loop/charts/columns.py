"""Columns of a partition by its profile: distributions, missing and frequent values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import percent, plain
from model_loop.datasets.dataset import Dataset

#: Most frequent values that are listed for each column.
_LISTED = 5

_Profile = Mapping[str, Any]


def column_charts(profile: _Profile | None, dataset: Dataset, empty: Empty) -> list[Chart]:
    """Draw the distributions of the columns of a partition.

    Parameters
    ----------
    profile
        Its profile, with ``columns``; None where there is none.
    empty
        Reason why there is none.
    """
    columns = (profile or {}).get("columns", ())
    return [
        _feature_profiles(columns, dataset, empty),
        _missing(columns, dataset, empty),
        _distinct(columns, empty),
        _frequent(columns, dataset, empty),
    ]


def _feature_profiles(columns: Sequence[_Profile], dataset: Dataset, empty: Empty) -> Chart:
    units = {column.name: column.unit for column in dataset.columns}
    units[dataset.target.name] = dataset.target.unit
    rows = [
        (
            column["name"],
            units.get(column["name"], ""),
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
        f"Every column of the sound {dataset.rows[0]}: how many values, how they are spread.",
        ChartTable(
            (
                "column",
                "unit",
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
        empty,
        wide=True,
    )


def _missing(columns: Sequence[_Profile], dataset: Dataset, empty: Empty) -> Chart:
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
    share = f"share of the {dataset.rows[0]}"
    return Chart(
        "missing_values",
        "Missing values",
        share,
        f"Missing: {said}.",
        ChartTable(("column", "missing", "share"), rows),
        empty,
        figures.bars(
            [row[0] for row in rows],
            [row[2] for row in rows],
            title=share,
            horizontal=True,
            labels=[percent(row[2]) for row in rows],
            form=".0%",
        ),
    )


def _distinct(columns: Sequence[_Profile], empty: Empty) -> Chart:
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
        "How many different values each column has, as finely as profiles count them.",
        ChartTable(("column", "distinct values"), rows),
        empty,
        {**figure, "layout": layout},
    )


def _frequent(columns: Sequence[_Profile], dataset: Dataset, empty: Empty) -> Chart:
    load = dataset.extensions.load("choices")
    rows = []
    for column in columns:
        name = column["name"]
        if _is_counted(dataset, name):
            labels = load(name) if load else {}
            rows += [
                (name, labels.get(value) or _text(value), count)
                for value, count in column["most_frequent"][:_LISTED]
            ]
    many = dataset.rows[0]
    return Chart(
        "most_frequent",
        "Most frequent values",
        many,
        "The five most frequent values of each column that has names or numbers of things.",
        ChartTable(("column", "value", many), rows),
        empty,
        figures.bars(
            [f"{row[0]} = {row[1]}" for row in rows],
            [row[2] for row in rows],
            title=many,
            horizontal=True,
            labels=[f"{row[2]:,}" for row in rows],
        ),
        wide=True,
        height=max(24 * len(rows) + 80, 200),
    )


def _is_counted(dataset: Dataset, name: str) -> bool:
    """Return whether the values of a column are categories: names, codes, yes and no."""
    if name == dataset.target.name and dataset.target.is_classified:
        return True
    place = dataset.columns.places.get(name)
    if place is None:
        return False
    column = dataset.columns[place]
    whole = column.scale is not None and column.scale.whole
    return whole or column.kind in {"category", "yes_no"}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
